//! Many callers, and a token endpoint that answers 503.

use std::time::Duration;

use tower::BoxError;

use super::herd::Herd;
use crate::{case, issuer::Issuer, resource};

/// Number of token requests, and how long the slowest caller waited for its error. A peer that
/// asks once per caller, one after the other, needs 10 s.
pub fn print(cases: &[&str]) -> Result<(), BoxError> {
    const CALLERS: usize = 1000;
    for case in cases {
        let issuer = Issuer::down(Duration::from_millis(10));
        let herd = super::runtime()?.block_on(case::with(
            case,
            &issuer,
            resource::strict(),
            Herd(CALLERS),
        ))?;
        if herd.served > 0 {
            return Err(format!("{case}: {} requests left without a token", herd.served).into());
        }
        println!("down.{case}.{CALLERS}.requests {}", issuer.requests());
        println!("down.{case}.{CALLERS}.slowest_ms {:.1}", herd.slowest.as_secs_f64() * 1e3);
    }
    Ok(())
}
