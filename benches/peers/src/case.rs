//! The cases by name.

use http::{HeaderValue, header::AUTHORIZATION};
use tower::{BoxError, Layer};
use tower_http::set_header::SetRequestHeaderLayer;

use crate::{
    api::{Api, Drive},
    issuer::{Issuer, secret},
    peer,
};

/// The cases, as they are asked for and as they are shown. `none` is what they are compared with.
pub const ALL: [(&str, &str); 8] = [
    ("ours", "**tower-oauth**"),
    ("ours_never", "tower-oauth, `Never`"),
    ("google", "google-cloud-auth"),
    ("kube", "kube-client"),
    ("smithy", "aws-smithy-runtime"),
    ("huskarl", "huskarl"),
    ("hand", "oauth2, a lock by hand"),
    ("srh", "a constant, by tower-http"),
];

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
        "kube" => drive.drive(peer::kube::service(issuer, resource)?).await,
        "google" => drive.drive(peer::google::service(issuer, resource)?).await,
        "smithy" => drive.drive(peer::smithy::service(issuer, resource)?).await,
        "huskarl" => drive.drive(peer::huskarl::service(issuer, resource)?).await,
        "hand" => drive.drive(peer::hand::service(issuer, resource)?).await,
        "ours" => drive.drive(peer::ours::default(issuer, resource)?).await,
        "ours_never" => drive.drive(peer::ours::never(issuer, resource)?).await,
        _ => return Err(format!("no such case: {case}").into()),
    })
}

/// A token that never changes, in a value with a reference count.
fn constant() -> Result<HeaderValue, BoxError> {
    Ok(HeaderValue::from_maybe_shared(bytes::Bytes::from(format!("Bearer {}", secret(0))))?)
}
