//! What is odd about a response, in plain words.

use std::time::{Duration, SystemTime};

use http::{StatusCode, header};
use serde_json::{Map, Value};

// The library's own, so that the two read the same.
#[path = "../../src/token_endpoint/response/lenient.rs"]
mod lenient;

use crate::{http_client::Received, mask::Mask};

/// Where the configuration says that the response has its fields.
pub(crate) struct Places {
    pub(crate) access_token: String,
    pub(crate) expires_in: String,
    pub(crate) token_type: String,
    pub(crate) form: bool,
}

impl Places {
    pub(crate) fn of(config: &str) -> Self {
        let config: toml::Table = config.parse().unwrap_or_default();
        let fetcher = config.get("fetcher");
        let field = |name: &str| {
            let place =
                fetcher.and_then(|fetcher| fetcher.get("response_field")?.get(name)?.as_str());
            place.unwrap_or(name).to_owned()
        };
        let format = fetcher.and_then(|fetcher| fetcher.get("response_format")?.as_str());
        Self {
            access_token: field("access_token"),
            expires_in: field("expires_in"),
            token_type: field("token_type"),
            form: format == Some("form"),
        }
    }
}

/// The response as strict readers see it, and what they stumble over.
pub(crate) struct Seen {
    pub(crate) fields: Option<Map<String, Value>>,
    /// A list has none, but a pointer may lead into it.
    list: Option<Value>,
    byte_order_mark: bool,
    trailing_comma: bool,
}

impl Seen {
    pub(crate) fn of(body: &[u8], places: &Places) -> Self {
        let text = String::from_utf8_lossy(body);
        let bare = text.trim_start_matches('\u{feff}').trim();
        let byte_order_mark = text.starts_with('\u{feff}');
        if places.form {
            let pairs: Vec<_> = form_urlencoded::parse(bare.as_bytes()).into_owned().collect();
            // Any text is a form of a kind. One without a name that we know is something else, and
            // then even its names may be a token.
            let known = [&places.access_token, &places.token_type, "error"];
            let is_form = |(name, value): &(String, String)| {
                !value.is_empty() && known.contains(&name.as_str())
            };
            let fields = pairs.iter().any(is_form).then(|| {
                pairs.into_iter().map(|(name, value)| (name, Value::String(value))).collect()
            });
            return Self { fields, list: None, byte_order_mark, trailing_comma: false };
        }
        let strict: Option<Value> = serde_json::from_str(bare).ok();
        let lenient = || serde_json::from_str(&lenient::without_trailing_commas(bare)).ok();
        let trailing_comma = strict.is_none() && lenient().is_some();
        let (fields, list) = match strict.or_else(lenient) {
            Some(Value::Object(fields)) => (Some(fields), None),
            other => (None, other.filter(Value::is_array)),
        };
        Self { fields, list, byte_order_mark, trailing_comma }
    }

    /// The field of this name, or where this JSON pointer leads to.
    pub(crate) fn at<'a>(&'a self, place: &str) -> Option<&'a Value> {
        let mut steps = place.strip_prefix('/').unwrap_or(place).split('/');
        let step_into = |value: &'a Value, step: &str| match value {
            Value::Array(items) => items.get(step.parse::<usize>().ok()?),
            value => value.get(step.replace("~1", "/").replace("~0", "~")),
        };
        if let Some(list) = &self.list {
            return place.starts_with('/').then(|| steps.try_fold(list, step_into))?;
        }
        let fields = self.fields.as_ref()?;
        if !place.starts_with('/') {
            return fields.get(place);
        }
        let first = fields.get(&steps.next()?.replace("~1", "/").replace("~0", "~"))?;
        steps.try_fold(first, step_into)
    }

    /// The scope that it grants, also from a list of strings; `Some(None)` if it cannot be read.
    pub(crate) fn scope(&self) -> Option<Option<String>> {
        let scope = self.at("scope").filter(|scope| !scope.is_null())?;
        let Value::Array(items) = scope else { return Some(scope.as_str().map(str::to_owned)) };
        let words: Option<Vec<_>> = items.iter().map(Value::as_str).collect();
        Some(words.map(|words| words.join(" ")))
    }
}

