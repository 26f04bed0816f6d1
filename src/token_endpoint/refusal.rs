//! An error answer, in any of the forms that they come in.

use bytes::Bytes;
use http::{Response, StatusCode, header};

use super::{
    members::{Members, ResponseFormat, Scalar},
    retry_after::retry_after,
    scrub::Scrub,
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

/// What to check, by code or by status, where an API's own documentation knows more than we.
#[derive(Clone, Debug, Default)]
pub(super) struct Hints(pub(super) Vec<(String, String)>);

impl Hints {
    /// The hint for the code, else for the status.
    pub(super) fn find(&self, status: StatusCode, code: Option<&str>) -> Option<&str> {
        let of = |key: &str| {
            self.0.iter().rev().find_map(|(known, hint)| (known == key).then_some(hint.as_str()))
        };
        code.and_then(of).or_else(|| of(status.as_str()))
    }
}

/// Whether an answer with a good status is an error all the same.
pub(super) fn is_error(members: &Members<'_>) -> bool {
    match members.get("error") {
        None => false,
        Some(Scalar::Text(error)) => !error.trim().is_empty(),
        Some(Scalar::Number(number)) => number != 0.0,
        Some(Scalar::Other) => true,
    }
}

/// The error that an answer means.
pub(super) fn read(
    answer: &Response<Bytes>,
    text: &str,
    hints: &Hints,
    scrub: &Scrub<'_>,
) -> Error {
    let status = answer.status();
    // Servers that answer with tokens form-encoded still write their errors as JSON, or do not.
    let members = Members::of(text, ResponseFormat::Json).or_else(|| {
        Members::of(text, ResponseFormat::Form).filter(|members| members.get("error").is_some())
    });
    let html = members.is_none() && is_html(answer, text);
    let (code, description) = match &members {
        Some(members) => (code_in(members, status), describe(members)),
        None if html => (None, Some("it is an HTML page".to_owned())),
        // JSON that cannot be read is nothing that a person would have written.
        None => (normalise(text, status), (!text.starts_with(['{', '['])).then(|| text.to_owned())),
    };
    let kind = match code {
        Some((_, kind)) => kind,
        None => match status.as_u16() {
            408 | 429 | 500.. => ErrorKind::Unavailable,
            // As a page too, since many servers' 401 is one: a login must not be locked out.
            400 | 401 | 403 => ErrorKind::Denied,
            400..=499 if !html => ErrorKind::Denied,
            _ => ErrorKind::InvalidResponse,
        },
    };
    let mut error = Error::new(kind).with_status(status);
    let code = code.map(|(code, _)| code);
    if let Some(code) = code {
        error = error.with_oauth_code(code);
    }
    // What is empty, or only repeats the code in other letters, says nothing.
    let says_something =
        |text: &String| !text.is_empty() && !code.is_some_and(|code| same(text, code));
    if let Some(description) = description.filter(says_something) {
        error = error.with_description(scrub.clean(&description));
    }
    if let Some(hint) = hints.find(status, code).or_else(|| general_hint(status, code, html)) {
        error = error.with_hint(hint);
    }
    if let Some(retry_after) = retry_after(answer.headers()) {
        error = error.with_retry_after(retry_after);
    }
    error
}

pub(super) fn is_html(answer: &Response<Bytes>, text: &str) -> bool {
    let declared = answer.headers().get(header::CONTENT_TYPE).is_some_and(|value| {
        value.to_str().is_ok_and(|value| value.to_ascii_lowercase().contains("html"))
    });
    declared || text.starts_with('<')
}

fn code_in(members: &Members<'_>, status: StatusCode) -> Option<(&'static str, ErrorKind)> {
    ["error", "code", "title", "/error/code", "/error/type"]
        .into_iter()
        .find_map(|place| normalise(&members.text(place)?, status))
}

/// The standard code that a text spells in its own way: `Invalid Client`, `InvalidClient`,
/// `400 Error (Invalid Client)`.
fn normalise(text: &str, status: StatusCode) -> Option<(&'static str, ErrorKind)> {
    let letters = letters(text);
    // A server that is busy says many things: only a code, and nothing but it, overrules that.
    let refused = status.is_client_error() && !matches!(status.as_u16(), 408 | 429);
    // Prose may have words around the code; a code of another name that ours is a part of may not.
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
fn describe(members: &Members<'_>) -> Option<String> {
    let texts = ["error_description", "detail", "message", "title", "error", "/error/message"];
    texts.into_iter().find_map(|place| members.text(place)).map(|text| text.to_string())
}

fn general_hint(status: StatusCode, code: Option<&str>, html: bool) -> Option<&'static str> {
    Some(match (code, status.as_u16()) {
        (Some("invalid_client"), _) => {
            "check the client's id and secret, and the way in which the server wants them"
        }
        (Some("unauthorized_client"), _) => {
            "check that the client may use this grant and has this scope"
        }
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
        (None, 415) => "check the placement of the parameters",
        (None, 401) => {
            "check the client's id and secret, and the way in which the server wants them"
        }
        (None, _) if html => {
            "check the URL of the token endpoint, and what stands between here and there"
        }
        (None, 403) => "check that the client may have a token",
        (None, _) => return None,
    })
}
