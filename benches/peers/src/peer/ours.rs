//! tower-oauth: this repository's crate, in the same harness. It is a tower layer, no wrapper.

use tower::{BoxError, Layer};
use tower_oauth::{OAuthLayer, Token, fetch_fn, replay::Never};

use crate::{
    api::Api,
    issuer::{Issuer, LIFETIME},
};

/// With its default, which sends a rejected request again.
pub fn default(issuer: &Issuer, resource: impl Api) -> Result<impl Api, BoxError> {
    Ok(layer(issuer)?.layer(resource))
}

/// Without sending anything again, as all the other cases.
pub fn never(issuer: &Issuer, resource: impl Api) -> Result<impl Api, BoxError> {
    Ok(layer(issuer)?.replay(Never).layer(resource))
}

fn layer(issuer: &Issuer) -> Result<OAuthLayer, BoxError> {
    let issuer = issuer.clone();
    let fetcher = fetch_fn(move |_| {
        let issuer = issuer.clone();
        async move {
            let secret = issuer.issue().await?;
            Ok::<_, BoxError>(Token::bearer(secret).with_lifetime(LIFETIME))
        }
    });
    Ok(OAuthLayer::new(fetcher).origin("https://api.example.com")?)
}
