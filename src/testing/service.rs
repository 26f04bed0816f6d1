//! The server as a tower service.

use std::{
    future::{Future, pending},
    io,
    pin::{Pin, pin},
    task::{Context, Poll},
};

use bytes::Buf;
use http::{Request, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tower_service::Service;

use super::{AuthorizationServer, Body, resource, response_template::Kind, token_endpoint};
use crate::error::BoxError;

/// More than any token request needs.
const TOKEN_REQUEST_LIMIT: usize = 64 * 1024;

impl<B> Service<Request<B>> for AuthorizationServer
where
    B: http_body::Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let server = self.clone();
        Box::pin(async move { respond(&server, request).await })
    }
}

async fn respond<B>(
    server: &AuthorizationServer,
    request: Request<B>,
) -> Result<Response<Body>, BoxError>
where
    B: http_body::Body<Error: Into<BoxError>>,
{
    let (head, body) = request.into_parts();
    let is_token_request = head.uri.path() == server.state().token_path;
    let (template, _under_way) = match is_token_request {
        true => (server.state().token_request(), Some(UnderWay(server))),
        false => (server.state().resource_request(&head.headers), None),
    };
    let response = match template.kind {
        Kind::Usual if is_token_request => {
            match Limited::new(body, TOKEN_REQUEST_LIMIT).collect().await {
                Ok(body) => Ok(token_endpoint::respond(server, &head, &body.to_bytes())),
                Err(error) if error.is::<LengthLimitError>() => Ok(token_endpoint::too_large()),
                Err(error) => return Err(error),
            }
        }
        Kind::Usual => Ok(resource::served(length(body).await?)),
        Kind::Response(response) => Ok(response),
        Kind::Dropped => Err(io::Error::from(io::ErrorKind::ConnectionReset).into()),
        Kind::Never => pending().await,
    };
    // Without a delay the server needs no timers, and so no runtime.
    if !template.after.is_zero() {
        tokio::time::sleep(template.after).await;
    }
    response
}

/// A token request, for as long as its caller waits.
struct UnderWay<'a>(&'a AuthorizationServer);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.state().under_way -= 1;
    }
}

/// Reads a body to its end.
async fn length<B>(body: B) -> Result<u64, BoxError>
where
    B: http_body::Body<Error: Into<BoxError>>,
{
    let mut body = pin!(body);
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        if let Some(data) = frame.map_err(Into::into)?.data_ref() {
            length += data.remaining() as u64;
        }
    }
    Ok(length)
}
