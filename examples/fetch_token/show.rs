//! What a person reads. No secret and no token is in it.

use std::{error::Error as _, fmt::Write, time::Duration};

use bytes::Bytes;
use http::{HeaderName, header, request};
use serde_json::Value;
use tower_oauth::{Error, Token, TokenCache};

use crate::{
    http_client::{Received, Record},
    mask::{self, Mask, masked},
    odd::{Places, Seen},
};

/// Headers of a response that say something about tokens, or about who responded.
const TELLING: [HeaderName; 10] = [
    header::CONTENT_TYPE,
    header::DATE,
    header::RETRY_AFTER,
    header::WWW_AUTHENTICATE,
    header::CACHE_CONTROL,
    header::SERVER,
    header::VIA,
    header::ALLOW,
    header::AGE,
    header::CONTENT_ENCODING,
];

/// What we sent as this parameter.
fn param_value(name: &str, text: &str, mask: &Mask) -> String {
    if mask.is_public_param(name) { Mask::own(text) } else { masked(text) }
}

/// What a server sent as this field.
fn field_value(name: &str, text: &str, mask: &Mask) -> String {
    if mask.is_public(name) || mask::tells(name) { mask.printable(text) } else { masked(text) }
}

/// A field's name, if it looks like one: a response that is read in the wrong way has its token where
/// names should be.
fn name_of(field: &str) -> String {
    let simple = |char: char| char.is_ascii_alphanumeric() || "_-.".contains(char);
    match field.len() <= 64 && field.chars().all(simple) {
        true => field.to_owned(),
        false => masked(field),
    }
}

pub(crate) fn request((head, body): &(request::Parts, Bytes), mask: &Mask) -> String {
    let mut out = String::new();
    let uri = &head.uri;
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let scheme = uri.scheme_str().unwrap_or_default();
    let _ = writeln!(out, "  {} {scheme}://{authority}{}", head.method, uri.path());
    for (name, text) in &head.headers {
        let text = String::from_utf8_lossy(text.as_bytes()).into_owned();
        let shown = match text.split_once(' ') {
            Some((scheme, secret)) if name == header::AUTHORIZATION => {
                format!("{scheme} {}", masked(secret))
            }
            _ if head.headers[name].is_sensitive() => masked(&text),
            _ => Mask::own(&text),
        };
        let _ = writeln!(out, "  {name}: {shown}");
    }
    let _ = writeln!(out);
    for (name, text) in Record::params(head, &[]) {
        let _ = writeln!(out, "  {name} = {}  (in the query)", param_value(&name, &text, mask));
    }
    let mut in_body = head.clone();
    in_body.uri = http::Uri::default();
    for (name, text) in Record::params(&in_body, body) {
        let _ = writeln!(out, "  {name} = {}  (in the body)", param_value(&name, &text, mask));
    }
    out
}

pub(crate) fn response(received: &Received, places: &Places, mask: &Mask) -> String {
    let mut out = String::new();
    let Received { head, body, time } = received;
    let _ = writeln!(out, "  {} in {} ms, {:?}", head.status, time.as_millis(), head.version);
    for name in TELLING {
        for text in head.headers.get_all(&name) {
            let text = String::from_utf8_lossy(text.as_bytes());
            let _ = writeln!(out, "  {name}: {}", mask.printable(&text));
        }
    }
    if let Some(location) = head.headers.get(header::LOCATION) {
        // Where to may have the parameters in it, and so the secret.
        let text = String::from_utf8_lossy(location.as_bytes());
        let place = text.split(['?', '#']).next().unwrap_or_default();
        let _ = writeln!(out, "  location: {}", mask.printable(place));
    }
    let _ = writeln!(out);
    match Seen::of(body, places).fields {
        None => {
            let _ = writeln!(out, "  {} bytes without any fields", body.len());
        }
        Some(fields) => {
            for (name, field) in fields {
                let _ = writeln!(out, "  {}: {}", name_of(&name), shown(&name, &field, mask));
            }
        }
    }
    out
}

