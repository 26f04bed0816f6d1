//! The tokens that were given out, and which of them are alive.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::Token;

pub(super) struct Issuer {
    /// `None`: a token says nothing about its lifetime, and lives until it is revoked.
    pub(super) lifetime: Option<Duration>,
    issued: u64,
    tokens: HashMap<Arc<str>, Life>,
    /// When every token died that was born before.
    ends: Vec<Instant>,
}

struct Life {
    from: Instant,
    /// `None`: for ever.
    until: Option<Instant>,
}

impl Issuer {
    pub(super) fn new(lifetime: Duration) -> Self {
        Self { lifetime: Some(lifetime), issued: 0, tokens: HashMap::new(), ends: Vec::new() }
    }

    pub(super) fn issue(&mut self) -> Token {
        self.issued += 1;
        // The number is for people who read a test's output, the rest tells servers apart.
        let secret = format!("token-{}-{:016x}", self.issued, fastrand::u64(..));
        let from = Instant::now();
        // A lifetime that the clock cannot hold is as good as for ever.
        let until = self.lifetime.and_then(|lifetime| from.checked_add(lifetime));
        self.tokens.insert(secret.as_str().into(), Life { from, until });
        let token = Token::bearer(&secret);
        match self.lifetime {
            Some(lifetime) => token.with_lifetime(lifetime),
            None => token,
        }
    }

    pub(super) fn is_alive(&self, secret: &str) -> bool {
        let now = Instant::now();
        self.tokens.get(secret).is_some_and(|life| {
            life.until.is_none_or(|until| now < until)
                && !self.ends.iter().any(|&end| life.from < end && end <= now)
        })
    }

    pub(super) fn revoke(&mut self, secret: &str, after: Duration) {
        if let Some(life) = self.tokens.get_mut(secret) {
            let end = Instant::now().checked_add(after);
            life.until = life.until.into_iter().chain(end).min();
        }
    }

    pub(super) fn revoke_all(&mut self, after: Duration) {
        // Paused time can stand still between two calls, so "before now" would miss some.
        if after.is_zero() {
            self.tokens.clear();
        } else {
            self.ends.extend(Instant::now().checked_add(after));
        }
    }

    /// The secret as it is kept, so that a log of a million requests holds a few.
    pub(super) fn shared(&self, secret: &str) -> Arc<str> {
        match self.tokens.get_key_value(secret) {
            Some((known, _)) => Arc::clone(known),
            None => secret.into(),
        }
    }
}
