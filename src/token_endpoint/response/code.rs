//! The codes of errors, in whatever spelling.

use http::StatusCode;

use crate::error::ErrorKind;

/// What the codes mean to us. RFC 6749 §5.2 and §4.1.2.1, RFC 8707 §2, RFC 8628 §3.5.
const CODES: [(&str, ErrorKind); 11] = [
    ("access_denied", ErrorKind::Denied),
    ("invalid_client", ErrorKind::Denied),
    ("invalid_grant", ErrorKind::Denied),
    ("invalid_request", ErrorKind::Denied),
    ("invalid_scope", ErrorKind::Denied),
    ("invalid_target", ErrorKind::Denied),
    ("server_error", ErrorKind::Unavailable),
    ("slow_down", ErrorKind::Unavailable),
    ("temporarily_unavailable", ErrorKind::Unavailable),
    ("unauthorized_client", ErrorKind::Denied),
    ("unsupported_grant_type", ErrorKind::Denied),
];

/// The standard code that a text spells in its own way: `Invalid Client`, `InvalidClient`,
/// `400 Error (Invalid Client)`.
pub(super) fn normalise(text: &str, status: StatusCode) -> Option<(&'static str, ErrorKind)> {
    let letters = letters(text);
    // A busy server may say anything: only a bare code overrules its status.
    let refused = status.is_client_error() && !is_transient(status);
    // Prose may have words around the code; a longer code that ours is a part of is another one.
    let prose =
        refused && text.len() <= 256 && text.trim().contains(|char: char| char.is_whitespace());
    let exact = CODES.into_iter().find(|(code, _)| same(text, code));
    exact.or_else(|| {
        CODES.into_iter().find(|(code, _)| prose && letters.contains(&code.replace('_', "")))
    })
}

/// Whether a status says that the same request may succeed later.
pub(super) fn is_transient(status: StatusCode) -> bool {
    matches!(status.as_u16(), 404 | 408 | 421 | 423 | 425 | 429 | 500..)
}

/// Whether a text is no more than this code in other letters.
pub(super) fn same(text: &str, code: &str) -> bool {
    text == code || (letters(code) == letters(text) && code.contains('_'))
}

/// Whether a text is a code of the server's own, and not prose, a link, or the status once more.
pub(super) fn is_code(text: &str, status: StatusCode) -> bool {
    let is_graphic = |char: char| char.is_ascii_graphic() && !"/:\"<>{}".contains(char);
    (1..=64).contains(&text.len())
        && text.chars().all(is_graphic)
        && text != status.as_str()
        && Some(text) != status.canonical_reason()
        && text != "true"
        && !is_failure(text)
        && !is_success(text)
}

/// Whether a text says that something failed, and no more.
pub(super) fn is_failure(text: &str) -> bool {
    ["error", "fail", "failed", "failure", "false"].contains(&&*letters(text))
}

/// Whether a code or a message says that all is well.
pub(super) fn is_success(text: &str) -> bool {
    match text.parse::<f64>() {
        Ok(number) => number == 0.0 || (200.0..300.0).contains(&number),
        Err(_) => ["ok", "success", "succeeded", "successful", "none"].contains(&&*letters(text)),
    }
}

/// What is left of a text to compare it by.
pub(super) fn letters(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphabetic).map(|char| char.to_ascii_lowercase()).collect()
}
