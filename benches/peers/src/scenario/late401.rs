//! 50 requests in flight with one token, which are then rejected one after the other: the next one
//! when the caller before has been served, so that each finds the token replaced.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use tokio::task::JoinSet;
use tower::{BoxError, ServiceExt};

use crate::{
    api::{Api, Drive, request},
    case,
    issuer::Issuer,
    resource::Late,
};

/// They have no way to give a token up before it expires.
const CANNOT: [&str; 3] = ["kube", "google", "smithy"];

/// Number of token requests, and how many of them came after the first token.
pub fn print(cases: &[&str]) -> Result<(), BoxError> {
    for case in cases {
        if CANNOT.contains(case) {
            println!("late401.{case}.requests n/a");
            println!("late401.{case}.refreshes n/a");
            println!("late401.{case}.served n/a");
            continue;
        }
        let issuer = Issuer::new(Duration::from_millis(1));
        let late = Late::new();
        let (resource, drive) = (late.service(), Rejections(late));
        let served = super::runtime()?.block_on(case::with(case, &issuer, resource, drive))??;
        println!("late401.{case}.requests {}", issuer.requests());
        println!("late401.{case}.refreshes {}", issuer.requests() - 1);
        println!("late401.{case}.served {served}");
    }
    Ok(())
}

const CALLERS: usize = 50;

struct Rejections(Arc<Late>);

impl Drive for Rejections {
    /// The number of callers that got through, at the latest with their second request.
    type Output = Result<usize, BoxError>;

    async fn drive(self, api: impl Api) -> Self::Output {
        api.clone().oneshot(request(0)).await?;
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            callers.spawn(twice(api.clone()));
        }
        self.0.arrived(CALLERS).await;
        let mut served = 0;
        for _ in 0..CALLERS {
            self.0.reject_one();
            if let Some(caller) = callers.join_next().await {
                served += usize::from(caller??);
            }
        }
        Ok(served)
    }
}

/// A caller that sends its request again when it comes back with a 401, as the documented loops do.
async fn twice(api: impl Api) -> Result<bool, BoxError> {
    for _ in 0..2 {
        if api.clone().oneshot(request(0)).await?.status() != StatusCode::UNAUTHORIZED {
            return Ok(true);
        }
    }
    Ok(false)
}
