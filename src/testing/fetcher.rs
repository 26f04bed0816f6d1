//! A fetcher without a network.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{
    Request, Response, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use tower_service::Service;

use super::AuthorizationServer;
use crate::{Error, ErrorKind, Token, TokenRequest, error::BoxError};

/// A fetcher that asks an [`AuthorizationServer`] in this process; made by
/// [`AuthorizationServer::fetcher`].
///
/// What it sends is a token request like any other, which the server counts, delays and responds to
/// from its script. It reads the plain responses that the server gives; for what else is out there
/// use `TokenEndpoint` on the server as its HTTP service.
#[derive(Clone)]
pub struct Fetcher {
    server: AuthorizationServer,
    form: Bytes,
}

impl Fetcher {
    /// The client that every server knows at first.
    pub(super) const CLIENT: &str = "client";

    pub(super) fn new(server: AuthorizationServer, secret: &str) -> Self {
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_id", Self::CLIENT)
            .append_pair("client_secret", secret)
            .finish();
        Self { server, form: form.into() }
    }

    async fn fetch(mut self) -> Result<Token, Error> {
        let unavailable = |error: BoxError| Error::new(ErrorKind::Unavailable).with_source(error);
        let path = self.server.state().token_path.clone();
        let request = Request::post(path)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::new(self.form.clone()))
            .map_err(|error| Error::new(ErrorKind::Config).with_source(error))?;
        let response = self.server.call(request).await.map_err(unavailable)?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| unavailable(error.into()))?.to_bytes();
        read(&Response::from_parts(head, body))
    }
}

fn read(response: &Response<Bytes>) -> Result<Token, Error> {
    let status = response.status();
    let body: Value = serde_json::from_slice(response.body()).unwrap_or_default();
    if !status.is_success() {
        let mut error = Error::new(match status {
            StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                ErrorKind::Denied
            }
            _ => ErrorKind::Unavailable,
        })
        .with_status(status);
        if let Some(code) = body["error"].as_str() {
            error = error.with_oauth_code(code);
        }
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        if let Some(seconds) = retry_after.and_then(|value| value.parse().ok()) {
            error = error.with_retry_after(Duration::from_secs(seconds));
        }
        return Err(error);
    }
    let secret = body["access_token"].as_str();
    let secret =
        secret.ok_or_else(|| Error::new(ErrorKind::InvalidResponse).with_status(status))?;
    let token = Token::bearer(secret);
    Ok(match body["expires_in"].as_u64() {
        Some(seconds) => token.with_lifetime(Duration::from_secs(seconds)),
        None => token,
    })
}

impl Service<TokenRequest> for Fetcher {
    type Response = Token;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Token, Error>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: TokenRequest) -> Self::Future {
        self.server.state().fetches.push(request);
        Box::pin(self.clone().fetch())
    }
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher").field("server", &self.server).finish_non_exhaustive()
    }
}
