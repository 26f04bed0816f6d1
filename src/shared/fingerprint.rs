//! A name for what a token endpoint is asked for.

use super::{store::TokenStore, tokens::SharedTokens};
use crate::{error::Error, token_endpoint::endpoint::TokenEndpoint};

impl TokenEndpoint {
    /// A name under which processes can share this endpoint's token:
    /// [`named`](SharedTokens::named) takes it.
    ///
    /// It is different for whatever may give another token: the URL, the client's id, how it
    /// authenticates, grant, scopes, audiences, resources, and every other parameter and header with its
    /// value. So two users, two subjects of an exchange or two API keys never share one. Secret
    /// values count as they are now. Only the client's own secret does not count, so that processes
    /// share a token while it is rotated.
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
