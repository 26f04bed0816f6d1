//! When a response means that its token was rejected.
//!
//! [`standard`] is the rule that holds by default. A rule of your own, given to
//! [`OAuthLayer::rejected_when`](crate::OAuthLayer::rejected_when), can build on it.

use http::{
    HeaderMap, HeaderName, Response, StatusCode,
    header::{PROXY_AUTHENTICATE, WWW_AUTHENTICATE},
};
use http_body::Body;

use crate::source::ResponseHead;

const GRPC_STATUS: &str = "grpc-status";

/// A rule that takes the place of [`standard`].
pub(crate) type RejectedWhen = dyn Fn(ResponseHead<'_>) -> bool + Send + Sync;

/// Whether the resource server rejected the token, by the standards.
///
/// - A 401 means that it did, unless the Bearer and DPoP challenges in its `WWW-Authenticate` name
///   errors, and another token would help with none of them: `invalid_request`, `insufficient_scope`
///   (RFC 6750 §3.1), `insufficient_user_authentication` (RFC 9470 §3), `use_dpop_nonce` and
///   `invalid_dpop_proof` (RFC 9449 §7.1, §9). Servers have many names for an expired token, so any
///   other error is a rejection. A challenge of another scheme says nothing, and one that cannot be
///   read counts as none.
/// - A gRPC response without messages means that it did if its status is UNAUTHENTICATED.
/// - A 403 does not: another token of the same client has the same rights.
///
/// ```
/// use http::{Response, header::WWW_AUTHENTICATE};
/// use tower_oauth::rejection;
///
/// let mut response = Response::new(String::new());
/// *response.status_mut() = http::StatusCode::UNAUTHORIZED;
/// assert!(rejection::standard(&(&response).into()));
///
/// let challenge = "Bearer error=\"insufficient_scope\"".parse().unwrap();
/// response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
/// assert!(!rejection::standard(&(&response).into()));
/// ```
pub fn standard(response: &ResponseHead<'_>) -> bool {
    is_rejection(response.status, response.headers, || response.is_end_stream)
}

/// Whether a proxy rejected the token: a 407, unless its `Proxy-Authenticate` names errors as for
/// [`standard`] and another token would help with none of them.
///
/// Under [`OAuthLayer::header`](crate::OAuthLayer::header) with `Proxy-Authorization` the default is this
/// or [`standard`].
pub fn by_proxy(response: &ResponseHead<'_>) -> bool {
    response.status == StatusCode::PROXY_AUTHENTICATION_REQUIRED
        && blames_token(response.headers, &PROXY_AUTHENTICATE)
}

/// Whether a response is a rejection, by the rule that holds.
#[inline]
pub(crate) fn is_rejected<A: Body>(
    response: &Response<A>,
    rejected_when: Option<&RejectedWhen>,
) -> bool {
    match rejected_when {
        None => {
            is_rejection(response.status(), response.headers(), || response.body().is_end_stream())
        }
        Some(rejected_when) => rejected_when(ResponseHead::from(response)),
    }
}

#[inline]
fn is_rejection(
    status: StatusCode,
    headers: &HeaderMap,
    is_end_stream: impl FnOnce() -> bool,
) -> bool {
    match status {
        StatusCode::UNAUTHORIZED => blames_token(headers, &WWW_AUTHENTICATE),
        // Only a response without a body has its trailers among the headers.
        StatusCode::OK if !headers.is_empty() && is_end_stream() => is_unauthenticated(headers),
        _ => false,
    }
}

/// Whether gRPC's status is UNAUTHENTICATED. Few responses are gRPC's, and few have many headers: to
/// look for a name of its length costs less than to hash one that is not there.
#[inline]
fn is_unauthenticated(headers: &HeaderMap) -> bool {
    const FEW: usize = 12;
    if headers.len() <= FEW && !headers.keys().any(|name| name.as_str().len() == GRPC_STATUS.len())
    {
        return false;
    }
    headers.get(GRPC_STATUS).is_some_and(|code| code == "16")
}

/// Errors that another token does not mend.
const NOT_THE_TOKEN: [&str; 5] = [
    "invalid_request",
    "insufficient_scope",
    "insufficient_user_authentication",
    "use_dpop_nonce",
    "invalid_dpop_proof",
];

/// False if the challenges name errors, and another token mends none of them.
fn blames_token(headers: &HeaderMap, challenges: &HeaderName) -> bool {
    let mut errors = headers
        .get_all(challenges)
        .iter()
        .filter_map(|line| errors(line.as_bytes()))
        .flatten()
        .peekable();
    let is_other = |error: Vec<u8>| {
        NOT_THE_TOKEN.iter().any(|other| error.eq_ignore_ascii_case(other.as_bytes()))
    };
    errors.peek().is_none() || !errors.all(is_other)
}

/// The `error` of every Bearer or DPoP challenge in a header line (RFC 9110 §11.6.1), or `None` if the
/// line is malformed and so means nothing.
fn errors(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut errors = Vec::new();
    // Whether the challenge that parameters now belong to is about an access token.
    let mut about_token = None;
    for item in items(line) {
        let (mut name, mut rest) = token(item)?;
        if !rest.trim_ascii_start().starts_with(b"=") {
            // A challenge begins: its scheme, and then nothing, a token68 or its first parameter.
            let schemes = [&b"bearer"[..], b"dpop"];
            about_token = Some(schemes.iter().any(|scheme| name.eq_ignore_ascii_case(scheme)));
            let spaced = rest.first().is_none_or(u8::is_ascii_whitespace);
            rest = rest.trim_ascii_start();
            if !spaced {
                return None;
            }
            if rest.is_empty() || is_token68(rest) {
                continue;
            }
            (name, rest) = token(rest)?;
        }
        let value = value(rest.trim_ascii_start().strip_prefix(b"=")?)?;
        // Without a scheme before it a parameter belongs to nothing.
        if about_token? && name.eq_ignore_ascii_case(b"error") {
            errors.push(value);
        }
    }
    Some(errors)
}

/// What stands between the commas, other than nothing. A comma in a quoted string is none.
fn items(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    let items = line.split(move |byte| {
        let is_comma = *byte == b',' && !quoted;
        quoted ^= *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && quoted && !escaped;
        is_comma
    });
    items.map(<[u8]>::trim_ascii).filter(|item| !item.is_empty())
}

/// The token that the text begins with, and what comes after it (RFC 9110 §5.6.2).
fn token(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let length = text.iter().take_while(|byte| is_part(byte)).count();
    (length > 0).then(|| text.split_at(length))
}

/// Whether it is a token68, which differs from a parameter by what comes after its equals signs.
fn is_token68(text: &[u8]) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(byte);
    let length = text.iter().take_while(|byte| is_part(byte)).count();
    length > 0 && text[length..].iter().all(|byte| *byte == b'=')
}

/// A parameter's value: a token or a quoted string, without its quotes and escapes.
fn value(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.trim_ascii_start();
    let Some(quoted) = text.strip_prefix(b"\"") else {
        return token(text).filter(|(_, rest)| rest.is_empty()).map(|(value, _)| value.to_vec());
    };
    let mut value = Vec::new();
    let mut rest = quoted.iter();
    loop {
        match *rest.next()? {
            b'"' => return rest.as_slice().is_empty().then_some(value),
            b'\\' => value.push(*rest.next()?),
            byte => value.push(byte),
        }
    }
}
