//! The keys that encrypt what a store holds.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand::{SecureRandom, SystemRandom},
};
use zeroize::Zeroizing;

use crate::error::Error;

/// The first byte of a value. Another format gets another one.
const VERSION: u8 = 1;

/// A key that encrypts the values in a store, with ChaCha20-Poly1305 (RFC 8439).
///
/// `openssl rand -base64 32` makes one.
#[derive(Clone)]
pub struct EncryptionKey {
    id: String,
    pub(super) key: Zeroizing<[u8; 32]>,
}

impl EncryptionKey {
    /// A key of 32 random bytes. The id precedes each value in plaintext, so that another process
    /// knows which of its keys to use.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if the id is empty or longer than 255 bytes.
    pub fn new(id: impl Into<String>, key: [u8; 32]) -> Result<Self, Error> {
        let (id, key) = (id.into(), Zeroizing::new(key));
        if id.is_empty() || u8::try_from(id.len()).is_err() {
            return Err(Error::config("encryption_key", "its id must have 1 to 255 bytes"));
        }
        Ok(Self { id, key })
    }

    /// The same from base64, as found in an environment variable or a file.
    /// White space around it, such as a line break, does no harm.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if it is not 32 bytes in base64, or as for
    /// [`new`](Self::new).
    pub fn from_base64(id: impl Into<String>, key: &str) -> Result<Self, Error> {
        let bytes = STANDARD.decode(key.trim()).map(Zeroizing::new).unwrap_or_default();
        let key = <[u8; 32]>::try_from(&bytes[..]).map_err(|_| {
            let why = "it is not 32 bytes in base64; `openssl rand -base64 32` makes such a key";
            Error::config("encryption_key", why)
        })?;
        Self::new(id, key)
    }
}

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptionKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// How a value is kept: encrypted with the first key, and readable with any; without keys, in
/// plaintext.
#[derive(Debug)]
pub(super) struct Keys(pub(super) Vec<EncryptionKey>);

impl Keys {
    /// The value to keep under this name: version, length of the key's id, id, nonce, and
    /// ciphertext. It cannot be read under another name.
    pub(super) fn seal(&self, name: &str, text: &[u8]) -> Option<Vec<u8>> {
        let Some(EncryptionKey { id, key }) = self.0.first() else {
            return Some([&[VERSION, 0], text].concat());
        };
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).ok()?;
        let mut sealed = text.to_vec();
        let aead = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &**key).ok()?);
        let (aad, nonce_once) = (Aad::from(name), Nonce::assume_unique_for_key(nonce));
        aead.seal_in_place_append_tag(nonce_once, aad, &mut sealed).ok()?;
        let length = u8::try_from(id.len()).ok()?;
        Some([&[VERSION, length], id.as_bytes(), &nonce, &sealed].concat())
    }

    /// What was kept under this name; `None` if it cannot be read.
    pub(super) fn open(&self, name: &str, value: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let [VERSION, length, rest @ ..] = value else { return None };
        let (id, rest) = rest.split_at_checked(usize::from(*length))?;
        if id.is_empty() {
            return self.0.is_empty().then(|| Zeroizing::new(rest.to_vec()));
        }
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN)?;
        // Two keys may have the same id by mistake.
        self.0.iter().filter(|key| key.id.as_bytes() == id).find_map(
            |EncryptionKey { key, .. }| {
                let aead = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &**key).ok()?);
                let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
                let mut text = Zeroizing::new(sealed.to_vec());
                let length = aead.open_in_place(nonce, Aad::from(name), &mut text).ok()?.len();
                text.truncate(length);
                Some(text)
            },
        )
    }
}