pub(crate) fn findings(
    response: &Received,
    places: &Places,
    asked: Option<&str>,
    mask: &Mask,
) -> Vec<String> {
    let mut odd = Vec::new();
    let mut say = |what: String| odd.push(what);
    let Received { head, body, .. } = response;
    let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok());

    if let Some(date) = header(header::DATE).and_then(|date| httpdate::parse_http_date(date).ok()) {
        let now = SystemTime::now();
        let apart = now.duration_since(date).unwrap_or_else(|error| error.duration());
        if apart > Duration::from_secs(60) {
            say(format!("The server's clock and this machine's are {} s apart.", apart.as_secs()));
        }
    }
    let content_type = header(header::CONTENT_TYPE).unwrap_or_default().to_ascii_lowercase();
    let expected = if places.form { "x-www-form-urlencoded" } else { "json" };
    if !content_type.contains(expected) {
        say(format!("Its Content-Type is \"{}\".", mask.printable(&content_type)));
    }
    let seen = Seen::of(body, places);
    if seen.byte_order_mark {
        say("It begins with a byte order mark, which JSON does not allow (RFC 8259 §8.1).".into());
    }
    if seen.trailing_comma {
        say("A comma follows a last field, which JSON does not allow. It is ignored.".into());
    }
    if !head.status.is_success() {
        return odd;
    }
    let mut say = |what: &str| odd.push(what.to_owned());
    if head.status != StatusCode::OK {
        say("A token comes with status 200 (RFC 6749 §5.1); this is another one.");
    }
    if seen.list.is_none() && seen.fields.as_ref().is_none_or(Map::is_empty) {
        say("It has no fields at all.");
        return odd;
    }
    if !header(header::CACHE_CONTROL).unwrap_or_default().contains("no-store") {
        say("It may be cached: `Cache-Control: no-store` is missing (RFC 6749 §5.1).");
    }
    match seen.at(&places.access_token).map(Value::as_str) {
        None => say("It has no token where one is expected."),
        Some(None) => say("The token is not a string."),
        Some(Some(token)) if token.len() > 8 * 1024 => {
            say("The token is longer than 8 KiB; many servers take no header of that size.");
        }
        Some(Some(_)) => {}
    }
    match seen.at(&places.expires_in) {
        None | Some(Value::Null) => {
            say("It does not say how long the token lives; the policy's default is used.");
        }
        Some(lifetime) => {
            let number = match lifetime {
                Value::String(text) => text.trim().parse().ok(),
                other => other.as_f64(),
            };
            if lifetime.is_string() && !places.form {
                say("The lifetime is a string, not a number.");
            }
            match number {
                None => say("The lifetime is not a number."),
                Some(none) if none <= 0.0 => say("The token had expired before it arrived."),
                Some(some) if some < 30.0 => say("The token lives for less than half a minute."),
                Some(some) if some.fract() != 0.0 => say("The lifetime is not a whole number."),
                Some(some) if some >= 1e9 => say("The lifetime is a point in time."),
                Some(_) => {}
            }
        }
    }
    match seen.at(&places.token_type).map(|value| value.as_str().unwrap_or_default()) {
        None | Some("") => say("It does not say what type the token is; Bearer is assumed."),
        Some(other) if other.eq_ignore_ascii_case("Bearer") => {}
        Some(other) => odd.push(format!("The token type is \"{}\".", mask.printable(other))),
    }
    let mut say = |what: &str| odd.push(what.to_owned());
    if seen.at("refresh_token").is_some() {
        say("It has a refresh token, which RFC 6749 §4.4.3 advises against. It is ignored.");
    }
    if seen.at("error").is_some_and(|error| !error.is_null()) {
        say("It has an `error` despite its good status.");
    }
    let granted = seen.scope();
    if granted == Some(None) {
        say("The scope is neither a string nor a list of them.");
    } else if seen.at("scope").is_some_and(Value::is_array) {
        say("The scope is a list, not a string (RFC 6749 §5.1).");
    }
    if let Some(granted) = granted.flatten().as_deref() {
        let asked = asked.unwrap_or_default();
        // By words a secret could get through the mask.
        let is_shown = mask.is_public("scope") && mask.printable(granted) == granted;
        let beyond = |scope: &str, other: &str| {
            let known: Vec<_> = other.split_whitespace().collect();
            let words = scope.split_whitespace().filter(|word| !known.contains(word));
            words.map(Mask::own).collect::<Vec<_>>().join(" ")
        };
        let (missing, more) = (beyond(asked, granted), beyond(granted, asked));
        match is_shown {
            false if missing.is_empty() && more.is_empty() => {}
            false => say("The scope that it grants is not the one that was asked for."),
            true => {
                if !missing.is_empty() {
                    say(&format!("It does not grant all of the scope: {missing} is missing."));
                }
                if !more.is_empty() {
                    say(&format!("It grants a scope that was not asked for: {more}."));
                }
            }
        }
    }
    odd
}

