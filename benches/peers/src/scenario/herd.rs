//! Many callers, none of whom finds a token.

use std::time::{Duration, Instant};

use tower::{BoxError, ServiceExt};

use crate::{
    api::{Api, Drive, request},
    case,
    issuer::Issuer,
    resource,
};

/// Number of token requests, of requests that got through, and the time until the last of them.
pub fn print(cases: &[&str]) -> Result<(), BoxError> {
    for case in cases {
        for callers in [1000, 10_000] {
            let issuer = Issuer::new(Duration::from_millis(10));
            let herd = super::runtime()?.block_on(case::with(
                case,
                &issuer,
                resource::strict(),
                Herd(callers),
            ))?;
            println!("herd.{case}.{callers}.fetches {}", issuer.requests());
            println!("herd.{case}.{callers}.served {}", herd.served);
            println!("herd.{case}.{callers}.ms {:.1}", herd.slowest.as_secs_f64() * 1e3);
        }
    }
    Ok(())
}

/// Sends that many requests at once.
pub struct Herd(pub usize);

pub struct Outcome {
    pub served: usize,
    /// Of all callers, whether served or not, counted from when the first of them set out.
    pub slowest: Duration,
}

impl Drive for Herd {
    type Output = Outcome;

    async fn drive(self, api: impl Api) -> Outcome {
        let start = Instant::now();
        let callers: Vec<_> =
            (0..self.0).map(|_| tokio::spawn(api.clone().oneshot(request(0)))).collect();
        let mut served = 0;
        for caller in callers {
            served += usize::from(matches!(caller.await, Ok(Ok(_))));
        }
        Outcome { served, slowest: start.elapsed() }
    }
}
