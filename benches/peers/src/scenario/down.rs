//! Many callers, and a token endpoint that responds with 503.

use std::time::{Duration, Instant};

use tower::{BoxError, ServiceExt};

use crate::{
    api::{Api, Drive, request},
    case,
    issuer::Issuer,
    resource,
};

const CALLERS: usize = 1000;

/// The number of token requests, and how long the slowest caller waited for its error. A peer that
/// asks once per caller, one after the other, needs 10 s.
pub fn down(case: &str) -> Result<(usize, Duration), BoxError> {
    let issuer = Issuer::down(Duration::from_millis(10));
    let slowest =
        super::runtime()?.block_on(case::with(case, &issuer, resource::strict(), Herd))??;
    Ok((issuer.requests(), slowest))
}

struct Herd;

impl Drive for Herd {
    /// The time until the last caller has its error.
    type Output = Result<Duration, BoxError>;

    async fn drive(self, api: impl Api) -> Self::Output {
        let start = Instant::now();
        let callers: Vec<_> =
            (0..CALLERS).map(|_| tokio::spawn(api.clone().oneshot(request()))).collect();
        for caller in callers {
            if caller.await?.is_ok() {
                return Err("a request left without a token".into());
            }
        }
        Ok(start.elapsed())
    }
}
