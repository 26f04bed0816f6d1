//! google-cloud-auth: credentials that hand out a map of headers.

use std::sync::Once;

use google_cloud_auth::credentials::{CacheableResource, user_account};
use http::Extensions;
use tower::{BoxError, Layer, filter::AsyncFilterLayer};

use crate::{
    api::{Api, Request},
    issuer::Issuer,
};

/// Its fetchers cannot be replaced, only sent to another place: the user account's takes any URI.
///
/// Wrapper: `headers()` is an async fn, so that a tower stack needs an `AsyncFilter` around it.
/// `Extensions` stay empty, which the documentation says is right for whoever derives nothing from
/// the headers.
pub fn service(issuer: &Issuer, resource: impl Api) -> Result<impl Api, BoxError> {
    static TLS: Once = Once::new();
    TLS.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    let credentials = user_account::Builder::new(serde_json::json!({
        "client_id": "id",
        "client_secret": "secret",
        "refresh_token": "refresh",
        "type": "authorized_user",
    }))
    .with_token_uri(format!("http://{}/token", issuer.listen()?))
    .build()?;
    let layer = AsyncFilterLayer::new(move |mut request: Request| {
        let credentials = credentials.clone();
        async move {
            match credentials.headers(Extensions::new()).await? {
                CacheableResource::New { data, .. } => request.headers_mut().extend(data),
                CacheableResource::NotModified => return Err("there was no tag to match".into()),
            }
            Ok::<_, BoxError>(request)
        }
    });
    Ok(layer.layer(resource))
}
