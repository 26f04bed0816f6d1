//! kube-client: it is a tower layer already, for all who come by its `Config`.

use kube_client::{Config, client::ConfigExt};
use tower::{BoxError, Layer};

use crate::{api::Api, issuer::Issuer};

/// The layer's type is not exported, but `ConfigExt::auth_layer` returns it; `Client::new` in the
/// documentation puts it into a `ServiceBuilder` like this.
///
/// A token that it fetches itself comes from an exec plugin, which is how the large clouds do it:
/// here this program, as a child process that asks the issuer over HTTP. The other ways are files,
/// which are read and never fetched, and OIDC and Google's OAuth, which accept https only.
pub fn service(issuer: &Issuer, resource: impl Api) -> Result<impl Api, BoxError> {
    let address = issuer.listen()?;
    let mut config = Config::new("https://api.example.com".parse()?);
    config.auth_info.exec = Some(serde_json::from_value(serde_json::json!({
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": std::env::current_exe()?,
        "args": ["exec-plugin", address.to_string()],
        "interactiveMode": "Never",
    }))?);
    let layer = config.auth_layer()?.ok_or("kube-client found nothing to authorize with")?;
    Ok(layer.layer(resource))
}
