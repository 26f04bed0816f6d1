//! A name for what a token endpoint is asked for.

use ring::hmac;

use super::{keys::Keys, store::TokenStore, tokens::SharedTokens};
use crate::{error::Error, token_endpoint::endpoint::TokenEndpoint};

impl TokenEndpoint {
    /// A name under which processes can share this endpoint's token:
    /// [`named`](SharedTokens::named) takes it.
    ///
    /// It is different for whatever may give another token: the URL, the client's id, how it
    /// authenticates, grant, scopes, audiences, resources, and every other parameter and header with its
    /// value. So two users, two subjects of an exchange or two API keys never share one. Secret
    /// values count as they are now, and so does what of a response is the token. The client's own secret
    /// does not count, so that processes share a token while it is rotated; nor does the `User-Agent`.
    ///
    /// A token that is bound to a client certificate (RFC 8705 §3) cannot be shared by processes that have
    /// different ones: the certificate does not count.
    ///
    /// Nothing of these can be guessed from the name by whoever has not got the encryption key.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Fetcher`](crate::ErrorKind::Fetcher) if the file or environment variable of a
    /// [`Secret`](crate::token_endpoint::Secret) cannot be read.
    pub fn fingerprint<S: TokenStore>(&self, shared: &SharedTokens<S>) -> Result<String, Error> {
        let mut name = shared.keys.name();
        self.identity(|what, value| name.add(what, value))?;
        Ok(name.finish())
    }
}

impl Keys {
    /// A name for settings that cannot be guessed from it without the key. It goes by the last key, so
    /// that it stays the same when a new key is put before that.
    fn name(&self) -> Name {
        let key: &[u8] = self.0.last().map_or(&[], |key| &*key.key);
        // Not with the very key that values are encrypted with.
        let key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), b"tower-oauth: names");
        Name(hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key.as_ref())))
    }
}

/// A name that is being made: the HMAC-SHA-256 of settings.
struct Name(hmac::Context);

impl Name {
    /// Adds a setting. With their lengths, so that no two lists of settings read the same.
    fn add(&mut self, what: &str, value: &str) {
        for part in [what, value] {
            self.0.update(&(part.len() as u64).to_be_bytes());
            self.0.update(part.as_bytes());
        }
    }

    fn finish(self) -> String {
        self.0.sign().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
