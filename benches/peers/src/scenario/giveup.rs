//! Callers that wait 100 ms for a fetch that takes 150, one after the other. Times that a busy machine
//! does not blur.

use std::time::Duration;

use tower::{BoxError, ServiceExt};

use crate::{
    api::{Api, Drive, request},
    case,
    issuer::Issuer,
    resource,
};

const TRIES: usize = 20;

/// On which try a request gets through, if one does; and the number of token requests until then.
pub fn giveup(case: &str) -> Result<(Option<usize>, usize), BoxError> {
    let issuer = Issuer::new(Duration::from_millis(150));
    let served =
        super::runtime()?.block_on(case::with(case, &issuer, resource::strict(), Impatience))??;
    Ok((served, issuer.requests()))
}

struct Impatience;

impl Drive for Impatience {
    type Output = Result<Option<usize>, BoxError>;

    async fn drive(self, api: impl Api) -> Self::Output {
        for attempt in 1..=TRIES {
            let sent = api.clone().oneshot(request());
            if let Ok(response) = tokio::time::timeout(Duration::from_millis(100), sent).await {
                response?;
                return Ok(Some(attempt));
            }
        }
        Ok(None)
    }
}