#[cfg(test)]
mod tests {
    use http::Response;

    use super::*;

    fn odd(config: &str, body: &str) -> String {
        let places = Places::of(config);
        let kind = if places.form { "application/x-www-form-urlencoded" } else { "text/json" };
        let response = Response::builder()
            .header("content-type", kind)
            .header("cache-control", "no-store")
            .body(())
            .unwrap();
        let head = response.into_parts().0;
        let received = Received { head, body: body.to_owned().into(), time: Duration::ZERO };
        findings(&received, &places, Some("a b"), &Mask::default()).join(" ")
    }

    #[test]
    fn what_is_usual_is_not_odd() {
        let usual = r#"{"access_token":"t","token_type":"bearer","expires_in":3600,"scope":"b a"}"#;
        assert_eq!(odd("", usual), "");
        let nested = "[fetcher.response_field]\naccess_token = '/a/0'\nexpires_in = '/ttl'";
        assert_eq!(odd(nested, r#"{"a":["t"],"ttl":60,"token_type":"Bearer"}"#), "");
        let list =
            "[fetcher.response_field]\naccess_token='/0/t'\nexpires_in='/1'\ntoken_type='/2'";
        assert_eq!(odd(list, r#"[{"t":"t"},60,"Bearer"]"#), "");
        let form = "[fetcher]\nresponse_format = 'form'";
        assert_eq!(odd(form, "access_token=t&token_type=bearer&expires_in=60"), "");
    }

    #[test]
    fn what_is_odd_is_said() {
        let bright_pattern =
            "{\"access_token\":\"t\",\n\"token_type\":\"Bearer\",\"expires_in\":\"3599\",\n}";
        for (body, says) in [
            (bright_pattern, "comma"),
            (bright_pattern, "lifetime is a string"),
            (r#"{"a":{"b":[1,],},"access_token":"t"}"#, "comma"),
            ("\u{feff}{\"access_token\":\"t\"}", "byte order mark"),
            (r#"{"access_token":"t"}"#, "how long the token lives"),
            (r#"{"access_token":"t"}"#, "what type"),
            (r#"{"access_token":"t","token_type":"BearerToken"}"#, "BearerToken"),
            (r#"{"access_token":"t","expires_in":0}"#, "had expired before"),
            (r#"{"access_token":"t","expires_in":1.5}"#, "less than half a minute"),
            (r#"{"access_token":"t","expires_in":"soon"}"#, "not a number"),
            (r#"{"access_token":"t","scope":"a"}"#, "all of the scope: b is missing"),
            (r#"{"access_token":"t","scope":"b c d a"}"#, "not asked for: c d."),
            (r#"{"access_token":"t","scope":""}"#, "a b is missing"),
            (r#"{"access_token":"t","refresh_token":"r"}"#, "refresh token"),
            (r#"{"access_token":"t","error":"e"}"#, "`error`"),
            ("{}", "no fields"),
            ("<html>", "no fields"),
            (r#"{"token":"t"}"#, "no token where"),
        ] {
            let said = odd("", body);
            assert!(said.contains(says), "{body}: {said}");
        }
    }
}
