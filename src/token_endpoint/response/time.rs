//! What time it is, and how long to wait, by a response's headers.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, header};

/// The server's clock, which can be hours apart from ours; ours if the response has no date.
pub(super) fn now(headers: &HeaderMap) -> SystemTime {
    date(headers, &header::DATE).unwrap_or_else(SystemTime::now)
}

/// How long the server asks for patience (RFC 9110 §10.2.3).
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // Too many digits for a `u64` is a long time.
        return Some(Duration::from_secs(value.parse().unwrap_or_else(|_| u32::MAX.into())));
    }
    let end = date(headers, &header::RETRY_AFTER)?;
    Some(end.duration_since(now(headers)).unwrap_or_default())
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?.trim()).ok()
}
