//! The lifetime in a response.

use std::time::Duration;

use super::fields::Scalar;

/// The cache caps lifetimes at this too; nothing that adds it to a time can overflow.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// What the lifetime in a response is counted in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "config", derive(serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum LifetimeUnit {
    /// Seconds (RFC 6749 §5.1).
    #[default]
    Seconds,
    /// Milliseconds, as some servers written in Java or JavaScript count.
    Milliseconds,
}

impl LifetimeUnit {
    /// `None` if the value is not a number. A lifetime that has ended is 0.
    pub(super) fn read(self, value: &Scalar) -> Option<Duration> {
        let number = match value {
            Scalar::Number(number) => *number,
            Scalar::Text(text) => text.trim().parse().ok()?,
            Scalar::Other => return None,
        };
        let seconds = match self {
            Self::Seconds => number,
            Self::Milliseconds => number / 1000.0,
        };
        // What is not a number stays none.
        Duration::try_from_secs_f64(seconds.clamp(0.0, LONGEST.as_secs_f64())).ok()
    }
}
