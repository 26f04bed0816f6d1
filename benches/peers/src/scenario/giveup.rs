//! Callers that wait 30 ms for a fetch that takes 50, one after the other.

use std::time::Duration;

use tower::{BoxError, ServiceExt};

use crate::{
    api::{Api, Drive, request},
    case,
    issuer::Issuer,
    resource,
};

const TRIES: usize = 40;

/// On which try a request gets through, and the number of token requests until then.
pub fn print(cases: &[&str]) -> Result<(), BoxError> {
    for case in cases {
        let issuer = Issuer::new(Duration::from_millis(50));
        let success = super::runtime()?.block_on(case::with(
            case,
            &issuer,
            resource::strict(),
            Impatience,
        ))??;
        match success {
            Some(attempt) => println!("giveup.{case}.try {attempt}"),
            None => println!("giveup.{case}.try never"),
        }
        println!("giveup.{case}.requests {}", issuer.requests());
    }
    Ok(())
}

struct Impatience;

impl Drive for Impatience {
    type Output = Result<Option<usize>, BoxError>;

    async fn drive(self, api: impl Api) -> Self::Output {
        for attempt in 1..=TRIES {
            let sent = api.clone().oneshot(request(0));
            if let Ok(response) = tokio::time::timeout(Duration::from_millis(30), sent).await {
                response?;
                return Ok(Some(attempt));
            }
        }
        Ok(None)
    }
}
