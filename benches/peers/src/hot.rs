//! The loop that is measured: requests of which every one finds a token.

use std::{hint::black_box, time::Duration};

use tower::{BoxError, ServiceExt};

use crate::{
    allocations::Allocations,
    api::{Api, Drive, request},
    case,
    issuer::Issuer,
    resource::Instant,
};

/// Sends requests to get the token, and `iterations` more, one after the other. Returns what
/// those have allocated.
pub fn run(case: &str, headers: usize, iterations: usize) -> Result<Allocations, BoxError> {
    if headers > 8 {
        return Err("at most 8 headers".into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let issuer = Issuer::new(Duration::ZERO);
    runtime.block_on(case::with(case, &issuer, Instant, Loop { headers, iterations }))?
}

struct Loop {
    headers: usize,
    iterations: usize,
}

impl Drive for Loop {
    type Output = Result<Allocations, BoxError>;

    async fn drive(self, mut api: impl Api) -> Self::Output {
        // Two: some peers set something up with the first token that is read, not with the fetch.
        for _ in 0..2 {
            api.ready().await?.call(request(self.headers)).await?;
        }
        let before = Allocations::so_far();
        // Without it tokio's locks and channels would yield to the runtime every 128 requests, and
        // the runtime's work would be counted as theirs.
        tokio::task::unconstrained(async {
            for _ in 0..self.iterations {
                let response = api.ready().await?.call(request(self.headers)).await?;
                black_box(&response);
            }
            Ok::<_, BoxError>(())
        })
        .await?;
        Ok(before.until_now())
    }
}
