//! The token endpoint: RFC 6749 for clients that speak for themselves (§4.4).

use std::borrow::Cow;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode,
    header::{ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, PRAGMA, WWW_AUTHENTICATE},
    request::Parts,
};
use serde_json::json;

use super::{
    AuthorizationServer, Body,
    response_template::{json_response, oauth_error},
};
use crate::Token;

/// A token request whose body was not read to its end.
pub(super) fn too_large() -> Response<Body> {
    *invalid_request("the body is too large")
}

/// The response to a request that is refused.
type Refused = Box<Response<Body>>;

/// How a client says who it is (RFC 6749 §2.3.1).
struct Credentials {
    id: String,
    /// A client may have none.
    secret: Option<String>,
    method: AuthMethod,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum AuthMethod {
    Basic,
    Body,
}

/// Responds to one request, whose body was read before.
pub(super) fn respond(server: &AuthorizationServer, head: &Parts, body: &Bytes) -> Response<Body> {
    grant(server, head, body).map_or_else(|refused| *refused, |token| success(&token))
}

fn grant(server: &AuthorizationServer, head: &Parts, body: &Bytes) -> Result<Token, Refused> {
    if head.method != Method::POST {
        let mut response = Response::new(Body::default());
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return Err(Box::new(response));
    }
    if !is_form(&head.headers) {
        return Err(invalid_request("the body is not application/x-www-form-urlencoded"));
    }
    let form = Form(form_urlencoded::parse(body).collect());
    let credentials = credentials(&head.headers, &form)?;
    if !server.state().knows(&credentials.id, credentials.secret.as_deref()) {
        return Err(invalid_client(credentials.method, "unknown client or wrong secret"));
    }
    // Nothing is made of it, but a scope given twice would be a mistake of the client.
    form.get("scope")?;
    match form.get("grant_type")? {
        Some("client_credentials") => Ok(server.state().issuer.grant()),
        Some(_) => Err(refused("unsupported_grant_type", "only client_credentials is supported")),
        None => Err(invalid_request("grant_type is missing")),
    }
}

fn credentials(headers: &HeaderMap, form: &Form<'_>) -> Result<Credentials, Refused> {
    let (id, secret) = (form.get("client_id")?, form.get("client_secret")?);
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return match (id, secret) {
            (Some(id), secret) => Ok(Credentials {
                id: id.to_owned(),
                secret: secret.map(str::to_owned),
                method: AuthMethod::Body,
            }),
            (None, _) => Err(invalid_client(AuthMethod::Body, "no client authentication")),
        };
    };
    if secret.is_some() || values.next().is_some() {
        return Err(invalid_request("more than one client authentication"));
    }
    let credentials = basic(value)
        .ok_or_else(|| invalid_client(AuthMethod::Basic, "not Basic, or not well-formed"))?;
    if id.is_some_and(|id| id != credentials.id) {
        return Err(invalid_request("client_id is not the client that authenticated"));
    }
    Ok(credentials)
}

/// RFC 7617, with both parts form-encoded first as RFC 6749 §2.3.1 wants it.
fn basic(value: &HeaderValue) -> Option<Credentials> {
    let (scheme, encoded) = value.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("Basic") {
        return None;
    }
    let pair = BASE64_STANDARD.decode(encoded.trim()).ok()?;
    let (id, secret) = std::str::from_utf8(&pair).ok()?.split_once(':')?;
    Some(Credentials {
        id: form_decoded(id)?,
        secret: Some(form_decoded(secret)?),
        method: AuthMethod::Basic,
    })
}

/// Undoes form encoding, and takes nothing that it would not have left: a `&` here is a client
/// that forgot to encode.
fn form_decoded(text: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(text.as_bytes());
    match (pairs.next(), pairs.next()) {
        (None, None) => Some(String::new()),
        (Some((decoded, rest)), None) if rest.is_empty() => Some(decoded.into_owned()),
        _ => None,
    }
}

struct Form<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl Form<'_> {
    /// A parameter that may come once; an empty one is no parameter (RFC 6749 §3.2).
    fn get(&self, name: &str) -> Result<Option<&str>, Refused> {
        let mut values = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| &**value);
        let value = values.next();
        if values.next().is_some() {
            return Err(invalid_request(&format!("{name} is there more than once")));
        }
        Ok(value.filter(|value| !value.is_empty()))
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// RFC 6749 §5.1.
fn success(token: &Token) -> Response<Body> {
    let mut body = json!({ "access_token": token.expose_secret(), "token_type": "Bearer" });
    if let Some(lifetime) = token.lifetime() {
        body["expires_in"] = lifetime.as_secs().into();
    }
    let mut response = json_response(StatusCode::OK, &body);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

fn refused(code: &str, description: &str) -> Refused {
    Box::new(oauth_error(StatusCode::BAD_REQUEST, code, Some(description)))
}

fn invalid_request(description: &str) -> Refused {
    refused("invalid_request", description)
}

fn invalid_client(method: AuthMethod, description: &str) -> Refused {
    let mut response = refused("invalid_client", description);
    // Only a client that used a header is owed a 401 (RFC 6749 §5.2), and a 401 has to name a
    // scheme (RFC 9110 §15.5.2).
    if method == AuthMethod::Basic {
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        let challenge = HeaderValue::from_static("Basic realm=\"token endpoint\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}
