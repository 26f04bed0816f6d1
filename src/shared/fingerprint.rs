//! A name for what a token endpoint is asked for.

use ring::hmac;

use super::{keys::Keys, store::TokenStore, tokens::SharedTokens};
use crate::{error::Error, token_endpoint::endpoint::TokenEndpoint};

impl TokenEndpoint {
    /// A name under which processes can share this endpoint's token, for
    /// [`named`](SharedTokens::named).
    ///
    /// It depends on everything that may lead to another token: the URL, the client's id, how the client
    /// authenticates, the grant, scopes, audiences, resources, and every other parameter and header with
    /// its value. So two users, two subjects of an exchange or two API keys never share a token. Secret
    /// values count as they are now. Which part of a response is the token counts too. The client's own
    /// secret does not, so that processes share a token while it is rotated; nor does the `User-Agent`.
    ///
    /// The client certificate does not count either: processes with different certificates cannot share
    /// a token that is bound to one (RFC 8705 §3).
    ///
    /// Without the encryption key, none of this can be guessed from the name.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Fetcher`](crate::ErrorKind::Fetcher) if the file of a
    /// [`Secret`](crate::token_endpoint::Secret) cannot be read, and
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if its environment variable is not set.
    pub fn fingerprint<S: TokenStore>(&self, shared: &SharedTokens<S>) -> Result<String, Error> {
        let mut name = shared.keys.name();
        self.identity(|what, value| name.add(what, value))?;
        Ok(name.finish())
    }
}

impl Keys {
    /// Begins a name from which nobody can guess the settings without the key. It depends on the first
    /// key, and so changes once while a key is changed. Without keys it can be guessed.
    fn name(&self) -> Name {
        let key: &[u8] = self.0.first().map_or(&[], |key| &*key.key);
        // Not with the same key that encrypts the values.
        let key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), b"tower-oauth: names");
        Name(hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key.as_ref())))
    }
}

/// A name in the making: the HMAC-SHA-256 of settings.
struct Name(hmac::Context);

impl Name {
    /// Adds a setting, each part with its length, so that no two lists of settings read the same.
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
