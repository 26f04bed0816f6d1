//! The fields of a response, read as leniently as servers write them.

use std::{borrow::Cow, collections::HashMap};

use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::lenient::without_trailing_commas;

/// How the token endpoint writes its responses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "config", derive(serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum ResponseFormat {
    /// A JSON object (RFC 6749 §5.1), whatever its `Content-Type` says.
    #[default]
    Json,
    /// `application/x-www-form-urlencoded`, as GitHub and servers from the days of OAuth's drafts do.
    Form,
}

/// One value of a response.
#[derive(Debug)]
pub(super) enum Scalar {
    Text(Zeroizing<String>),
    /// Infinite if it is too large (`1e999`).
    Number(f64),
    /// `true`, an object or an array.
    Other,
}

/// What a response holds. It borrows from the text, so that no copy of a token is left behind.
pub(super) enum Fields<'a> {
    /// The whole, and its members. A list has none: only a pointer finds anything in it.
    Json(&'a RawValue, HashMap<String, &'a RawValue>),
    Form(Vec<(Cow<'a, str>, Cow<'a, str>)>),
}

impl<'a> Fields<'a> {
    /// `None` if there are no fields.
    pub(super) fn of(text: &'a str, format: ResponseFormat) -> Option<Self> {
        match format {
            ResponseFormat::Json => {
                let json = serde_json::from_str(text).ok()?;
                let members = serde_json::from_str(text).ok();
                let members = members.or_else(|| text.starts_with('[').then(HashMap::new))?;
                Some(Self::Json(json, members))
            }
            ResponseFormat::Form => {
                // A text that is not a form is one name without a value.
                let pairs: Vec<_> = form_urlencoded::parse(text.as_bytes()).collect();
                pairs.iter().any(|(_, value)| !value.is_empty()).then_some(Self::Form(pairs))
            }
        }
    }

    /// The value at `place`: a name, or a JSON pointer (RFC 6901) if it starts with a slash.
    /// `None` if there is none, or if it is `null` or `false`.
    pub(super) fn get(&self, place: &str) -> Option<Scalar> {
        match self {
            Self::Json(json, members) => match place.strip_prefix('/') {
                None => scalar(members.get(place)?),
                Some(pointer) => {
                    let mut steps = pointer.split('/').map(unescape);
                    scalar(steps.try_fold(*json, |value, step| child(value, &step))?)
                }
            },
            Self::Form(pairs) => {
                let (_, value) = pairs.iter().find(|(name, _)| name == place)?;
                Some(Scalar::Text(Zeroizing::new(value.to_string())))
            }
        }
    }

    /// The value at `place` if it is a text that is not blank.
    pub(super) fn text(&self, place: &str) -> Option<Zeroizing<String>> {
        match self.get(place)? {
            Scalar::Text(text) if !text.trim().is_empty() => Some(text),
            _ => None,
        }
    }
}

fn unescape(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

fn child<'a>(value: &'a RawValue, step: &str) -> Option<&'a RawValue> {
    let text = value.get();
    if text.starts_with('[') {
        let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
        return items.get(step.parse::<usize>().ok()?).copied();
    }
    serde_json::from_str::<HashMap<String, &RawValue>>(text).ok()?.get(step).copied()
}

fn scalar(value: &RawValue) -> Option<Scalar> {
    let text = value.get();
    match text.as_bytes().first()? {
        b'"' => Some(
            serde_json::from_str(text)
                .map_or(Scalar::Other, |text: String| Scalar::Text(Zeroizing::new(text))),
        ),
        b'-' | b'0'..=b'9' => Some(text.parse().map_or(Scalar::Other, Scalar::Number)),
        b'n' | b'f' => None,
        _ => Some(Scalar::Other),
    }
}

/// The text of a response: without byte order mark, as JSON without trailing commas.
pub(super) fn text(body: &[u8], format: ResponseFormat) -> Zeroizing<String> {
    let text = Zeroizing::new(String::from_utf8_lossy(body).into_owned());
    let bare = text.trim_start_matches('\u{feff}').trim();
    // Correct JSON stays as it is, so that leniency cannot break it.
    if format == ResponseFormat::Form || serde_json::from_str::<&RawValue>(bare).is_ok() {
        return Zeroizing::new(bare.to_owned());
    }
    without_trailing_commas(bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trailing_commas_go() {
        for (from, to) in [
            (r#"{"a":1,}"#, r#"{"a":1}"#),
            ("{\"a\":1 , \n}", "{\"a\":1  \n}"),
            (r#"{"a":[1,2,],}"#, r#"{"a":[1,2]}"#),
            (r#"{"a":",}",}"#, r#"{"a":",}"}"#),
            (r#"{"a":"\",}",}"#, r#"{"a":"\",}"}"#),
            (r#"{"a":"\\",}"#, r#"{"a":"\\"}"#),
            (r#"{"a":1,,}"#, r#"{"a":1,}"#),
        ] {
            assert_eq!(*without_trailing_commas(from), to, "{from}");
        }
    }

    #[test]
    fn a_pointer_leads_through_objects_and_arrays() {
        let text = r#"{"data":[{"a/b":{"~":"here"}}],"n":1e999}"#;
        let fields = Fields::of(text, ResponseFormat::Json).unwrap();
        assert_eq!(*fields.text("/data/0/a~1b/~0").unwrap(), "here");
        assert!(fields.get("/data/1").is_none());
        assert!(fields.get("/n/x").is_none());
        assert!(matches!(fields.get("n"), Some(Scalar::Number(n)) if n.is_infinite()));
    }

    #[test]
    fn depth_costs_no_stack() {
        for open in ["[", "{\"a\":"] {
            let deep = open.repeat(1024 * 1024 / open.len());
            let text = text(deep.as_bytes(), ResponseFormat::Json);
            assert!(Fields::of(&text, ResponseFormat::Json).is_none());
        }
    }
}
