//! The protected resource: bearer tokens in a header (RFC 6750).

use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE},
};

use super::Body;

/// What a request says about who sends it.
pub(super) enum Presented<'a> {
    /// More than one `Authorization`, or one that says `Bearer` and then nothing sensible.
    Malformed,
    /// Nothing that the resource understands.
    Nothing,
    Secret(&'a str),
}

/// The `Authorization` of a request, or the header `name` in its place; of more than one, all of them in
/// one list.
pub(super) fn authorization(headers: &HeaderMap, name: &HeaderName) -> String {
    let values = headers.get_all(name).iter();
    values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect::<Vec<_>>().join(", ")
}

pub(super) fn presented<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Presented<'a> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Presented::Nothing;
    };
    if values.next().is_some() {
        return Presented::Malformed;
    }
    let value = value.to_str().unwrap_or_default();
    let alone = if name == AUTHORIZATION { (value, "") } else { ("Bearer", value) };
    let (scheme, secret) = value.split_once(' ').unwrap_or(alone);
    if !scheme.eq_ignore_ascii_case("Bearer") {
        return Presented::Nothing;
    }
    // One space, then a token68 without anything around it (RFC 6750 §2.1).
    match secret.bytes().all(|byte| byte.is_ascii_graphic()) && !secret.is_empty() {
        true => Presented::Secret(secret),
        false => Presented::Malformed,
    }
}

/// Who sent no token is not told about an error (RFC 6750 §3.1).
pub(super) fn no_token() -> Response<Body> {
    challenge(StatusCode::UNAUTHORIZED, "Bearer realm=\"resource\"")
}

pub(super) fn invalid_request() -> Response<Body> {
    challenge(StatusCode::BAD_REQUEST, "Bearer realm=\"resource\", error=\"invalid_request\"")
}

/// The response to a token that is expired, revoked or unknown.
pub(super) fn invalid_token() -> Response<Body> {
    challenge(
        StatusCode::UNAUTHORIZED,
        "Bearer realm=\"resource\", error=\"invalid_token\", \
         error_description=\"The access token expired, was revoked, or is unknown\"",
    )
}

pub(super) fn served(received: u64) -> Response<Body> {
    let mut response = Response::new(Body::new(format!("received {received} bytes\n")));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

fn challenge(status: StatusCode, challenge: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::default());
    *response.status_mut() = status;
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    response
}
