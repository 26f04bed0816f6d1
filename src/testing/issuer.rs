//! The tokens that were given out, and which of them are alive.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use crate::Token;

#[derive(Default)]
pub(super) struct Issuer {
    /// `None`: a token says nothing about its lifetime, and lives until it is revoked.
    pub(super) lifetime: Option<Duration>,
    /// What a secret is called before its number.
    pub(super) prefix: String,
    /// Whether a token is handed out again until it expires.
    pub(super) reuse: bool,
    /// Whether a token ends the ones before it.
    pub(super) revoke_on_issue: bool,
    /// How old a token is when it is accepted.
    pub(super) accepted_after: Duration,
    issued: u64,
    /// The last token, and when it expires.
    newest: Option<(String, Option<Instant>)>,
    tokens: HashMap<String, Life>,
    /// When every token died that was born before.
    ends: Vec<Instant>,
}

struct Life {
    from: Instant,
    accepted_after: Duration,
    /// `None`: for ever.
    until: Option<Instant>,
}

impl Issuer {
    pub(super) fn new(lifetime: Duration) -> Self {
        Self { lifetime: Some(lifetime), prefix: "token-".to_owned(), ..Self::default() }
    }

    /// The token for one token request.
    pub(super) fn grant(&mut self) -> Token {
        let now = Instant::now();
        match &self.newest {
            Some((secret, None)) if self.reuse => Token::bearer(secret),
            Some((secret, Some(end))) if self.reuse && now < *end => {
                Token::bearer(secret).with_lifetime(*end - now)
            }
            _ => self.issue(),
        }
    }

    pub(super) fn issue(&mut self) -> Token {
        self.issued += 1;
        let secret = format!("{}{}", self.prefix, self.issued);
        let from = Instant::now();
        // A lifetime that the clock cannot hold is as good as for ever.
        let until = self.lifetime.and_then(|lifetime| from.checked_add(lifetime));
        if self.revoke_on_issue {
            self.tokens.clear();
        }
        let life = Life { from, accepted_after: self.accepted_after, until };
        self.tokens.insert(secret.clone(), life);
        let token = Token::bearer(&secret);
        self.newest = Some((secret, until));
        match self.lifetime {
            Some(lifetime) => token.with_lifetime(lifetime),
            None => token,
        }
    }

    pub(super) fn is_alive(&self, secret: &str) -> bool {
        let now = Instant::now();
        self.tokens.get(secret).is_some_and(|life| {
            now - life.from >= life.accepted_after
                && life.until.is_none_or(|until| now < until)
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
}
