//! The layer that puts a fetcher behind a store.

use std::fmt;

use tower_layer::Layer;

use super::{fetcher::SharedFetcher, store::TokenStore, tokens::SharedTokens};

impl<S: TokenStore> SharedTokens<S> {
    /// The layer for a fetcher. All processes whose fetchers have the same name share one token, so
    /// the name must cover everything that determines what a token is good for: the endpoint, the
    /// client, the user, the scopes.
    ///
    /// [`TokenEndpoint::fingerprint`](crate::TokenEndpoint::fingerprint) makes such a name.
    pub fn named(&self, name: impl Into<String>) -> SharedLayer<S> {
        SharedLayer { shared: self.clone(), name: name.into() }
    }
}

/// Puts a fetcher behind a store. Made by [`SharedTokens::named`].
#[derive(Clone)]
pub struct SharedLayer<S> {
    shared: SharedTokens<S>,
    name: String,
}

impl<S: TokenStore, F> Layer<F> for SharedLayer<S> {
    type Service = SharedFetcher<F, S>;

    fn layer(&self, fetcher: F) -> Self::Service {
        SharedFetcher::new(fetcher, self.shared.clone(), &self.name)
    }
}

impl<S> fmt::Debug for SharedLayer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedLayer").field("name", &self.name).finish_non_exhaustive()
    }
}
