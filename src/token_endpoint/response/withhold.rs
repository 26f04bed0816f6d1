//! Decides whether a server's words may be shown. It knows nothing of the crate, so that
//! `examples/fetch_token.rs` can use it too.

use std::fmt::Write;

use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

/// A shorter run of letters and digits may be in any text by chance.
const TELLING: usize = 8;

/// What is shown of a server's words, in characters.
const LONGEST: usize = 256;

/// Withholds a text that may hold a secret, in whatever encoding.
///
/// What is looked for is the longest run of letters and digits in a secret, in its base64 (which of
/// the two alphabets makes no difference) and in its hexadecimal form, in any case. Such a run is the
/// same in percent-encoding, JSON and HTML, and in one inside another, because none of them escapes
/// letters and digits of ASCII. A server that escapes even those gets past this.
pub(crate) struct Withhold {
    /// In lower case.
    runs: Vec<Zeroizing<String>>,
    /// There is a secret that cannot be told from ordinary words.
    everything: bool,
}

impl Withhold {
    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut this = Self { runs: Vec::new(), everything: false };
        for secret in secrets.into_iter().filter(|secret| !secret.is_empty()) {
            let mut hex = Zeroizing::new(String::with_capacity(2 * secret.len()));
            secret.bytes().for_each(|byte| _ = write!(*hex, "{byte:02x}"));
            let base64 = Zeroizing::new(STANDARD.encode(secret));
            let run = longest_run(secret);
            this.everything |= run.len() < TELLING;
            this.runs.extend([run, longest_run(&base64), hex]);
        }
        this.runs.retain(|run| !run.is_empty());
        this
    }

    /// Whether a secret is in the text, as far as that can be seen.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        let text = Zeroizing::new(text.to_ascii_lowercase());
        self.runs.iter().any(|run| text.contains(run.as_str()))
    }

    /// The text as it may be shown: nothing but what can be printed, and at most 256 characters.
    /// `None` if it is withheld.
    pub(crate) fn words(&self, text: &str) -> Option<String> {
        if self.everything || self.is_in(text) {
            return None;
        }
        let mut words = String::new();
        for char in text.trim().chars() {
            let quote = matches!(char, '"' | '\'');
            let escaped = if quote { char.to_string() } else { char.escape_debug().to_string() };
            // Counted in characters, of which an escape is several.
            if words.chars().count() + escaped.chars().count() > LONGEST {
                break;
            }
            words.push_str(&escaped);
        }
        Some(words)
    }
}

/// The longest run of ASCII letters and digits, in lower case.
fn longest_run(text: &str) -> Zeroizing<String> {
    let runs = text.split(|char: char| !char.is_ascii_alphanumeric());
    Zeroizing::new(runs.max_by_key(|run| run.len()).unwrap_or_default().to_ascii_lowercase())
}
