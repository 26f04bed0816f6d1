//! What people write by hand: the crate oauth2, and a lock of tokio's around the token.

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderValue, StatusCode, header::AUTHORIZATION};
use oauth2::{
    AccessToken, ClientId, ClientSecret, EndpointNotSet, EndpointSet, HttpRequest, TokenResponse,
    TokenUrl, basic::BasicClient,
};
use tokio::sync::Mutex;
use tower::{BoxError, ServiceExt, service_fn};

use crate::{
    api::{Api, Request},
    issuer::Issuer,
};

/// oauth2 keeps no token; its documentation ends with the response. The rest is what is found in
/// applications: the lock is held while a token is fetched, and a 401 empties it.
///
/// Wrapper: an async fn before the request and a look at the response, thus a `service_fn`.
pub fn service(issuer: &Issuer, resource: impl Api) -> Result<impl Api, BoxError> {
    let client = BasicClient::new(ClientId::new("id".into()))
        .set_client_secret(ClientSecret::new("secret".into()))
        .set_token_uri(TokenUrl::new("https://idp.example.com/token".into())?);
    let tokens = Arc::new(Tokens { client, issuer: issuer.clone(), held: Mutex::new(None) });
    Ok(service_fn(move |mut request: Request| {
        let tokens = tokens.clone();
        let mut resource = resource.clone();
        async move {
            let value = tokens.authorization().await?;
            request.headers_mut().insert(AUTHORIZATION, value);
            let response = resource.ready().await?.call(request).await?;
            if response.status() == StatusCode::UNAUTHORIZED {
                *tokens.held.lock().await = None;
            }
            Ok::<_, BoxError>(response)
        }
    }))
}

struct Tokens {
    client:
        BasicClient<EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet>,
    issuer: Issuer,
    held: Mutex<Option<Held>>,
}

struct Held {
    token: AccessToken,
    expires_at: Instant,
}

impl Tokens {
    async fn authorization(&self) -> Result<HeaderValue, BoxError> {
        const MARGIN: Duration = Duration::from_secs(30);
        let mut held = self.held.lock().await;
        if held.as_ref().is_none_or(|held| held.expires_at < Instant::now() + MARGIN) {
            let fetched = self.fetch().await?;
            *held = Some(fetched);
        }
        let token = &held.as_ref().ok_or("just fetched")?.token;
        let mut value = HeaderValue::from_str(&format!("Bearer {}", token.secret()))?;
        value.set_sensitive(true);
        Ok(value)
    }

    async fn fetch(&self) -> Result<Held, BoxError> {
        let http = |_: HttpRequest| {
            let issuer = self.issuer.clone();
            async move {
                let (status, body) = issuer.response().await;
                let mut response = http::Response::new(body.into_bytes());
                *response.status_mut() = status;
                Ok::<_, Infallible>(response)
            }
        };
        let response = self.client.exchange_client_credentials().request_async(&http).await?;
        let lifetime = response.expires_in().unwrap_or(Duration::from_secs(300));
        Ok(Held { token: response.access_token().clone(), expires_at: Instant::now() + lifetime })
    }
}
