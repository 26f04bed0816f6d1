//! What must not be shown, whoever says it.

use std::collections::HashSet;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{header, request};

// The library's own, which finds a secret in whatever encoding a server repeats it.
#[path = "../../src/token_endpoint/response/withhold.rs"]
mod withhold;

use crate::http_client::Record;
use withhold::Withhold;

/// Parameters and fields that are not secret. All others may be, whatever they are called.
const PUBLIC: [&str; 9] = [
    "audience",
    "client_id",
    "expires_in",
    "grant_type",
    "resource",
    "scope",
    "status",
    "token_type",
    "type",
];

/// Whether a field of a response says what went wrong, whatever it is called: RFC 6749 §5.2, RFC 9457
/// §3.1, and customs.
pub(crate) fn tells(name: &str) -> bool {
    const NAMES: [&str; 7] = ["code", "detail", "details", "msg", "message", "reason", "title"];
    let letters = name.chars().filter(char::is_ascii_alphanumeric);
    let name: String = letters.map(|char| char.to_ascii_lowercase()).collect();
    NAMES.contains(&&*name)
        || name.contains("error")
        || ["err", "fault"].iter().any(|start| name.starts_with(start))
}

/// A shorter text is in every other line by chance.
const SHORTEST_KEY: usize = 4;

const WITHHELD: &str = "*** (withheld: a secret may be in it)";

/// Which parameters may be shown, and what must not be wherever it stands.
#[derive(Clone, Default)]
pub(crate) struct Mask {
    /// Names of parameters that are secret in spite of their names.
    private: HashSet<String>,
    /// Other names of parameters that are not. A field of a response is not public by them.
    renamed: HashSet<String>,
    /// What the scope is called in a request, if not that.
    scope: Option<String>,
    secrets: Vec<String>,
}

impl Mask {
    /// From the configuration: what it calls the secret, and what it adds.
    pub(crate) fn of(config: &str) -> Self {
        let config: toml::Table = config.parse().unwrap_or_default();
        let table = |name: &str| config.get("fetcher")?.get(name)?.as_table();
        let mut private = HashSet::new();
        private.extend(table("param").into_iter().flatten().map(|(name, _)| name.clone()));
        let renamed = |name: &str| Some(table("rename_param")?.get(name)?.as_str()?.to_owned());
        // An id by another name is a key.
        private.insert("client_secret".to_owned());
        private.extend(["client_secret", "client_id"].into_iter().filter_map(renamed));
        private.remove("client_id");
        if renamed("client_secret").as_deref() == Some("client_id") {
            private.insert("client_id".to_owned());
        }
        let public = PUBLIC.into_iter().filter(|name| *name != "client_id");
        let scope = renamed("scope");
        Self { private, renamed: public.filter_map(renamed).collect(), scope, secrets: Vec::new() }
    }

    /// What the scope is called in a request.
    pub(crate) fn scope_param(&self) -> &str {
        self.scope.as_deref().unwrap_or("scope")
    }

    /// Hides what this request has in its masked places.
    pub(crate) fn hide_request(&mut self, (head, body): &(request::Parts, Bytes)) {
        for (name, value) in Record::params(head, body) {
            if !self.is_public_param(&name) {
                self.hide(&value);
            }
        }
        for (name, value) in &head.headers {
            let value = String::from_utf8_lossy(value.as_bytes());
            if name == header::AUTHORIZATION {
                let credentials = value.split_once(' ').map_or(&*value, |(_, after)| after);
                self.hide(credentials);
                let pair = STANDARD.decode(credentials).unwrap_or_default();
                let pair = String::from_utf8_lossy(&pair);
                if let Some((_, secret)) = pair.split_once(':') {
                    self.hide(secret);
                    let form = format!("={secret}");
                    let decoded = form_urlencoded::parse(form.as_bytes());
                    decoded.for_each(|(_, secret)| self.hide(&secret));
                }
            } else if head.headers[name].is_sensitive() {
                self.hide(&value);
            }
        }
    }

    /// Hides this wherever it stands.
    pub(crate) fn hide(&mut self, secret: &str) {
        self.secrets.push(secret.to_owned());
    }

    /// Whether a field of a response may be shown.
    pub(crate) fn is_public(&self, name: &str) -> bool {
        PUBLIC.contains(&name) && !self.private.contains(name)
    }

    /// Whether a parameter of a request may be shown.
    pub(crate) fn is_public_param(&self, name: &str) -> bool {
        let is_renamed = self.renamed.contains(name) && !self.private.contains(name);
        is_renamed || self.is_public(name)
    }

    /// The text without the lines that must not be shown.
    pub(crate) fn over(&self, text: &str) -> String {
        let is_in = |secret: &String, line: &str| {
            let withhold = Withhold::new([secret.as_str()]);
            match withhold.words("") {
                Some(_) => withhold.is_in(line),
                // It cannot be told from ordinary words: only all of it counts.
                None => secret.len() >= SHORTEST_KEY && line.contains(secret),
            }
        };
        let hides = |line| self.secrets.iter().any(|secret| is_in(secret, line));
        let shown = |line| if hides(line) { WITHHELD } else { line };
        text.split('\n').map(shown).collect::<Vec<_>>().join("\n")
    }

    /// What we wrote ourselves, as it can be printed.
    pub(crate) fn own(text: &str) -> String {
        text.chars().flat_map(char::escape_debug).take(200).collect()
    }

    /// What a server wrote: it cannot move the cursor, and no secret is in it.
    pub(crate) fn printable(&self, text: &str) -> String {
        let withhold = Withhold::new(self.secrets.iter().map(String::as_str));
        withhold.words(text).unwrap_or_else(|| WITHHELD.to_owned())
    }
}

pub(crate) fn masked(secret: &str) -> String {
    format!("*** ({} characters)", secret.chars().count())
}
