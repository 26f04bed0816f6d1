//! What came back, as a token or as an error.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, header};

use super::{
    members::{Members, ResponseFormat, Scalar, text},
    names::{Member, Members as Places},
    refusal::{self, Hints, is_html},
    scrub::Scrub,
};
use crate::{
    error::{Error, ErrorKind},
    token::Token,
};

/// Real ones stay below 16 KiB, and few servers take a header that is longer.
const LONGEST_TOKEN: usize = 64 * 1024;

/// What a cache makes of it anyway; nothing that adds it to a time can overflow.
const LONGEST_LIFETIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// What the lifetime in an answer is counted in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "config", derive(serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum LifetimeUnit {
    /// Seconds (RFC 6749 §5.1).
    #[default]
    Seconds,
    /// Milliseconds, as servers written in Java or JavaScript like to count.
    Milliseconds,
}

/// How an API's answers are read.
#[derive(Clone, Debug, Default)]
pub(super) struct Reader {
    pub(super) format: ResponseFormat,
    pub(super) members: Places,
    pub(super) unit: LifetimeUnit,
    pub(super) refresh_after: Option<Duration>,
    /// Further token types, and the scheme that a token of this type is sent with.
    pub(super) token_types: Vec<(String, String)>,
    pub(super) hints: Hints,
}

impl Reader {
    /// The token in an answer.
    pub(super) fn token(
        &self,
        answer: &Response<Bytes>,
        scrub: &Scrub<'_>,
    ) -> Result<Token, Error> {
        let text = text(answer.body(), self.format);
        if !answer.status().is_success() {
            return Err(refusal::read(answer, &text, &self.hints, scrub));
        }
        let invalid = |why: &str| {
            Error::new(ErrorKind::InvalidResponse)
                .with_status(answer.status())
                .with_description(why)
        };
        let members = match self.members.of(Member::AccessToken).starts_with('/') {
            true => Members::of_any(&text, self.format),
            false => Members::of(&text, self.format),
        };
        let Some(members) = members else {
            let error = invalid(match () {
                () if text.is_empty() => "it is empty",
                () if is_html(answer, &text) => "it is an HTML page",
                () if self.format == ResponseFormat::Form => "it is not form-encoded",
                () => "it is not a JSON object",
            });
            let encoded = answer.headers().contains_key(header::CONTENT_ENCODING);
            let form = Members::of(&text, ResponseFormat::Form)
                .is_some_and(|form| form.get(self.members.of(Member::AccessToken)).is_some());
            let hint = match () {
                () if encoded => {
                    "its Content-Encoding says that it is compressed, which is for the HTTP client to undo"
                }
                () if form => "it is form-encoded: say so with `response_format`",
                () => "check the URL of the token endpoint, and what stands between here and there",
            };
            return Err(error.with_hint(self.hints.find(answer.status(), None).unwrap_or(hint)));
        };
        if refusal::is_error(&members) {
            return Err(refusal::read(answer, &text, &self.hints, scrub));
        }
        let place = self.members.of(Member::AccessToken);
        let Some(Scalar::Text(secret)) = members.get(place) else {
            return Err(invalid(&format!("it has no `{place}`")));
        };
        if secret.len() > LONGEST_TOKEN {
            return Err(invalid("the token is longer than 64 KiB"));
        }
        let mut token = match self.scheme(&members) {
            Ok(scheme) => Token::new(scheme, &*secret),
            Err(token_type) => {
                let unknown = format!("the token type {:?} is unknown", scrub.clean(&token_type));
                return Err(invalid(&unknown)
                    .with_hint("if its tokens can be sent all the same, say how: `token_type`"));
            }
        };
        token.header_value().map_err(|error| error.with_status(answer.status()))?;
        if let Some(lifetime) = self.lifetime(&members) {
            token = token.with_lifetime(lifetime);
        }
        if let Some(refresh_after) = self.refresh_after {
            token = token.with_refresh_after(refresh_after);
        }
        Ok(token)
    }

    /// The scheme to send it with, or the token type that we know none for.
    fn scheme(&self, members: &Members<'_>) -> Result<&str, String> {
        let token_type = match members.get(self.members.of(Member::TokenType)) {
            None => return Ok("Bearer"),
            Some(Scalar::Text(token_type)) => token_type,
            Some(_) => return Err("not a text".to_owned()),
        };
        let token_type = token_type.trim();
        let is = |other: &str| token_type.eq_ignore_ascii_case(other);
        match self.token_types.iter().find(|(known, _)| is(known)) {
            Some((_, scheme)) => Ok(scheme),
            None if token_type.is_empty() || is("Bearer") || is("BearerToken") => Ok("Bearer"),
            None => Err(token_type.to_owned()),
        }
    }

    /// `None` where the answer does not say, or not in a way that anybody could read. What lies in
    /// the past is none at all.
    fn lifetime(&self, members: &Members<'_>) -> Option<Duration> {
        let number = match members.get(self.members.of(Member::ExpiresIn))? {
            Scalar::Number(number) => number,
            Scalar::Text(text) => text.trim().parse().ok()?,
            Scalar::Other => return None,
        };
        let seconds = match self.unit {
            LifetimeUnit::Seconds => number,
            LifetimeUnit::Milliseconds => number / 1000.0,
        };
        if seconds.is_nan() {
            return None;
        }
        let seconds = seconds.clamp(0.0, LONGEST_LIFETIME.as_secs_f64());
        Some(Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST_LIFETIME))
    }
}
