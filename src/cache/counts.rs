//! What a cache has been through.

use std::time::Duration;

use crate::{error::ErrorKind, fetch::RefreshReason};

/// What a cache has been through since it was built, part of its [`CacheStatus`](super::CacheStatus).
/// Whoever exports metrics reads it when it is asked for them. A request that finds a fresh token counts
/// nothing, and so costs nothing.
///
/// Each of these only grows. They belong to one cache, whose [name](super::TokenCacheBuilder::name) is
/// the only label beside `reason` and `error`: no other value comes from outside.
///
/// | here | Prometheus | OpenTelemetry | labels |
/// |---|---|---|---|
/// | [`fetches`](Self::fetches) | `oauth_client_fetches_total` | `oauth.client.fetches` | `cache`, `reason` |
/// | [`failures`](Self::failures) | `oauth_client_fetch_failures_total` | `oauth.client.fetch.failures` | `cache`, `error` (`error.type`) |
/// | [`same_again`](Self::same_again) | `oauth_client_fetches_same_again_total` | `oauth.client.fetches.same_again` | `cache` |
/// | [`flights_lost`](Self::flights_lost) | `oauth_client_flights_lost_total` | `oauth.client.flights.lost` | `cache` |
/// | [`fetch_time`](Self::fetch_time) | `oauth_client_fetch_seconds_total` | `oauth.client.fetch.time` (s) | `cache` |
/// | [`waits`](Self::waits) | `oauth_client_waits_total` | `oauth.client.waits` | `cache` |
/// | [`stale_served`](Self::stale_served) | `oauth_client_stale_served_total` | `oauth.client.stale_served` | `cache` |
/// | [`rejections`](Self::rejections) | `oauth_client_rejections_total` | `oauth.client.rejections` | `cache` |
/// | [`rejections_ignored`](Self::rejections_ignored) | `oauth_client_rejections_ignored_total` | `oauth.client.rejections.ignored` | `cache` |
/// | [`replays`](Self::replays) | `oauth_client_replays_total` | `oauth.client.replays` | `cache` |
/// | [`CacheStatus::is_ready`](super::CacheStatus::is_ready) | `oauth_client_ready` (0 or 1) | `oauth.client.ready` | `cache` |
/// | [`CacheStatus::expires_in`](super::CacheStatus::expires_in) | `oauth_client_token_expires_in_seconds` | `oauth.client.token.expires_in` (s) | `cache` |
///
/// All but the last two are counters, and [`counters`](Self::counters) lists those that are whole numbers.
/// `examples/metrics` is a whole program.
///
/// # Logs
///
/// All is logged by `tracing`, with the target `tower_oauth`. A fetch is the span `oauth.fetch` with the fields
/// `name`, `reason`, `outcome` (`token`, `same_again`, `lost`, or the label of a failure) and `ms`; it
/// follows from the span of the request that began it. A failed fetch is one warning, with its whole
/// cause. A rejection and a replay are events of level `debug`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Fetches that were begun.
    pub fetches: Fetches,
    /// Fetches that failed.
    pub failures: Failures,
    /// Fetches that brought the secret that was held already.
    pub same_again: u64,
    /// Fetches that ended without a result, because their runtime went away or nobody drove it.
    pub flights_lost: u64,
    /// How long all fetches took that brought a token or failed.
    pub fetch_time: Duration,
    /// How often a caller had to wait for a fetch, each of those who share one.
    pub waits: u64,
    /// How often a token was given out that was due for refresh.
    pub stale_served: u64,
    /// Rejections that the cache heard of, those of older tokens too.
    pub rejections: u64,
    /// Those of them that started nothing, because one had just been replaced or a fetch had just failed;
    /// see [`docs::rules`](crate::docs::rules).
    pub rejections_ignored: u64,
    /// Requests that [`OAuthService`](crate::OAuthService) sent again with a token of this cache.
    pub replays: u64,
}

