//! Reads a response: as a token, or as an error.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, header};

use crate::{
    error::{Error, ErrorKind},
    token::Token,
};

mod code;
mod error;
mod field;
mod fields;
mod hints;
mod lenient;
mod lifetime;
mod members;
mod said;
mod time;
mod withhold;

use code::is_success;
use field::Places;
use fields::{Fields, Scalar, text};
use hints::Hints;
use said::{Said, is_html};

pub use field::ResponseField;
pub use fields::ResponseFormat;
pub use lifetime::LifetimeUnit;
pub(super) use withhold::Withhold;

/// Real ones stay below 16 KiB, and few servers accept a header that is longer.
const LONGEST_TOKEN: usize = 64 * 1024;

/// How an API's responses are read.
#[derive(Clone, Debug, Default)]
pub(super) struct Reader {
    pub(super) format: ResponseFormat,
    pub(super) places: Places,
    pub(super) unit: LifetimeUnit,
    pub(super) refresh_after: Option<Duration>,
    /// Further token types, and the scheme that a token of this type is sent with.
    pub(super) token_types: Vec<(String, String)>,
    pub(super) hints: Hints,
}

impl Reader {
    /// The token in a response.
    pub(super) fn token(
        &self,
        response: &Response<Bytes>,
        withhold: &Withhold,
        sends_secret: bool,
    ) -> Result<Token, Error> {
        let text = text(response.body(), self.format);
        let said = || Said::of(response, &text, &self.places);
        let refused =
            |said: Said<'_>| error::read(response, &said, &self.hints, withhold, sends_secret);
        if !response.status().is_success() {
            return Err(refused(said()));
        }
        let invalid = |why: &str| {
            Error::new(ErrorKind::InvalidResponse)
                .with_status(response.status())
                .with_description(why)
        };
        let place = self.places.of(ResponseField::AccessToken);
        // Only a pointer leads into a list.
        let is_list = self.format == ResponseFormat::Json && text.starts_with('[');
        let fields = Fields::of(&text, self.format);
        let fields = fields.filter(|_| !is_list || place.starts_with('/'));
        let secret = fields.as_ref().and_then(|fields| fields.get(place));
        let (Some(fields), Some(Scalar::Text(secret))) = (&fields, &secret) else {
            let said = said();
            return Err(match fields {
                _ if said.is_error() => refused(said),
                None => self.unreadable(response, &text),
                Some(_) => invalid(&format!("it has no `{place}`")).with_hint(
                    "if the token has another name or is elsewhere, set `response_field`",
                ),
            });
        };
        if is_error(fields) {
            return Err(refused(said()));
        }
        // Some servers end it with a line break.
        let secret = secret.trim();
        if secret.len() > LONGEST_TOKEN {
            return Err(invalid("the token is longer than 64 KiB"));
        }
        let scheme = self.scheme(fields).map_err(|token_type| {
            let unknown = match withhold.words(&token_type) {
                Some(token_type) => invalid(&format!("the token type \"{token_type}\" is unknown")),
                None => invalid("the token type is unknown"),
            };
            unknown.with_hint("to accept it, map it to an authentication scheme with `token_type`")
        })?;
        let mut token = Token::new(scheme, secret);
        token.header_value().map_err(|error| error.with_status(response.status()))?;
        let expires_in = fields.get(self.places.of(ResponseField::ExpiresIn));
        let lifetime = expires_in.and_then(|value| self.unit.read(&value, response.headers()));
        if let Some(lifetime) = lifetime {
            token = token.with_lifetime(lifetime);
        }
        if let Some(refresh_after) = self.refresh_after {
            token = token.with_refresh_after(refresh_after);
        }
        Ok(token)
    }

    /// The error for a good status whose body has no fields at all.
    fn unreadable(&self, response: &Response<Bytes>, text: &str) -> Error {
        let what = match () {
            () if text.is_empty() => "it is empty",
            () if is_html(response, text) => "it is an HTML page",
            () if self.format == ResponseFormat::Form => "it is not form-encoded",
            () => "it is not a JSON object",
        };
        let place = self.places.of(ResponseField::AccessToken);
        let is_form = || Fields::of(text, ResponseFormat::Form)?.get(place);
        let hint = match () {
            () if response.headers().contains_key(header::CONTENT_ENCODING) => {
                "it has a Content-Encoding; the HTTP client must decompress responses"
            }
            () if is_form().is_some() => "it is form-encoded; set `response_format` to form",
            () => "check the URL of the token endpoint, and any proxy in between",
        };
        Error::new(ErrorKind::InvalidResponse)
            .with_status(response.status())
            .with_description(what)
            .with_hint(self.hints.find(response.status(), None).unwrap_or(hint))
    }

    /// The scheme to send the token with, or the token type that is unknown.
    fn scheme(&self, fields: &Fields<'_>) -> Result<&str, String> {
        let token_type = match fields.get(self.places.of(ResponseField::TokenType)) {
            None => String::new().into(),
            Some(Scalar::Text(token_type)) => token_type,
            Some(_) => return Err("not a string".to_owned()),
        };
        let token_type = match token_type.trim() {
            "" => "Bearer",
            token_type => token_type,
        };
        let is_bearer =
            ["Bearer", "BearerToken"].iter().any(|it| it.eq_ignore_ascii_case(token_type));
        let scheme = |of: &str| {
            let mut known = self.token_types.iter().rev();
            let (_, scheme) = known.find(|(known, _)| known.eq_ignore_ascii_case(of))?;
            Some(&**scheme)
        };
        match scheme(token_type) {
            Some(scheme) => Ok(scheme),
            None if is_bearer => Ok(scheme("Bearer").unwrap_or("Bearer")),
            None => Err(token_type.to_owned()),
        }
    }
}

/// Whether a response that has a token is an error all the same.
fn is_error(fields: &Fields<'_>) -> bool {
    match fields.get("error") {
        Some(Scalar::Text(error)) => !error.trim().is_empty() && !is_success(error.trim()),
        Some(Scalar::Number(number)) => number != 0.0,
        other => other.is_some(),
    }
}
