//! The cases by name.

use http::{HeaderValue, header::AUTHORIZATION};
use tower::{BoxError, Layer, filter::AsyncFilterLayer};
use tower_http::{auth::AddAuthorizationLayer, set_header::SetRequestHeaderLayer};

use crate::{
    api::{Api, Drive, Request},
    issuer::{Issuer, secret},
    peer,
};

/// Everything whose cost per request is measured.
pub const ALL: &[&str] = &[
    "none",
    "srh",
    "add_authorization",
    "filter",
    "kube",
    "google",
    "smithy",
    "huskarl",
    "hand",
    "ours",
    "ours_empty_body",
];

/// Those that get their token themselves.
pub const CACHES: &[&str] =
    &["kube", "google", "smithy", "huskarl", "hand", "ours", "ours_empty_body"];

/// Those of `known` that were asked for; all of them if none was.
pub fn chosen(known: &[&'static str], asked: &[&str]) -> Result<Vec<&'static str>, BoxError> {
    if asked.is_empty() {
        return Ok(known.to_vec());
    }
    let find = |asked: &&str| {
        let found = known.iter().copied().find(|case| case == asked);
        found.ok_or_else(|| BoxError::from(format!("no such case here: {asked}")))
    };
    asked.iter().map(find).collect()
}

/// Builds a case in front of `resource`, with tokens from `issuer`, and drives it.
pub async fn with<D: Drive>(
    case: &str,
    issuer: &Issuer,
    resource: impl Api,
    drive: D,
) -> Result<D::Output, BoxError> {
    Ok(match case {
        "none" => drive.drive(resource).await,
        "srh" => {
            let layer = SetRequestHeaderLayer::overriding(AUTHORIZATION, constant()?);
            drive.drive(layer.layer(resource)).await
        }
        "add_authorization" => {
            let layer = AddAuthorizationLayer::bearer(&secret(0));
            drive.drive(layer.layer(resource)).await
        }
        // What tower's own wrapper for an async closure costs: google, smithy and hand stand in it,
        // kube brings its own.
        "filter" => {
            let value = constant()?;
            let layer = AsyncFilterLayer::new(move |mut request: Request| {
                let value = value.clone();
                async move {
                    request.headers_mut().insert(AUTHORIZATION, value);
                    Ok::<_, BoxError>(request)
                }
            });
            drive.drive(layer.layer(resource)).await
        }
        "kube" => drive.drive(peer::kube::service(issuer, resource)?).await,
        "google" => drive.drive(peer::google::service(issuer, resource)?).await,
        "smithy" => drive.drive(peer::smithy::service(issuer, resource)?).await,
        "huskarl" => drive.drive(peer::huskarl::service(issuer, resource)?).await,
        "hand" => drive.drive(peer::hand::service(issuer, resource)?).await,
        "ours" => drive.drive(peer::ours::never(issuer, resource)?).await,
        "ours_empty_body" => drive.drive(peer::ours::empty_body(issuer, resource)?).await,
        _ => return Err(format!("no such case: {case}").into()),
    })
}

/// A token that never changes, in a value with a reference count.
fn constant() -> Result<HeaderValue, BoxError> {
    Ok(HeaderValue::from_maybe_shared(bytes::Bytes::from(format!("Bearer {}", secret(0))))?)
}
