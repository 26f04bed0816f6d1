//! The server: its settings and its counters.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{HeaderName, StatusCode};

use super::{Endpoint, Fetcher, ResponseTemplate, state::State};
use crate::{Token, TokenRequest};

/// An authorization server and a protected resource in one; see the [module](super).
///
/// A clone is another handle on the same server. Everything can be changed while it runs, and
/// holds from the next request on. Setters give the server back, so that they can be chained.
///
/// As a service it takes requests with any body. A path of `/token` is the token endpoint, every
/// other path is the resource, whatever the host. The resource reads a request that it accepts to
/// its end and responds with 200; to one that it does not accept it responds at once. An error of
/// the service is a connection that broke: because it was told so
/// ([`ResponseTemplate::connection_dropped`]), or because the request's own body ended in an error.
#[derive(Clone)]
pub struct AuthorizationServer {
    state: Arc<Mutex<State>>,
}

impl AuthorizationServer {
    /// A server with the client `client`, whose secret is `secret`, and tokens that live an hour
    /// (the lifetime in RFC 6749's own example, and of most issuers).
    pub fn new() -> Self {
        Self { state: Arc::new(Mutex::new(State::new())) }
    }

    /// Adds a client, or gives a known one another secret.
    pub fn client(&self, id: impl Into<String>, secret: impl Into<String>) -> &Self {
        let (id, secret) = (id.into(), secret.into());
        self.state().clients.insert(id, Some(secret));
        self
    }

    /// Adds a client that sends its id and no secret. It has none, or it proves who it is with a
    /// certificate, which [`listen_tls`](Self::listen_tls) can ask for (RFC 8705 §2).
    pub fn client_without_secret(&self, id: impl Into<String>) -> &Self {
        let id = id.into();
        self.state().clients.insert(id, None);
        self
    }

    /// Sets the path of the token endpoint, by default `/token`.
    pub fn token_path(&self, path: impl Into<String>) -> &Self {
        let path = path.into();
        self.state().token_path = path;
        self
    }

    /// Sets the header that the resource looks for a token in, by default `Authorization`: the one of
    /// [`OAuthLayer::header`](crate::OAuthLayer::header). In another header the secret may also stand
    /// alone, without `Bearer`.
    pub fn header(&self, name: HeaderName) -> &Self {
        self.state().header = Some(name);
        self
    }

    /// Sets how long the tokens live that are given out from now on, by default an hour. With
    /// `None` they live until they are revoked, and the response has no `expires_in`.
    ///
    /// The response says it in whole seconds, rounded down (RFC 6749 §A.14 knows no others).
    pub fn lifetime(&self, lifetime: impl Into<Option<Duration>>) -> &Self {
        let lifetime = lifetime.into();
        self.state().issuer.lifetime = lifetime;
        self
    }

    /// Sets what comes before the number in the secrets that are given out from now on, by default
    /// `token-`: the first is `token-1`, the second `token-2`.
    ///
    /// Two servers with the same prefix accept each other's tokens, since both have given out
    /// `token-1`. With different prefixes a token that goes to the wrong server is rejected.
    pub fn token_prefix(&self, prefix: impl Into<String>) -> &Self {
        let prefix = prefix.into();
        self.state().issuer.prefix = prefix;
        self
    }

    /// Makes the token endpoint hand out the last token again, with what is left of its lifetime,
    /// until it expires, whether it was revoked or not. Gateways and metadata servers that cache
    /// tokens do this. By default every token is new.
    pub fn reuse_tokens(&self, reuse: bool) -> &Self {
        self.state().issuer.reuse = reuse;
        self
    }

    /// Makes every token that is given out from now on end the ones before it. Servers that keep one
    /// token per client do this, whichever process asked for it. By default tokens live side by
    /// side.
    pub fn revoke_on_issue(&self, revoke: bool) -> &Self {
        self.state().issuer.revoke_on_issue = revoke;
        self
    }

    /// Sets how old the tokens that are given out from now on must be before the resource accepts
    /// them, by default not at all. A resource whose clock is behind (`nbf`, RFC 7519 §4.1.5), or
    /// that hears of new tokens late, rejects younger ones.
    pub fn accept_after(&self, age: Duration) -> &Self {
        self.state().issuer.accepted_after = age;
        self
    }

    /// Makes the token endpoint respond with 503 to everything but what is queued, or ends that.
    ///
    /// Short for [`Endpoint::always`] with that status or with [`ResponseTemplate::usual`].
    pub fn down(&self, down: bool) -> &Self {
        self.token_endpoint().always(match down {
            true => ResponseTemplate::status(StatusCode::SERVICE_UNAVAILABLE),
            false => ResponseTemplate::usual(),
        });
        self
    }

