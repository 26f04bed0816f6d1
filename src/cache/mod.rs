//! A cache of one token.
mod clock;

pub use clock::{Clock, SystemClock};
