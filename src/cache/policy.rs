//! When a token is refreshed, and until when it is used.

use std::time::Duration;

use crate::{error::Error, token::Token};

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// When a token is refreshed, and until when it is used.
///
/// Everything follows from the token's lifetime, so that tokens of two seconds and of a day both
/// work without a setting:
///
/// - It is used until a *margin* before it expires: a tenth of its lifetime, but at least a second,
///   at most 30 seconds, and never more than half of it. The margin covers the request's way to the
///   server, clocks that drift, and issuers that count in whole seconds.
/// - It is refreshed after four fifths of the time in which it can be used, or earlier, minus up to a
///   tenth of that by chance, so that a fleet does not refresh in one second. The request that finds
///   it due is sent with the old one; nobody waits.
///
/// ```
/// use std::time::Duration;
/// use tower_oauth::cache::RefreshPolicy;
///
/// let policy = RefreshPolicy::default().max_age(Duration::from_secs(20 * 60));
/// assert!(RefreshPolicy::default().jitter(1.5).is_err());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RefreshPolicy {
    max_age: Duration,
    default_lifetime: Duration,
    jitter: f64,
    fetch_timeout: Duration,
}

impl Default for RefreshPolicy {
    fn default() -> Self {
        Self {
            max_age: YEAR,
            default_lifetime: Duration::from_secs(5 * 60),
            jitter: 0.1,
            fetch_timeout: Duration::from_secs(30),
        }
    }
}

impl RefreshPolicy {
    /// Refresh a token at this age at the latest, however long it lives. Less than a second counts
    /// as a second. Default: its lifetime alone decides. A secret that comes again is asked for again as
    /// [the rules](crate::docs::rules) say, whatever stands here.
    #[must_use]
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age;
        self
    }

    /// The lifetime of a token that comes without one. Default: 5 minutes, since a token that is
    /// kept "for ever" fails for ever. [`Duration::MAX`] says that such tokens live for a year,
    /// which is what any lifetime is capped at. Less than a second counts as a second.
    #[must_use]
    pub fn default_lifetime(mut self, default_lifetime: Duration) -> Self {
        self.default_lifetime = default_lifetime;
        self
    }

    /// The largest part of the time until refresh that chance may take off it, from 0 to 1.
    /// Default: 0.1.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if it is not from 0 to 1.
    pub fn jitter(mut self, jitter: f64) -> Result<Self, Error> {
        if !(0.0..=1.0).contains(&jitter) {
            return Err(Error::config("jitter", format!("{jitter} is not between 0 and 1")));
        }
        self.jitter = jitter;
        Ok(self)
    }

    /// How long one fetch may take, layers on the fetcher included. Default: 30 seconds.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if it is zero.
    pub fn fetch_timeout(mut self, fetch_timeout: Duration) -> Result<Self, Error> {
        if fetch_timeout.is_zero() {
            return Err(Error::config("fetch_timeout", "no fetch can end in no time"));
        }
        self.fetch_timeout = fetch_timeout;
        Ok(self)
    }

    /// How long one fetch may take.
    pub(super) fn timeout(&self) -> Duration {
        self.fetch_timeout
    }

    /// The deadlines of a token that came at `now`, `since_call` after its fetcher was called; if
    /// its secret came before, after that has `lived` for so long. `jitter` is from 0 to 1.
    pub(super) fn deadlines(
        &self,
        token: &Token,
        now: Duration,
        since_call: Duration,
        lived: Option<Duration>,
        jitter: f64,
    ) -> Deadlines {
        // What does not say how long it lives, and has lived, will live as long again.
        let default = self.default_lifetime.max(lived.unwrap_or_default());
        let lifetime = token.lifetime().unwrap_or(default).min(YEAR);
        let age = token.age().unwrap_or(since_call).min(YEAR);
        // From here to the end: times since the token was asked for.
        let margin = (lifetime / 10).clamp(SECOND, 30 * SECOND).min(lifetime / 2);
        // Kept for a second whatever it says: a server that says 0 costs one fetch a second.
        let usable = (lifetime - margin).max(age + SECOND);
        let left = usable - age;
        // What the token's server asks for may come later than our four fifths, but early enough to
        // be done while the token can be used.
        let due = match token.refresh_after() {
            Some(refresh_after) => refresh_after.max(SECOND).min(usable.mul_f64(0.95)),
            None => usable.mul_f64(0.8),
        };
        let due = due.min(self.max_age.max(SECOND));
        let refresh = if lifetime <= age + SECOND {
            usable
        } else if due <= age {
            // A store handed it out when it was due already. To ask again at once would bring the
            // same.
            age + (left * 4 / 5).max(SECOND)
        } else {
            let due = due.saturating_sub(due.mul_f64(self.jitter * jitter));
            due.max(age + SECOND.min(left / 2))
        };
        let at = |since_birth: Duration| now.saturating_add(since_birth).saturating_sub(age);
        Deadlines {
            came_at: now,
            age,
            refresh_at: at(refresh.min(usable)),
            usable_until: at(usable),
            expires_at: at(lifetime),
        }
    }
}

/// The keys are the setters' names: `max_age`, `default_lifetime`, `jitter`, `fetch_timeout`.
/// Durations are strings such as `"20m"`. An unknown key is an error, and so is a value that its
/// setter refuses.
#[cfg(feature = "config")]
#[cfg_attr(docsrs, doc(cfg(feature = "config")))]
impl<'de> serde::Deserialize<'de> for RefreshPolicy {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;

        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Keys {
            #[serde(default, with = "humantime_serde")]
            max_age: Option<Duration>,
            #[serde(default, with = "humantime_serde")]
            default_lifetime: Option<Duration>,
            jitter: Option<f64>,
            #[serde(default, with = "humantime_serde")]
            fetch_timeout: Option<Duration>,
        }

        let keys = Keys::deserialize(deserializer)?;
        let policy = Self::default();
        let policy = policy
            .clone()
            .max_age(keys.max_age.unwrap_or(policy.max_age))
            .default_lifetime(keys.default_lifetime.unwrap_or(policy.default_lifetime))
            .jitter(keys.jitter.unwrap_or(policy.jitter))
            .and_then(|it| it.fetch_timeout(keys.fetch_timeout.unwrap_or(policy.fetch_timeout)));
        policy.map_err(D::Error::custom)
    }
}

/// A token's deadlines on the cache's clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Deadlines {
    /// When it came, and how old it was then: it may be older than the clock, as on a machine that
    /// has just booted.
    pub(super) came_at: Duration,
    pub(super) age: Duration,
    /// From here on a request that sees it has it refreshed.
    pub(super) refresh_at: Duration,
    /// From here on it is not sent.
    pub(super) usable_until: Duration,
    /// From here on its issuer does not accept it.
    pub(super) expires_at: Duration,
}

impl Deadlines {
    pub(super) const NEVER: Self = Self {
        came_at: Duration::MAX,
        age: Duration::ZERO,
        refresh_at: Duration::MAX,
        usable_until: Duration::MAX,
        expires_at: Duration::MAX,
    };
}
