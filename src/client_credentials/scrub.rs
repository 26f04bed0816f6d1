//! Takes the client's secret out of what a server sends back.

use std::fmt::Write;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

use super::{authentication::basic, encode::form_value};

const LONGEST: usize = 256;

/// Every form of the secret that an answer could echo, the longest first.
pub(super) struct Scrub(Vec<Zeroizing<String>>);

impl Scrub {
    /// `others` are what the user sends besides, such as an API key. What is short among them is
    /// no key, and would take words out of the text.
    pub(super) fn new<'a>(
        id: &str,
        secret: &'a str,
        others: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let others = others.into_iter().filter(|other| other.len() >= 8);
        let mut forms: Vec<_> = others.chain([secret]).flat_map(forms).collect();
        if !secret.is_empty() {
            for pair in [basic(id, secret), basic(&form_value(id), &form_value(secret))] {
                forms.push(Zeroizing::new(pair["Basic ".len()..].to_owned()));
            }
        }
        forms.retain(|form| !form.is_empty());
        // A form that is part of another must not break the other one up.
        forms.sort_unstable_by_key(|form| std::cmp::Reverse(form.len()));
        forms.dedup();
        Self(forms)
    }

    /// A server's text as it may be shown: no secret, nothing but what can be printed, and at most
    /// 256 characters.
    pub(super) fn clean(&self, text: &str) -> String {
        let mut text = Zeroizing::new(text.to_owned());
        for form in &self.0 {
            text = replace_any_case(&text, form);
        }
        let mut out = String::new();
        let mut room = LONGEST;
        for char in text.trim().chars() {
            let mut escaped = String::new();
            let _ = match char {
                '"' | '\'' => escaped.write_char(char),
                _ => write!(escaped, "{}", char.escape_debug()),
            };
            // Counted in characters, of which an escape is several.
            let Some(left) = room.checked_sub(escaped.chars().count()) else { break };
            room = left;
            out.push_str(&escaped);
        }
        out
    }
}

/// One secret, in every form but Basic's.
fn forms(secret: &str) -> Vec<Zeroizing<String>> {
    let encoded = form_value(secret);
    let json = Zeroizing::new(serde_json::to_string(secret).unwrap_or_default());
    let mut forms = vec![
        encoded.replace('+', "%20"),
        utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string(),
        secret.escape_debug().to_string(),
        secret.escape_default().to_string(),
        json.get(1..json.len().saturating_sub(1)).unwrap_or_default().to_owned(),
        secret.to_owned(),
    ];
    forms.extend(
        [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD]
            .map(|engine| engine.encode(secret)),
    );
    forms.into_iter().map(Zeroizing::new).chain([encoded]).collect()
}

/// Percent-encoding comes in upper and lower case; a secret in the wrong case is still telling.
fn replace_any_case(text: &str, form: &str) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(text.len()));
    let mut rest = text;
    while let Some(char) = rest.chars().next() {
        match rest.get(..form.len()) {
            Some(head) if head.eq_ignore_ascii_case(form) => {
                out.push_str("[secret]");
                rest = &rest[form.len()..];
            }
            _ => {
                out.push(char);
                rest = &rest[char.len_utf8()..];
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_form_of_the_secret_survives() {
        let (id, secret) = ("me", "p@ss w/rd+\"1\"");
        let scrub = Scrub::new(id, secret, []);
        for echo in [
            secret,
            "p%40ss+w%2Frd%2B%221%22",
            "p%40ss%20w%2frd%2b%221%22",
            "p@ss w/rd+\\\"1\\\"",
            &STANDARD.encode(secret),
            &URL_SAFE_NO_PAD.encode(secret),
            &STANDARD.encode(format!("{id}:{secret}")),
            &STANDARD.encode(format!("{id}:p%40ss+w%2Frd%2B%221%22")),
        ] {
            assert_eq!(scrub.clean(&format!("got <{echo}>!")), "got <[secret]>!", "{echo}");
        }
    }

    #[test]
    fn what_cannot_be_printed_is_escaped_and_the_rest_is_cut() {
        let scrub = Scrub::new("", "", []);
        assert_eq!(scrub.clean("ungültig\u{202e}\r\n\"x\""), "ungültig\\u{202e}\\r\\n\"x\"");
        assert_eq!(scrub.clean(&"é".repeat(1000)).chars().count(), 256);
        assert_eq!(scrub.clean(&format!("{}\u{1b}", "x".repeat(255))), "x".repeat(255));
    }
}
