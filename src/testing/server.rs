//! The server: its settings and its counters.

use std::{
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::StatusCode;

use super::{Answer, Endpoint, Fetcher, Listening, state::State};
use crate::Token;

/// An authorization server and a protected resource in one; see the [module](super).
///
/// A clone is another handle on the same server. Everything can be changed while it runs, and
/// holds from the next request on. Setters give the server back, so that they can be chained.
///
/// As a service it takes requests with any body. A path of `/token` is the token endpoint, every
/// other path is the resource, whatever the host. The resource reads a request that it accepts to
/// its end and answers 200; one that it does not accept it answers at once. An error of the
/// service is a connection that broke: because it was told so
/// ([`Answer::connection_dropped`]), or because the request's own body ended in an error.
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
        self.state().clients.insert(id, secret);
        self
    }

    /// Sets the path of the token endpoint, by default `/token`.
    pub fn token_path(&self, path: impl Into<String>) -> &Self {
        let path = path.into();
        self.state().token_path = path;
        self
    }

    /// Sets how long the tokens live that are given out from now on, by default an hour. With
    /// `None` they live until they are revoked, and the answer has no `expires_in`.
    ///
    /// The answer says it in whole seconds, rounded down (RFC 6749 §A.14 knows no others).
    pub fn lifetime(&self, lifetime: impl Into<Option<Duration>>) -> &Self {
        let lifetime = lifetime.into();
        self.state().issuer.lifetime = lifetime;
        self
    }

    /// Sets how long the token endpoint takes for every answer, by default no time.
    ///
    /// It is the way back that is slow: a token's life starts when the request comes.
    pub fn delay(&self, delay: Duration) -> &Self {
        self.state().delay = delay;
        self
    }

    /// Lets the token endpoint answer 503 to everything but what is queued, or ends that.
    ///
    /// Short for [`Endpoint::always`] with that status or with [`Answer::usual`].
    pub fn down(&self, down: bool) -> &Self {
        self.token_endpoint().always(match down {
            true => Answer::status(StatusCode::SERVICE_UNAVAILABLE),
            false => Answer::usual(),
        });
        self
    }

    /// What the token endpoint is told to answer.
    pub fn token_endpoint(&self) -> Endpoint<'_> {
        Endpoint::new(self, |state| &mut state.token_endpoint)
    }

    /// What the resource is told to answer.
    pub fn resource(&self) -> Endpoint<'_> {
        Endpoint::new(self, |state| &mut state.resource)
    }

    /// Lets the resource reject as many requests, whatever their tokens, before it goes on with
    /// its script.
    pub fn reject_next(&self, requests: u64) -> &Self {
        let mut state = self.state();
        state.reject_next = state.reject_next.saturating_add(requests);
        drop(state);
        self
    }

    /// Sets what the resource answers to a token that is expired, revoked or unknown, by default
    /// 401 and `Bearer error="invalid_token"` (RFC 6750 §3.1), which [`Answer::usual`] brings back.
    pub fn reject_with(&self, answer: Answer) -> &Self {
        self.state().rejection = answer;
        self
    }

    /// Gives out a token without a request, for a scripted answer or as a source of its own.
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

    /// How many requests the resource got, whatever became of them.
    pub fn resource_requests(&self) -> u64 {
        self.state().resource_requests
    }

    /// How many requests the resource did not accept: no token, one that is not alive, or
    /// [`reject_next`](Self::reject_next). Answers from its script do not count.
    pub fn rejected_requests(&self) -> u64 {
        self.state().rejected_requests
    }

    /// The token of every request that the resource got, in order; requests without a token are
    /// left out.
    pub fn tokens_seen(&self) -> Vec<String> {
        self.state().seen.iter().map(|secret| secret.as_ref().to_owned()).collect()
    }

    /// A fetcher that asks this server without a network, as the client `client`.
    pub fn fetcher(&self) -> Fetcher {
        let secret = self.state().clients.get(Fetcher::CLIENT).cloned();
        Fetcher::new(self.clone(), &secret.unwrap_or_default())
    }

    /// Serves HTTP/1.1 and HTTP/2 (with prior knowledge) on a free port of 127.0.0.1, until what
    /// this returns is dropped.
    ///
    /// # Errors
    ///
    /// If no port can be had.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with I/O and time enabled, as everything does that opens a socket.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done it leaves nothing behind.
    pub async fn listen(&self) -> io::Result<Listening> {
        Listening::start(self.clone()).await
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
            .field("resource_requests", &state.resource_requests)
            .finish_non_exhaustive()
    }
}
