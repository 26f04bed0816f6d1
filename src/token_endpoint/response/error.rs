//! An error response, in any of the forms in which servers write them.

use bytes::Bytes;
use http::Response;

use super::{
    code::is_transient,
    hints::{Hints, general},
    said::Said,
    time::retry_after,
    withhold::Withhold,
};
use crate::error::{Error, ErrorKind};

/// The error that a response means.
pub(super) fn read(
    response: &Response<Bytes>,
    said: &Said<'_>,
    hints: &Hints,
    withhold: &Withhold,
    sends_secret: bool,
) -> Error {
    let status = response.status();
    let (code, meaning) = said.code(status).unzip();
    let kind = match meaning.flatten() {
        Some(kind) => kind,
        None if is_transient(status) => ErrorKind::Unavailable,
        // One with a good status is here because it names an error.
        None if status.is_success() || status.is_client_error() => ErrorKind::Denied,
        None => ErrorKind::InvalidResponse,
    };
    let mut error = Error::new(kind).with_status(status);
    // A code is shown where words are withheld, unless a secret is in it.
    let is_secret = |code: &str| {
        let run: String = code.chars().filter(char::is_ascii_alphanumeric).collect();
        withhold.is_in(&run)
    };
    let code = code.as_deref();
    if let Some(code) = code.filter(|code| !is_secret(code)) {
        error = error.with_oauth_code(code);
    }
    let words = said.words(code).and_then(|words| withhold.words(words));
    let page = || said.is_page(status).then(|| "it is an HTML page".to_owned());
    let description = words.or_else(page);
    let is_silent = code.is_none() && description.is_none();
    if let Some(description) = description {
        error = error.with_description(description);
    }
    let general = || general(status, code, said, is_silent, sends_secret);
    if let Some(hint) = hints.find(status, code).or_else(general) {
        error = error.with_hint(hint);
    }
    if let Some(retry_after) = retry_after(response.headers()) {
        error = error.with_retry_after(retry_after);
    }
    error
}