impl Counts {
    /// All of these that are whole numbers, for an exporter: the name for Prometheus, a label beside
    /// `cache` if there is one, and the count. What a later version counts comes with them.
    ///
    /// ```
    /// use std::fmt::{self, Write};
    /// use tower_oauth::TokenCache;
    ///
    /// /// What Prometheus reads.
    /// fn page(tokens: &TokenCache) -> Result<String, fmt::Error> {
    ///     let mut page = String::new();
    ///     for (name, label, count) in tokens.status().counts.counters() {
    ///         let label = label.map(|(label, value)| format!("{{{label}=\"{value}\"}}"));
    ///         writeln!(page, "{name}{} {count}", label.unwrap_or_default())?;
    ///     }
    ///     Ok(page)
    /// }
    /// ```
    pub fn counters(
        &self,
    ) -> impl Iterator<Item = (&'static str, Option<(&'static str, &'static str)>, u64)> + use<>
    {
        const FETCHES: &str = "oauth_client_fetches_total";
        const FAILURES: &str = "oauth_client_fetch_failures_total";
        let reason = |reason: RefreshReason| Some(("reason", reason.as_str()));
        let error = |error| Some(("error", error));
        let Self { fetches, failures, .. } = self;
        [
            (FETCHES, reason(RefreshReason::Cold), fetches.cold),
            (FETCHES, reason(RefreshReason::Expired), fetches.expired),
            (FETCHES, reason(RefreshReason::Rejected), fetches.rejected),
            (FETCHES, reason(RefreshReason::Requested), fetches.requested),
            (FETCHES, reason(RefreshReason::Stale), fetches.stale),
            (FAILURES, error("denied"), failures.denied),
            (FAILURES, error("unavailable"), failures.unavailable),
            (FAILURES, error("invalid_response"), failures.invalid_response),
            (FAILURES, error("timeout"), failures.timeout),
            (FAILURES, error("other"), failures.other),
            ("oauth_client_fetches_same_again_total", None, self.same_again),
            ("oauth_client_flights_lost_total", None, self.flights_lost),
            ("oauth_client_waits_total", None, self.waits),
            ("oauth_client_stale_served_total", None, self.stale_served),
            ("oauth_client_rejections_total", None, self.rejections),
            ("oauth_client_rejections_ignored_total", None, self.rejections_ignored),
            ("oauth_client_replays_total", None, self.replays),
        ]
        .into_iter()
    }
}

/// Fetches that were begun, by their [`RefreshReason`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fetches {
    /// There was no token yet.
    pub cold: u64,
    /// The last one could no longer be used.
    pub expired: u64,
    /// The resource server had rejected the last one.
    pub rejected: u64,
    /// Somebody had asked for another one.
    pub requested: u64,
    /// The last one could still be used.
    pub stale: u64,
}

impl Fetches {
    pub(super) fn count(&mut self, reason: RefreshReason) {
        *match reason {
            RefreshReason::Cold => &mut self.cold,
            RefreshReason::Expired => &mut self.expired,
            RefreshReason::Rejected => &mut self.rejected,
            RefreshReason::Requested => &mut self.requested,
            RefreshReason::Stale => &mut self.stale,
        } += 1;
    }
}

/// Fetches that failed, by the [`ErrorKind`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failures {
    /// The authorization server refused: [`ErrorKind::Denied`].
    pub denied: u64,
    /// [`ErrorKind::Unavailable`].
    pub unavailable: u64,
    /// [`ErrorKind::InvalidResponse`].
    pub invalid_response: u64,
    /// [`ErrorKind::Timeout`].
    pub timeout: u64,
    /// All other kinds.
    pub other: u64,
}

impl Failures {
    /// Gives the value of the label.
    pub(super) fn count(&mut self, kind: ErrorKind) -> &'static str {
        let (label, count) = match kind {
            ErrorKind::Denied => ("denied", &mut self.denied),
            ErrorKind::Unavailable => ("unavailable", &mut self.unavailable),
            ErrorKind::InvalidResponse => ("invalid_response", &mut self.invalid_response),
            ErrorKind::Timeout => ("timeout", &mut self.timeout),
            _ => ("other", &mut self.other),
        };
        *count += 1;
        label
    }
}
