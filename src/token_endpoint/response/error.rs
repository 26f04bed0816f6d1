//! An error response, in any of the forms in which servers write them.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header};

use super::{
    fields::{Fields, ResponseFormat, Scalar},
    withhold::Withhold,
};
use crate::error::{Error, ErrorKind};

/// What the codes mean to us. RFC 6749 §5.2 and §4.1.2.1, RFC 8707 §2.
const CODES: [(&str, ErrorKind); 10] = [
    ("access_denied", ErrorKind::Denied),
    ("invalid_client", ErrorKind::Denied),
    ("invalid_grant", ErrorKind::Denied),
    ("invalid_request", ErrorKind::Denied),
    ("invalid_scope", ErrorKind::Denied),
    ("invalid_target", ErrorKind::Denied),
    ("server_error", ErrorKind::Unavailable),
    ("temporarily_unavailable", ErrorKind::Unavailable),
    ("unauthorized_client", ErrorKind::Denied),
    ("unsupported_grant_type", ErrorKind::Denied),
];

/// What to check, by code or by status, where an API's own documentation says more.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hints(pub(crate) Vec<(String, String)>);

impl Hints {
    /// The hint for the code, else for the status.
    pub(super) fn find(&self, status: StatusCode, code: Option<&str>) -> Option<&str> {
        let of = |key: &str| {
            self.0.iter().rev().find_map(|(known, hint)| (known == key).then_some(hint.as_str()))
        };
        code.and_then(of).or_else(|| of(status.as_str()))
    }
}

/// Whether a response with a good status is an error all the same.
pub(super) fn is_error(fields: &Fields<'_>) -> bool {
    match fields.get("error") {
        Some(Scalar::Text(error)) => !error.trim().is_empty(),
        Some(Scalar::Number(number)) => number != 0.0,
        other => other.is_some(),
    }
}

/// The error that a response means.
pub(super) fn read(
    response: &Response<Bytes>,
    text: &str,
    hints: &Hints,
    withhold: &Withhold,
) -> Error {
    let status = response.status();
    // Servers whose tokens come form-encoded may still write their errors as JSON.
    let fields = Fields::of(text, ResponseFormat::Json).or_else(|| {
        Fields::of(text, ResponseFormat::Form).filter(|fields| fields.get("error").is_some())
    });
    let html = fields.is_none() && is_html(response, text);
    let (code, said) = match &fields {
        Some(fields) => (code_in(fields, status), describe(fields)),
        None if html => (None, None),
        // JSON that cannot be read is not worth showing.
        None => (normalise(text, status), (!text.starts_with(['{', '['])).then(|| text.to_owned())),
    };
    let kind = match code {
        Some((_, kind)) => kind,
        None => match status.as_u16() {
            408 | 429 | 500.. => ErrorKind::Unavailable,
            // Also as a page, since that is what many servers' 401 is: a login must not be locked out.
            400 | 401 | 403 => ErrorKind::Denied,
            400..=499 if !html => ErrorKind::Denied,
            _ => ErrorKind::InvalidResponse,
        },
    };
    let mut error = Error::new(kind).with_status(status);
    let code = code.map(|(code, _)| code);
    // A code is shown where words are withheld, unless it is the secret itself.
    if let Some(code) = code.filter(|code| !withhold.is_in(&code.replace('_', ""))) {
        error = error.with_oauth_code(code);
    }
    // What is empty, or only repeats the code in other letters, says nothing.
    let says_something =
        |text: &String| !text.is_empty() && !code.is_some_and(|code| same(text, code));
    let words = said.filter(says_something).and_then(|said| withhold.words(&said));
    if let Some(description) = words.or_else(|| html.then(|| "it is an HTML page".to_owned())) {
        error = error.with_description(description);
    }
    if let Some(hint) = hints.find(status, code).or_else(|| general_hint(status, code, html)) {
        error = error.with_hint(hint);
    }
    if let Some(retry_after) = retry_after(response.headers()) {
        error = error.with_retry_after(retry_after);
    }
    error
}

