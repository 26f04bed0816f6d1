//! A fetcher that looks in a store first.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, sleep};
use tower_service::Service;

use super::{
    entry::{CLAIM, Entry},
    store::{Look, Looked, TokenStore},
    tokens::SharedTokens,
};
use crate::{
    error::{BoxError, Error},
    fetch::{RefreshReason, TokenRequest, fetch_once},
    token::Token,
};

/// How long to wait before looking again whether another's fetch is over: at first, and at most.
const FIRST_POLL: Duration = Duration::from_millis(90);
const LAST_POLL: Duration = Duration::from_millis(700);

/// How many tokens of a store one search may pass over. It looks again at once after each, and others
/// do not fetch that fast.
const MOST_UNWANTED: u32 = 4;

/// A fetcher whose tokens are shared through a store. Made by
/// [`SharedTokens::named`](super::SharedTokens::named).
///
/// Its clones belong to one cache: they remember which token that cache got last.
///
/// # Cancel safety
///
/// Dropping its future drops the fetch. Its claim in the store ends up to 3 seconds later.
#[derive(Clone)]
pub struct SharedFetcher<F, S> {
    fetcher: F,
    entry: Entry<S>,
}

impl<F, S: TokenStore> SharedFetcher<F, S> {
    pub(super) fn new(fetcher: F, shared: SharedTokens<S>, name: &str) -> Self {
        Self { fetcher, entry: Entry::new(shared, name) }
    }
}

impl<F, S> Service<TokenRequest> for SharedFetcher<F, S>
where
    F: Service<TokenRequest, Response = Token, Error: Into<BoxError>, Future: Send>,
    F: Clone + Send + 'static,
    S: TokenStore,
{
    type Response = Token;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Token, Error>> + Send>>;

    /// Always ready: the inner fetcher is made ready when it is needed.
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: TokenRequest) -> Self::Future {
        let Self { fetcher, entry } = self.clone();
        Box::pin(async move {
            match look(&entry, &request).await {
                Found::Token(token) => Ok(token),
                Found::Failure(error) => Err(error),
                Found::Claim(number) => fetch_for_all(&entry, number, fetcher, request).await,
                Found::NoStore => {
                    let begun_at = Instant::now();
                    let token = fetch_once(fetcher, request).await?;
                    entry.got(&token, 0, token.age().unwrap_or_else(|| begun_at.elapsed()));
                    Ok(token)
                }
            }
        })
    }
}

enum Found {
    Token(Token),
    Failure(Error),
    Claim(u64),
    NoStore,
}

/// Looks until there is a token, or until this process has to fetch one.
async fn look<S: TokenStore>(entry: &Entry<S>, request: &TokenRequest) -> Found {
    let is_requested = request.reason == RefreshReason::Requested;
    let wanted = entry.wanted(request.previous.as_ref());
    let newer_than = wanted.newer_than;
    let mut look = Look { newer_than, despite_failure: is_requested, claim: CLAIM };
    // A fetch that somebody else began before this request does not satisfy it.
    let mut is_new_enough = !is_requested;
    let (mut poll, mut unwanted) = (FIRST_POLL, 0);
    loop {
        let Some(looked) = entry.look_or_claim(look).await else { return Found::NoStore };
        match looked {
            // A store that returns what was not asked for, or ever more that nobody can use, would do
            // so forever, and may never let another task have the thread.
            Looked::Token { number, .. }
                if number <= look.newer_than || unwanted == MOST_UNWANTED =>
            {
                return Found::NoStore;
            }
            Looked::Token { number, value, left } => {
                look.newer_than = number;
                let token = entry.token(&value, left).filter(|_| is_new_enough);
                if let Some(token) = token.filter(|token| wanted.is(token)) {
                    entry.got(&token, number, token.age().unwrap_or_default());
                    return Found::Token(token);
                }
                unwanted += 1;
            }
            Looked::Failed { .. } if look.despite_failure => return Found::NoStore,
            Looked::Failed { value, left } => match entry.failure(&value, left) {
                Some((number, error)) if !is_requested || number > look.newer_than => {
                    return Found::Failure(error);
                }
                // What cannot be read counts as nothing, and so does what is not new enough.
                _ => look.despite_failure = true,
            },
            Looked::Claimed(number) => return Found::Claim(number),
            Looked::Taken(number) => {
                if !is_new_enough {
                    look.newer_than = look.newer_than.max(number);
                    is_new_enough = true;
                }
                // If that fetch fails, its number tells whether the failure is new enough.
                look.despite_failure = false;
                // Shortened at random, so that a fleet does not look in step.
                sleep(poll.mul_f64(1.0 - 0.3 * fastrand::f64())).await;
                poll = poll.mul_f64(1.6).min(LAST_POLL);
            }
        }
    }
}

/// Fetches, and tells the others the result.
async fn fetch_for_all<F, S>(
    entry: &Entry<S>,
    number: u64,
    fetcher: F,
    request: TokenRequest,
) -> Result<Token, Error>
where
    F: Service<TokenRequest, Response = Token, Error: Into<BoxError>>,
    S: TokenStore,
{
    let begun_at = Instant::now();
    let fetched = {
        let (mut fetch, mut claim) =
            (pin!(fetch_once(fetcher, request)), pin!(entry.keep_claim(number)));
        poll_fn(|cx| {
            let fetched = fetch.as_mut().poll(cx);
            if fetched.is_pending() {
                let _ = claim.as_mut().poll(cx);
            }
            fetched
        })
        .await
    };
    match &fetched {
        Ok(token) => entry.put(number, token, begun_at.elapsed()).await,
        Err(error) => entry.fail(number, error).await,
    }
    fetched
}

impl<F, S> fmt::Debug for SharedFetcher<F, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedFetcher").finish_non_exhaustive()
    }
}
