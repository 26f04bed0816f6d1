//! What a store holds under one name, as one process sees it.

use std::{
    future::{Future, pending},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout};

use super::{
    store::{Look, Looked, TokenStore},
    tokens::SharedTokens,
    value::{read_failure, read_token, write_failure, write_token},
};
use crate::{
    error::{BoxError, Error, LONGEST_ASKED, WithCauses},
    token::Token,
};

/// How long a claim on a fetch lasts, and so how long others wait for a process that has died. The
/// process that fetches extends it each time a third of this has passed.
pub(super) const CLAIM: Duration = Duration::from_secs(3);

/// How long a failure keeps others from fetching: twice as long each time in a row. If it were
/// longer, they would notice late that an endpoint is back, or that a secret was wrong in one process
/// alone.
const FIRST_FAILURE: Duration = Duration::from_secs(1);
const LONGEST_FAILURE: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(super) struct Entry<S> {
    shared: SharedTokens<S>,
    name: Arc<str>,
    known: Arc<Known>,
}

/// What this process knows about the name.
#[derive(Default)]
struct Known {
    /// The last token that it got.
    last: Mutex<Option<Last>>,
    /// How many fetches have failed in a row, here or in other processes that reported it.
    failures: AtomicU32,
    /// A value could not be read, and that has been logged.
    is_unreadable: AtomicBool,
}

/// A token that this process got.
#[derive(Clone)]
struct Last {
    token: Token,
    /// Its number in the store; 0 if it was fetched without the store.
    number: u64,
    asked_at: Instant,
}

/// What makes a token in the store another one than the one that a process has.
pub(super) struct Wanted {
    pub(super) newer_than: u64,
    /// If there is no number to go by: not this token, and none that was asked for earlier.
    not: Option<(Token, Option<Instant>)>,
}

impl Wanted {
    pub(super) fn is(&self, token: &Token) -> bool {
        let Some((old, asked_at)) = &self.not else { return true };
        let age = token.age().unwrap_or_default();
        let is_later = asked_at.is_none_or(|asked_at| age < asked_at.elapsed());
        is_later && !old.has_secret_of(token)
    }
}

impl<S: TokenStore> Entry<S> {
    pub(super) fn new(shared: SharedTokens<S>, name: &str) -> Self {
        Self { shared, name: name.into(), known: Arc::default() }
    }

    /// What to look for in place of a token that this process has.
    pub(super) fn wanted(&self, previous: Option<&Token>) -> Wanted {
        let Some(previous) = previous else { return Wanted { newer_than: 0, not: None } };
        let last = self.known.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // By the secret: a token that came again has another identity.
        match last.filter(|last| last.token.has_secret_of(previous)) {
            Some(Last { number: 0, asked_at, .. }) => {
                Wanted { newer_than: 0, not: Some((previous.clone(), Some(asked_at))) }
            }
            Some(last) => Wanted { newer_than: last.number, not: None },
            None => Wanted { newer_than: 0, not: Some((previous.clone(), None)) },
        }
    }

    /// This process now uses this token, which was asked for `age` ago.
    pub(super) fn got(&self, token: &Token, number: u64, age: Duration) {
        let now = Instant::now();
        let asked_at = now.checked_sub(age).unwrap_or(now);
        let last = Last { token: token.clone(), number, asked_at };
        *self.known.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
        self.known.failures.store(0, Ordering::Relaxed);
    }

    /// `None` if the store does not work.
    pub(super) async fn look_or_claim(&self, look: Look) -> Option<Looked> {
        if self.shared.breaker.is_open() {
            return None;
        }
        self.ask(self.shared.store.look_or_claim(&self.name, look)).await
    }

    /// A token from the store, if it can be read.
    pub(super) fn token(&self, value: &[u8], left: Duration) -> Option<Token> {
        let token = self.shared.keys.open(&self.name, value).and_then(|it| read_token(&it, left));
        if token.is_none() && !self.known.is_unreadable.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                target: "tower_oauth",
                name = &*self.name,
                "a token in the store cannot be read, and another one is fetched; \
                 do all processes have the same encryption keys?"
            );
        }
        token
    }

    /// The failure of another process, and the number of its fetch, if it can be read.
    pub(super) fn failure(&self, value: &[u8], left: Duration) -> Option<(u64, Error)> {
        let text = self.shared.keys.open(&self.name, value)?;
        self.known.failures.fetch_add(1, Ordering::Relaxed);
        read_failure(&text, left.min(LONGEST_ASKED))
    }

    /// Keeps the claim on a fetch for as long as this is polled.
    pub(super) async fn keep_claim(&self, number: u64) {
        loop {
            sleep(CLAIM / 3).await;
            let extended = self.ask(self.shared.store.extend(&self.name, number, CLAIM)).await;
            if extended == Some(false) {
                // Somebody else may have it by now. This process still wants its own token.
                pending::<()>().await;
            }
        }
    }

    /// Gives the others a token that was asked for `age` ago.
    pub(super) async fn put(&self, number: u64, token: &Token, age: Duration) {
        self.got(token, number, age);
        let sealed = write_token(token, age)
            .and_then(|(text, keep)| Some((self.shared.keys.seal(&self.name, &text)?, keep)));
        match sealed {
            Some((value, keep)) => {
                self.ask(self.shared.store.put(&self.name, number, &value, keep)).await;
            }
            // Nobody can use it, and the others need not wait for the end of the claim.
            None => {
                let end = Duration::from_millis(1);
                self.ask(self.shared.store.extend(&self.name, number, end)).await;
            }
        }
    }

    /// Tells the others that a fetch failed.
    pub(super) async fn fail(&self, number: u64, error: &Error) {
        let before = self.known.failures.fetch_add(1, Ordering::Relaxed);
        let usual = (FIRST_FAILURE * 2_u32.saturating_pow(before.min(8))).min(LONGEST_FAILURE);
        let keep = usual.max(error.asked_to_wait());
        let Some(value) = self.shared.keys.seal(&self.name, &write_failure(number, error)) else {
            return;
        };
        // The claim lasts a little longer than a usual failure: a large fleet, in which somebody always
        // wants a token, leaves an endpoint that is down alone for that time too. Whoever looks in
        // that time waits, so it does not grow with what the endpoint asked for: the failure could be
        // evicted before it.
        let claim = usual * 3 / 2;
        self.ask(self.shared.store.fail(&self.name, number, &value, keep, claim)).await;
    }

    /// Asks the store, and waits for it no longer than the timeout.
    async fn ask<R>(&self, asked: impl Future<Output = Result<R, BoxError>>) -> Option<R> {
        let error = match timeout(self.shared.timeout, asked).await {
            Ok(Ok(found)) => {
                self.shared.breaker.succeeded();
                return Some(found);
            }
            Ok(Err(error)) => error,
            Err(_) => format!("no response within {:?}", self.shared.timeout).into(),
        };
        if let Some(time) = self.shared.breaker.failed() {
            tracing::warn!(
                target: "tower_oauth",
                error = %WithCauses(&*error),
                "the store of shared tokens does not work, and is left alone for {time:?}; \
                 until then this process fetches for itself"
            );
        }
        None
    }
}