/// A field of a response. What is wrapped is only shown of an error.
fn shown(name: &str, field: &Value, mask: &Mask) -> String {
    let is_error = mask::tells(name);
    match field {
        Value::String(text) => format!("\"{}\"", field_value(name, text, mask)),
        Value::Object(fields) if is_error => {
            let fields = fields
                .iter()
                .map(|(name, field)| format!("{}: {}", name_of(name), shown(name, field, mask)));
            format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
        }
        Value::Object(fields) => {
            let names: Vec<_> = fields.keys().map(|name| name_of(name)).collect();
            format!("{{ {} }}", names.join(", "))
        }
        Value::Array(items) if is_error => {
            let shown = items.iter().map(|item| shown(name, item, mask));
            format!("[{}]", shown.collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Null => "null".to_owned(),
        Value::Number(number) if is_error => number.to_string(),
        other if mask.is_public(name) => other.to_string(),
        _ => "***".to_owned(),
    }
}

/// What went wrong, why, and what to check.
pub(crate) fn error(error: &Error) -> String {
    let said = error.to_string();
    // A cache makes a next attempt; this program does not.
    let said = match (error.retry_after(), said.rsplit_once("; next attempt in ")) {
        (Some(wait), Some((said, _))) => {
            format!("{said}; it asks to wait for {} s", wait.as_secs())
        }
        _ => said,
    };
    let mut out = format!("  {said}\n");
    let mut next = error.source();
    while let Some(cause) = next {
        let _ = writeln!(out, "  because: {cause}");
        next = cause.source();
    }
    out
}

pub(crate) fn token(
    token: &Token,
    tokens: &TokenCache,
    record: &Record,
    places: &Places,
    mask: &Mask,
) -> String {
    let mut out = String::new();
    let seen = record.response.as_ref().map(|response| Seen::of(&response.body, places));
    let text =
        |place: Option<&Value>| place.and_then(Value::as_str).map(|text| mask.printable(text));
    let token_type = seen.as_ref().and_then(|seen| text(seen.at(&places.token_type)));
    let status = tokens.status();
    let _ = writeln!(out, "  token     {}", masked(token.expose_secret()));
    let _ = writeln!(out, "  type      {}", token_type.as_deref().unwrap_or("not said, so Bearer"));
    let lifetime = token.lifetime().map(humane);
    let _ = writeln!(
        out,
        "  lifetime  {}",
        lifetime.as_deref().unwrap_or("not said, so that of the policy")
    );
    if let (Some(refresh_in), Some(usable_for)) = (status.refresh_in, status.usable_for) {
        let _ = writeln!(out, "  refreshed   after {}, or earlier by chance", humane(refresh_in));
        let _ = writeln!(out, "  not sent  after {}", humane(usable_for));
    }
    let asked = record.scope(mask.scope_param());
    let granted = match seen.as_ref().and_then(Seen::scope) {
        None => "not said, so what was asked".to_owned(),
        Some(None) => "not as a string, so it cannot be compared".to_owned(),
        Some(Some(scope)) => mask.printable(&scope),
    };
    let _ = writeln!(
        out,
        "  scope     asked: {}; granted: {}",
        asked.as_deref().map_or_else(|| "none".to_owned(), Mask::own),
        granted
    );
    out
}

pub(crate) fn list(lines: &[String]) -> String {
    lines.iter().fold(String::new(), |out, line| out + "  - " + line + "\n")
}

fn humane(duration: Duration) -> String {
    let seconds = duration.as_secs_f64().round() as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds} s"),
        (0, _) => format!("{minutes} min {seconds} s"),
        _ => format!("{hours} h {minutes} min {seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(config: &str, body: &str) -> String {
        let head = http::Response::new(()).into_parts().0;
        let body = Bytes::copy_from_slice(body.as_bytes());
        let received = Received { head, body, time: Duration::ZERO };
        response(&received, &Places::of(config), &Mask::of(config))
    }

    #[test]
    fn no_token_is_shown_as_a_name() {
        for body in [
            r#"{"access_token":"hunter2","token_type":"Bearer"}"#,
            r#"{"access_token":"hunter2==","token_type":"Bearer"}"#,
            "hunter2",
            "hunter2==",
        ] {
            let shown = shown("[fetcher]\nresponse_format = 'form'", body);
            assert!(shown.contains("without any fields") && !shown.contains("hunter2"), "{shown}");
        }
        let odd = r#"{"hunter2 ==":1,"data":{"\u001b[31mhunter2":1,"ttl":2}}"#;
        let shown = shown("", odd);
        assert!(shown.contains("ttl"), "{shown}");
        assert!(!shown.contains("hunter2") && !shown.contains('\u{1b}'), "{shown}");
    }
}
