//! What has happened to a cache.

use std::time::Duration;

use crate::{error::ErrorKind, fetch::RefreshReason};

/// What has happened to a cache since it was built; part of its [`CacheStatus`](super::CacheStatus). An
/// exporter reads it when it is asked for metrics. A request that finds a fresh token counts nothing,
/// and so costs nothing.
///
/// All of these only grow. They belong to one cache, whose [name](super::TokenCacheBuilder::name) is the
/// only label besides `reason` and `error`: no other value comes from outside.
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
/// `examples/metrics` is a complete program.
///
/// # Alerts
///
/// | what happens | expression |
/// |---|---|
/// | the client is refused | `increase(oauth_client_fetch_failures_total{error="denied"}[5m]) > 0` |
/// | tokens run out, and cannot be replaced | `oauth_client_ready == 0` |
/// | the endpoint is down, while tokens can still be used | `increase(oauth_client_fetch_failures_total[5m]) > 3` |
/// | tokens are rejected, and not replaced or replaced in vain | `rate(oauth_client_rejections_ignored_total[5m]) > 0`, for ten minutes |
///
/// An idle cache lets its token expire, so `oauth_client_token_expires_in_seconds` is 0 there, and no reason
/// for an alert.
///
/// # Logs
///
/// Everything is logged with `tracing`, with the target `tower_oauth`. A fetch is the span `oauth.fetch`
/// with the fields `name`, `reason`, `outcome` (`token`, `same_again`, `lost`, or the label of a
/// failure) and `ms`; it follows from the span of the request that started it. A failed fetch is one
/// warning, with its full cause. Rejections and replays are events at level `debug`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Fetches that were started.
    pub fetches: Fetches,
    /// Fetches that failed.
    pub failures: Failures,
    /// Fetches that returned the secret that was already held.
    pub same_again: u64,
    /// Fetches that ended without a result, because their runtime went away or nobody drove it.
    pub flights_lost: u64,
    /// How long all fetches took that returned a token or failed.
    pub fetch_time: Duration,
    /// How often a caller asked for a token, and a fetch was needed before there was one; each caller
    /// that shares one counts, even if it does not wait, as in
    /// [`try_authorization`](crate::TokenCache::try_authorization).
    pub waits: u64,
    /// How often a token that was due for refresh was handed out.
    pub stale_served: u64,
    /// Rejections reported to the cache, including those of older tokens.
    pub rejections: u64,
    /// Rejections that were ignored, because a rejected token had just been replaced or a fetch had just
    /// failed; see [`docs::rules`](crate::docs::rules).
    pub rejections_ignored: u64,
    /// Requests that [`OAuthService`](crate::OAuthService) sent again with a token of this cache.
    pub replays: u64,
}

impl Counts {
    /// All counts that are whole numbers, for an exporter: the name for Prometheus, a label besides
    /// `cache` if there is one, and the count. It will include what later versions count.
    ///
    /// ```
    /// use std::collections::BTreeMap;
    /// use tower_oauth::TokenCache;
    ///
    /// /// What Prometheus reads: of each metric first what it is, and then the lines of all caches.
    /// fn page(caches: &[TokenCache]) -> String {
    ///     let mut metrics = BTreeMap::new();
    ///     for status in caches.iter().map(TokenCache::status) {
    ///         let cache = status.name().unwrap_or("unnamed");
    ///         for (name, label, count) in status.counts.counters() {
    ///             let label = label.map(|(label, value)| format!(",{label}=\"{value}\""));
    ///             let label = label.unwrap_or_default();
    ///             *metrics.entry(name).or_insert_with(|| {
    ///                 let help = "See tower_oauth::cache::Counts.";
    ///                 format!("# HELP {name} {help}\n# TYPE {name} counter\n")
    ///             }) += &format!("{name}{{cache=\"{cache}\"{label}}} {count}\n");
    ///         }
    ///     }
    ///     metrics.into_values().collect()
    /// }
    /// # let fetcher = || tower_oauth::fetch_fn(|_| async { Err::<tower_oauth::Token, _>(std::fmt::Error) });
    /// # let page = page(&[TokenCache::new(fetcher()), TokenCache::new(fetcher())]);
    /// # let metrics = page.lines().filter(|line| line.starts_with("# TYPE "));
    /// # assert_eq!(metrics.count(), 9, "{page}");
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

/// Fetches that were started, by their [`RefreshReason`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fetches {
    /// There was no token yet.
    pub cold: u64,
    /// The last token could no longer be used.
    pub expired: u64,
    /// The resource server had rejected the last token.
    pub rejected: u64,
    /// Somebody had asked for another token.
    pub requested: u64,
    /// The last token could still be used.
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
    /// Returns the value of the label.
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
