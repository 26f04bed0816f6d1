//! Lifetimes: durations, and points in time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::Response;
use tower_oauth::token_endpoint::{LifetimeUnit, ResponseField};

use crate::{builder, read, response};

/// 2026-11-26 10:01:08 UTC.
const NOW: u64 = 1_795_687_268;
const HOUR: Option<u64> = Some(3600);
const YEAR: Option<u64> = Some(365 * 24 * 3600);

fn at(now: u64, lifetime: &str) -> Response<Bytes> {
    let mut response =
        response(200, format!(r#"{{"access_token":"tok","expires_in":{lifetime}}}"#));
    let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(now));
    response.headers_mut().insert("date", date.parse().unwrap());
    response
}

async fn lifetime(unit: LifetimeUnit, response: Response<Bytes>) -> Option<u64> {
    let token = read(builder().lifetime_unit(unit), response).await.unwrap();
    token.lifetime().map(|lifetime| lifetime.as_secs_f64().round() as u64)
}

#[tokio::test]
async fn points_in_time_are_seen_as_such() {
    use LifetimeUnit::{Milliseconds, Rfc3339, Seconds, UnixSeconds};
    for (unit, written, read) in [
        (Seconds, "1795690868", HOUR),
        (Seconds, "1795690868.0", HOUR),
        (Seconds, r#""1795690868""#, HOUR),
        (Seconds, "1795690868000", HOUR),
        (Seconds, r#""1795690868000""#, HOUR),
        (Seconds, "999999999", YEAR),
        (Milliseconds, "1795690868000", HOUR),
        (Milliseconds, "3600000", HOUR),
        // A hundred days.
        (Milliseconds, "8640000000", Some(8_640_000)),
        (UnixSeconds, "1795690868", HOUR),
        (UnixSeconds, r#"" 1795690868 ""#, HOUR),
        (UnixSeconds, "1795690868000", HOUR),
        (Rfc3339, r#""2026-11-26T11:01:08Z""#, HOUR),
        (Rfc3339, r#""2026-11-26t11:01:08.000z""#, HOUR),
        (Rfc3339, r#"" 2026-11-26 11:01:08Z ""#, HOUR),
        (Rfc3339, r#""2026-11-26T11:01:08.123456789Z""#, HOUR),
        (Rfc3339, r#""2026-11-26T12:31:08+01:30""#, HOUR),
        (Rfc3339, r#""2026-11-26T03:01:08-08:00""#, HOUR),
        (Rfc3339, r#""2026-11-27T00:01:08+13:00""#, HOUR),
        (Rfc3339, r#""2024-02-29T00:00:00Z""#, None),
        // It has just ended; and a server that never lets a token end.
        (Seconds, "1795687258", Some(0)),
        (UnixSeconds, "1795687258", Some(0)),
        (Rfc3339, r#""2026-11-26T10:00:58Z""#, Some(0)),
        (UnixSeconds, "99999999999", YEAR),
        (Rfc3339, r#""9999-12-31T23:59:59Z""#, YEAR),
        // Nonsense.
        (UnixSeconds, "3600", None),
        (UnixSeconds, "0", None),
        (UnixSeconds, "-1", None),
        (Seconds, "1000000000", None),
        (Rfc3339, "3600", None),
        (Rfc3339, r#""soon""#, None),
        (Rfc3339, r#""""#, None),
        (Rfc3339, r#""2026-11-26""#, None),
        (Rfc3339, r#""2026-13-26T11:01:08Z""#, None),
        (Rfc3339, r#""2026-11-31T11:01:08Z""#, None),
        (Rfc3339, r#""2026-11-26T11:01:08""#, None),
        (Rfc3339, r#""2026-11-26T11:01:08+1""#, None),
        (Rfc3339, r#""2026-11-26T11:01:08+01:00:00""#, None),
        (Rfc3339, r#""2026é11-26T11:01:08Z""#, None),
    ] {
        assert_eq!(lifetime(unit, at(NOW, written)).await, read, "{unit:?} {written}");
    }
}

/// The server's clock counts, which may be hours apart from ours; without it, ours.
#[tokio::test]
async fn a_point_in_time_is_compared_with_the_response_s_date() {
    let ours = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    for apart in [0, 7200] {
        for now in [ours - apart, ours + apart] {
            let end = (now + 3600).to_string();
            assert_eq!(lifetime(LifetimeUnit::Seconds, at(now, &end)).await, HOUR);
        }
    }
    for date in [None, Some("yesterday")] {
        let mut response = at(0, &(ours + 3600).to_string());
        response.headers_mut().remove("date");
        if let Some(date) = date {
            response.headers_mut().insert("date", date.parse().unwrap());
        }
        let left = lifetime(LifetimeUnit::Seconds, response).await.unwrap();
        assert!((3590..=3601).contains(&left), "{left}");
    }
}

/// App Service has only this field, and has it as text.
#[tokio::test]
async fn a_field_of_another_name() {
    let mut response = at(NOW, "null");
    *response.body_mut() = r#"{"access_token":"tok","expires_on":"1795690868"}"#.into();
    let builder = builder().response_field(ResponseField::ExpiresIn, "expires_on");
    let token = read(builder, response).await.unwrap();
    assert_eq!(token.lifetime(), Some(Duration::from_secs(3600)));
}
