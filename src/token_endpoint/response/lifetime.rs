//! The lifetime in a response.

use std::time::{Duration, UNIX_EPOCH};

use http::HeaderMap;

use super::{fields::Scalar, time::now};

/// The cache caps lifetimes at this too; nothing that adds it to a time can overflow.
const LONGEST: f64 = 365.0 * 24.0 * 60.0 * 60.0;

/// From here on a number of seconds, or of milliseconds, is a point in time: no token lives for 31
/// years.
const EPOCH_SECONDS: f64 = 1e9;
const EPOCH_MILLISECONDS: f64 = 1e12;

/// The unit of the lifetime in a response.
///
/// A point in time is compared with the response's `Date`, or with the wall clock if it has none.
/// A value that makes no sense, such as a point in time long past, is ignored: the cache's default
/// holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "config", derive(serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum LifetimeUnit {
    /// Seconds (RFC 6749 §5.1). The default. A number from 1,000,000,000 on is taken for a point in
    /// time in seconds of the Unix epoch, and one from 1,000,000,000,000 on for one in milliseconds.
    #[default]
    Seconds,
    /// Milliseconds, as some servers written in Java or JavaScript count. A number from
    /// 1,000,000,000,000 on is taken for a point in time in milliseconds of the Unix epoch.
    Milliseconds,
    /// The point in time at which the token ends, in seconds of the Unix epoch: the `expires_on` of
    /// Azure App Service and AD FS. A number from 1,000,000,000,000 on counts milliseconds.
    UnixSeconds,
    /// The point in time at which the token ends, as text (RFC 3339): Google's `expireTime`, Vault's
    /// `expire_time`.
    Rfc3339,
}

impl LifetimeUnit {
    /// `None` if there is none. A lifetime that has ended is 0.
    pub(super) fn read(self, value: &Scalar, headers: &HeaderMap) -> Option<Duration> {
        let end = match (self, value) {
            (_, Scalar::Other) | (Self::Rfc3339, Scalar::Number(_)) => return None,
            (Self::Rfc3339, Scalar::Text(text)) => rfc3339(text.trim())?,
            (unit, value) => {
                let number = match value {
                    Scalar::Text(text) => text.trim().parse().ok()?,
                    Scalar::Number(number) => *number,
                    Scalar::Other => return None,
                };
                match unit {
                    _ if number >= EPOCH_MILLISECONDS => number / 1000.0,
                    Self::Milliseconds => return duration(number / 1000.0),
                    Self::Seconds if number < EPOCH_SECONDS => return duration(number),
                    _ => number,
                }
            }
        };
        let now = now(headers).duration_since(UNIX_EPOCH).ok()?;
        let left = end - now.as_secs_f64();
        (left >= -LONGEST).then(|| duration(left))?
    }
}

/// `None` if it is not a number.
fn duration(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds.clamp(0.0, LONGEST)).ok()
}

/// Seconds of the Unix epoch (RFC 3339 §5.6).
fn rfc3339(text: &str) -> Option<f64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (moment, rest) = text.split_at_checked("2026-11-26T10:01:08".len())?;
    let (date, time) = moment.split_once(['T', 't', ' '])?;
    let (year, date) = date.split_once('-')?;
    let (month, day) = date.split_once('-')?;
    let month = MONTHS.get(month.parse::<usize>().ok()?.checked_sub(1)?)?;
    // The one day of the week that it was makes a date that can be read.
    let moment =
        ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].into_iter().find_map(|weekday| {
            let date = format!("{weekday}, {day} {month} {year} {time} GMT");
            httpdate::parse_http_date(&date).ok()
        })?;
    let moment = moment.duration_since(UNIX_EPOCH).ok()?.as_secs_f64();
    // A part of a second does not matter.
    let zone = rest.trim_start_matches(|char: char| char == '.' || char.is_ascii_digit());
    if zone.eq_ignore_ascii_case("z") {
        return Some(moment);
    }
    let (hours, minutes) = zone.split_once(':')?;
    let ahead = hours.strip_prefix(['+', '-'])?.parse::<f64>().ok()? * 3600.0
        + minutes.parse::<u8>().map(f64::from).ok()? * 60.0;
    Some(if hours.starts_with('-') { moment + ahead } else { moment - ahead })
}
