//! Takes the client's secret out of what a server sends back.

use std::fmt::Write;

use zeroize::Zeroizing;

use super::{echo::Secrets, encode::form_value};

/// What is shown of a server's text, in characters.
const LONGEST: usize = 256;

/// What is looked at, in bytes: a server cannot make us work for longer than this takes.
const LOOKED_AT: usize = 4 * 1024;

/// What is shorter is no key, and would take words out of the text.
const SHORTEST_KEY: usize = 8;

/// What the server must not get into a log.
pub(super) struct Scrub<'a> {
    id: &'a str,
    secret: &'a str,
    others: Vec<&'a str>,
}

impl<'a> Scrub<'a> {
    /// `others` are what the user sends besides, such as an API key.
    pub(super) fn new(
        id: &'a str,
        secret: &'a str,
        others: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let others = others.into_iter().filter(|other| other.len() >= SHORTEST_KEY).collect();
        Self { id, secret, others }
    }

    /// Made for an error only: most answers are none.
    fn secrets(&self) -> Secrets {
        // As Basic has them (RFC 6749 §2.3.1).
        let encoded =
            Zeroizing::new(format!("{}:{}", *form_value(self.id), *form_value(self.secret)));
        let raw = Zeroizing::new(format!("{}:{}", self.id, self.secret));
        let pairs = [raw.as_str(), &encoded].into_iter().filter(|_| !self.secret.is_empty());
        Secrets::new(self.others.iter().copied().chain([self.secret]).chain(pairs))
    }

    /// A server's text as it may be shown: no secret, nothing but what can be printed, and at most
    /// 256 characters.
    pub(super) fn clean(&self, text: &str) -> String {
        let text = text.trim();
        let mut end = text.len().min(LOOKED_AT);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let cut = &text[..end];
        let text = self.secrets().replace(cut, cut.len() < text.len());
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use base64::{
        Engine,
        engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
    };

    use super::*;

    #[test]
    fn no_form_of_the_secret_survives() {
        let (id, secret) = ("me", "p@ss w/r~d+\"1\"'ü😀&");
        let json = serde_json::to_string(secret).unwrap();
        let twice = serde_json::to_string(&json[1..json.len() - 1]).unwrap();
        let form = form_value(secret);
        let scrub = Scrub::new(id, secret, []);
        for echo in [
            secret,
            &secret.to_uppercase().replace('Ü', "ü"),
            &form,
            &form.replace('+', "%20"),
            &form.to_lowercase(),
            // RFC 3986's unreserved characters, JavaScript's encodeURIComponent, Python's quote.
            "p%40ss%20w%2Fr~d%2B%221%22%27%C3%BC%F0%9F%98%80%26",
            "p%40ss%20w%2Fr~d%2B%221%22'%C3%BC%F0%9F%98%80%26",
            "p%40ss%20w/r~d%2B%221%22%27%C3%BC%F0%9F%98%80%26",
            &form.replace('%', "%25"),
            &form.replace('%', "%2525"),
            &json[1..json.len() - 1],
            &twice[1..twice.len() - 1],
            r#"p@ss w\/r~d+\"1\"'\u00fc\ud83d\uDE00&"#,
            r#"p@ss w\/r~d+\u00221\x22\x27\xc3\xbc\u{1f600}\u0026"#,
            "p@ss w/r~d+&quot;1&#34;&#39;&uuml;&#128512;&amp;",
            "p@ss w&#x2F;r~d+&#034;1&#X22;&apos;&#xFC;&#x1f600;&amp;amp;",
            "p%40ss+w%2fr~d%2B&quot;1&quot;%27\\u00fc😀&amp;",
            &STANDARD.encode(secret),
            &URL_SAFE_NO_PAD.encode(secret),
            &form_value(&STANDARD.encode(secret)),
            &secret.bytes().map(|byte| format!("{byte:02X}")).collect::<String>(),
            &format!("{id}:{secret}"),
            &STANDARD.encode(format!("{id}:{secret}")),
            &STANDARD.encode(format!("{id}:{}", *form)),
        ] {
            assert_eq!(scrub.clean(&format!("got <{echo}>!")), "got <[secret]>!", "{echo}");
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        let scrub = Scrub::new("me", "new\\/n&", ["short", "longer than that"]);
        for text in [
            "short",
            "n\\new",
            "%6",
            "%",
            "&",
            "&#;",
            "&amp",
            "\\u00",
            "\\u{110000}",
            "%C3",
            "&#x;",
        ] {
            assert_eq!(*scrub.secrets().replace(text, false), *text);
        }
        assert_eq!(*scrub.secrets().replace("LONGER+than&#32;that", false), *"[secret]");
        assert_eq!(*scrub.secrets().replace("longer than tha", true), *"[secret]");
    }

    #[test]
    fn it_takes_no_time() {
        let keys: Vec<_> = (0..20).map(|key| format!("yyyyyyyyyyyyyyyyyyyyyyyy{key}")).collect();
        let scrub = Scrub::new("me", "yyyyyyyyyyyyyyyyz", keys.iter().map(|key| &**key));
        let started = Instant::now();
        assert_eq!(scrub.clean(&"y".repeat(1_000_000)), "y".repeat(256));
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    }

    #[test]
    fn a_secret_longer_than_what_is_looked_at_does_not_survive() {
        let secret = "0123456789".repeat(1000);
        let scrub = Scrub::new("me", &secret, []);
        assert_eq!(scrub.clean(&format!("got {secret}")), "got [secret]");
    }

    #[test]
    fn what_cannot_be_printed_is_escaped_and_the_rest_is_cut() {
        let scrub = Scrub::new("", "", []);
        assert_eq!(scrub.clean("ungültig\u{202e}\r\n\"x\""), "ungültig\\u{202e}\\r\\n\"x\"");
        assert_eq!(scrub.clean(&"é".repeat(1000)).chars().count(), 256);
        assert_eq!(scrub.clean(&format!("{}\u{1b}", "x".repeat(255))), "x".repeat(255));
    }
}
