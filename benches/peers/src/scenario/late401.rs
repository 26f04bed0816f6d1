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

/// The number of token requests after the first token; none for a peer that cannot.
pub fn late401(case: &str) -> Result<Option<usize>, BoxError> {
    if CANNOT.contains(&case) {
        return Ok(None);
    }
    let issuer = Issuer::new(Duration::from_millis(1));
    let late = Late::new();
    let (resource, drive) = (late.service(), Rejections(late));
    let served = super::runtime()?.block_on(case::with(case, &issuer, resource, drive))??;
    if served < CALLERS {
        return Err(format!("{case}: {served} of {CALLERS} callers got through").into());
    }
    Ok(Some(issuer.requests() - 1))
}

const CALLERS: usize = 50;

struct Rejections(Arc<Late>);

impl Drive for Rejections {
    /// The number of callers that got through, at the latest with their second request.
    type Output = Result<usize, BoxError>;

    async fn drive(self, api: impl Api) -> Self::Output {
        api.clone().oneshot(request()).await?;
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
        if api.clone().oneshot(request()).await?.status() != StatusCode::UNAUTHORIZED {
            return Ok(true);
        }
    }
    Ok(false)
}