    /// The token endpoint, to be told what to respond with and how long to take.
    pub fn token_endpoint(&self) -> Endpoint<'_> {
        Endpoint::new(self, |state| &mut state.token_endpoint)
    }

    /// The resource, to be told what to respond with and how long to take.
    pub fn resource(&self) -> Endpoint<'_> {
        Endpoint::new(self, |state| &mut state.resource)
    }

    /// Makes the resource reject that many requests, whatever their tokens, before it goes on with
    /// its script.
    pub fn reject_next(&self, requests: u64) -> &Self {
        let mut state = self.state();
        state.reject_next = state.reject_next.saturating_add(requests);
        drop(state);
        self
    }

    /// Makes the resource reject every `n`th request, whatever its token and its script say. With 1
    /// it rejects all of them, and with 0 none, which is the default.
    pub fn reject_every(&self, n: u64) -> &Self {
        self.state().reject_every = n;
        self
    }

    /// Sets what the resource responds with to a token that is expired, revoked or unknown, by
    /// default 401 and `Bearer error="invalid_token"` (RFC 6750 §3.1), which
    /// [`ResponseTemplate::usual`] brings back.
    pub fn reject_with(&self, template: ResponseTemplate) -> &Self {
        self.state().rejection = template;
        self
    }

    /// Gives out a new token without a request, for a scripted response or as a source of its own.
    pub fn issue(&self) -> Token {
        self.state().issuer.issue()
    }

    /// Revokes one token, now.
    pub fn revoke(&self, secret: &str) -> &Self {
        self.revoke_after(secret, Duration::ZERO)
    }

    /// Revokes one token at a moment from now.
    pub fn revoke_after(&self, secret: &str, after: Duration) -> &Self {
        self.state().issuer.revoke(secret, after);
        self
    }

    /// Revokes every token there is, now.
    pub fn revoke_all(&self) -> &Self {
        self.revoke_all_after(Duration::ZERO)
    }

    /// Revokes at a moment from now every token that was given out before that moment, as a
    /// server does that changes its keys.
    pub fn revoke_all_after(&self, after: Duration) -> &Self {
        self.state().issuer.revoke_all(after);
        self
    }

    /// How many requests the token endpoint got, whatever became of them.
    pub fn token_requests(&self) -> u64 {
        self.state().token_requests
    }

    /// How many token requests were under way at the same time, at most.
    pub fn most_token_requests_at_once(&self) -> u64 {
        self.state().most_under_way
    }

    /// How many requests the resource got, whatever became of them.
    pub fn resource_requests(&self) -> u64 {
        self.state().resource_requests()
    }

    /// How many requests the resource did not accept: no token, one that is not alive,
    /// [`reject_next`](Self::reject_next) or [`reject_every`](Self::reject_every). Responses from
    /// its script do not count.
    pub fn rejected_requests(&self) -> u64 {
        self.state().rejected_requests
    }

    /// The `Authorization` of every request that the resource got, in order: `Bearer token-1`, for
    /// example, and an empty string for a request without one.
    pub fn authorizations(&self) -> Vec<String> {
        self.state().authorizations.clone()
    }

    /// A fetcher that asks this server without a network, as the client `client`.
    pub fn fetcher(&self) -> Fetcher {
        let secret = self.state().clients.get(Fetcher::CLIENT).cloned().flatten();
        Fetcher::new(self.clone(), &secret.unwrap_or_default())
    }

    /// What its [fetchers](Self::fetcher) were called with, in order: why a token was needed, and
    /// which token it was to replace.
    ///
    /// ```
    /// use tower_oauth::{RefreshReason, TokenCache, testing::AuthorizationServer};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_oauth::Error> {
    /// let server = AuthorizationServer::new();
    /// let tokens = TokenCache::new(server.fetcher());
    /// assert_eq!(tokens.token().await?.expose_secret(), "token-1");
    /// let fetches = server.fetches();
    /// assert_eq!(fetches[0].reason, RefreshReason::Cold);
    /// assert!(fetches[0].previous.is_none());
    /// # Ok(())
    /// # }
    /// ```
    pub fn fetches(&self) -> Vec<TokenRequest> {
        self.state().fetches.clone()
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // A panic of one test's thread leaves nothing half done in here.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for AuthorizationServer {
    fn default() -> Self {
        Self::new()
    }
}

// By hand: the tokens are secrets, if only of a test.
impl fmt::Debug for AuthorizationServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("AuthorizationServer")
            .field("token_requests", &state.token_requests)
            .field("resource_requests", &state.resource_requests())
            .finish_non_exhaustive()
    }
}
