//! What the server is told to respond with.

use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Response, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde_json::json;

use super::Body;

/// One response that an [`Endpoint`](super::Endpoint) is told to give.
///
/// ```
/// use std::time::Duration;
/// use http::{HeaderValue, StatusCode};
/// use tower_oauth::testing::{AuthorizationServer, ResponseTemplate};
///
/// let server = AuthorizationServer::new();
/// server
///     .token_endpoint()
///     .next(ResponseTemplate::oauth_error(StatusCode::UNAUTHORIZED, "invalid_client"))
///     .next(ResponseTemplate::json(r#"{"access_token": "t", "expires_in": "3599",}"#))
///     .next(ResponseTemplate::usual().after(Duration::from_secs(2)))
///     .next(ResponseTemplate::connection_dropped())
///     .always(ResponseTemplate::status(StatusCode::TOO_MANY_REQUESTS).retry_after(30));
/// let challenge = HeaderValue::from_static(r#"Bearer error="invalid_token""#);
/// server.resource().next(ResponseTemplate::unauthorized(challenge));
/// ```
#[derive(Clone, Debug, Default)]
pub struct ResponseTemplate {
    pub(super) kind: Kind,
    pub(super) after: Duration,
}

#[derive(Clone, Debug, Default)]
pub(super) enum Kind {
    Dropped,
    Never,
    Response(Response<Body>),
    #[default]
    Usual,
}

impl ResponseTemplate {
    /// Does what the server does when it is told nothing: the default.
    pub fn usual() -> Self {
        Self::default()
    }

    /// A status and an empty body.
    pub fn status(status: StatusCode) -> Self {
        let mut response = Response::new(Body::default());
        *response.status_mut() = status;
        Self::response(response)
    }

    /// Status 200, `Content-Type: application/json`, and this body, which need not be JSON.
    pub fn json(body: impl Into<Bytes>) -> Self {
        Self::status(StatusCode::OK)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(body)
    }

    /// An error of the token endpoint (RFC 6749 §5.2), for example `invalid_client`.
    pub fn oauth_error(status: StatusCode, code: &str) -> Self {
        Self::response(oauth_error(status, code, None))
    }

    /// Status 401 and this `WWW-Authenticate` as it is (RFC 9110 §11.6.1). More than one: add
    /// them with [`header`](Self::header).
    pub fn unauthorized(challenge: HeaderValue) -> Self {
        Self::status(StatusCode::UNAUTHORIZED).header(WWW_AUTHENTICATE, challenge)
    }

    /// A gRPC status without any message, 16 being `UNAUTHENTICATED`: HTTP status 200,
    /// `grpc-status` among the headers, and a body that is already at its end, which gRPC calls
    /// trailers-only.
    pub fn grpc_status(code: u32) -> Self {
        Self::status(StatusCode::OK)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/grpc"))
            .header(HeaderName::from_static("grpc-status"), code.into())
    }

    /// No response: the connection ends. A caller in this process gets an [`std::io::Error`]; over a
    /// socket HTTP/1.1 closes the connection, and HTTP/2 resets the stream.
    pub fn connection_dropped() -> Self {
        Self::new(Kind::Dropped)
    }

    /// No response, for ever.
    pub fn never() -> Self {
        Self::new(Kind::Never)
    }

    pub(super) fn response(response: Response<Body>) -> Self {
        Self::new(Kind::Response(response))
    }

    fn new(kind: Kind) -> Self {
        Self { kind, after: Duration::ZERO }
    }

    /// Waits this long before it responds, on tokio's clock.
    ///
    /// The request is judged when it comes: a token that is given out late was born early, and a
    /// token that dies meanwhile is still accepted.
    #[must_use]
    pub fn after(mut self, after: Duration) -> Self {
        self.after = after;
        self
    }

    /// Adds a header. Like what follows it changes nothing where there is no response of one's
    /// own to change: [`usual`](Self::usual), [`connection_dropped`](Self::connection_dropped),
    /// [`never`](Self::never).
    #[must_use]
    pub fn header(self, name: HeaderName, value: HeaderValue) -> Self {
        self.with(|response| {
            response.headers_mut().append(name, value);
        })
    }

    /// Adds `Retry-After` in seconds (RFC 9110 §10.2.3). For its other form, a date, see
    /// [`header`](Self::header).
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        self.header(RETRY_AFTER, seconds.into())
    }

    /// Sets the body. Its type is a matter of [`header`](Self::header).
    #[must_use]
    pub fn body(self, body: impl Into<Bytes>) -> Self {
        let body = Body::new(body);
        self.with(|response| *response.body_mut() = body)
    }

    /// Lets the connection end after the body's bytes, before the body's end.
    #[must_use]
    pub fn cut_off(self) -> Self {
        self.with(|response| response.body_mut().cut_off())
    }

    /// Lets nothing follow the body's bytes, not even the body's end.
    #[must_use]
    pub fn never_ends(self) -> Self {
        self.with(|response| response.body_mut().never_ends())
    }

    /// Waits as much longer.
    pub(super) fn later(self, by: Duration) -> Self {
        let after = self.after.saturating_add(by);
        self.after(after)
    }

    fn with(mut self, change: impl FnOnce(&mut Response<Body>)) -> Self {
        if let Kind::Response(response) = &mut self.kind {
            change(response);
        }
        self
    }
}

/// RFC 6749 §5.2.
pub(super) fn oauth_error(
    status: StatusCode,
    code: &str,
    description: Option<&str>,
) -> Response<Body> {
    let mut body = json!({ "error": code });
    if let Some(description) = description {
        body["error_description"] = description.into();
    }
    json_response(status, &body)
}

pub(super) fn json_response(status: StatusCode, body: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Body::new(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