pub(super) fn is_html(response: &Response<Bytes>, text: &str) -> bool {
    let declared = response.headers().get(header::CONTENT_TYPE).is_some_and(|value| {
        value.to_str().is_ok_and(|value| value.to_ascii_lowercase().contains("html"))
    });
    declared || text.starts_with('<')
}

fn code_in(fields: &Fields<'_>, status: StatusCode) -> Option<(&'static str, ErrorKind)> {
    ["error", "code", "title", "/error/code", "/error/type"]
        .into_iter()
        .find_map(|place| normalise(&fields.text(place)?, status))
}

/// The standard code that a text spells in its own way: `Invalid Client`, `InvalidClient`,
/// `400 Error (Invalid Client)`.
fn normalise(text: &str, status: StatusCode) -> Option<(&'static str, ErrorKind)> {
    let letters = letters(text);
    // A busy server may say anything: only a bare code overrules its status.
    let refused = status.is_client_error() && !matches!(status.as_u16(), 408 | 429);
    // Prose may have words around the code; a longer code that ours is a part of is another one.
    let prose =
        refused && text.len() <= 256 && text.trim().contains(|char: char| char.is_whitespace());
    let exact = CODES.into_iter().find(|(code, _)| same(text, code));
    exact.or_else(|| {
        CODES.into_iter().find(|(code, _)| prose && letters.contains(&code.replace('_', "")))
    })
}

fn same(text: &str, code: &str) -> bool {
    letters(text) == code.replace('_', "")
}

fn letters(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphabetic).map(|char| char.to_ascii_lowercase()).collect()
}

/// What the server says in words, most telling first: RFC 6749 §5.2, RFC 9457 §3.1, and customs.
fn describe(fields: &Fields<'_>) -> Option<String> {
    let texts = ["error_description", "detail", "message", "title", "error", "/error/message"];
    texts.into_iter().find_map(|place| fields.text(place)).map(|text| text.to_string())
}

fn general_hint(status: StatusCode, code: Option<&str>, html: bool) -> Option<&'static str> {
    Some(match (code, status.as_u16()) {
        (Some("invalid_client"), _) | (None, 401) => {
            "check the client's id and secret, and how the server wants them sent (`auth`)"
        }
        (Some("unauthorized_client"), _) => "check that the client may use this grant and scope",
        (Some("unsupported_grant_type"), _) => {
            "check the grant type, and that the server reads parameters where they are sent"
        }
        (Some("invalid_scope"), _) => "check the scope",
        (Some("invalid_target"), _) => "check the resource and the audience",
        (Some("invalid_request"), _) => "check which parameters the server wants, and where",
        (Some(_), _) => return None,
        (None, 300..=399) => "redirects are not followed; check the URL of the token endpoint",
        (None, 404 | 410) => "check the URL of the token endpoint",
        (None, 405) => "check the method and the URL of the token endpoint",
        (None, 407) => "check the proxy",
        (None, 415) => "check how the parameters are encoded (`param_encoding`)",
        (None, _) if html => "check the URL of the token endpoint, and any proxy in between",
        (None, 403) => "check that the client may get a token",
        (None, _) => return None,
    })
}

/// How long the server asks for patience (RFC 9110 §10.2.3). A date is compared with the server's own
/// clock, if the response has one: it can be hours apart from ours.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // Too many digits for a `u64` is a long time.
        return Some(Duration::from_secs(value.parse().unwrap_or_else(|_| u32::MAX.into())));
    }
    let date = |name| httpdate::parse_http_date(headers.get(name)?.to_str().ok()?.trim()).ok();
    let now = date(header::DATE).unwrap_or_else(SystemTime::now);
    Some(date(header::RETRY_AFTER)?.duration_since(now).unwrap_or_default())
}
