//! The texts of an error response under their names, whatever it is written in.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use zeroize::Zeroizing;

/// How far an error may be wrapped, and how much of it is looked at: real ones are far below.
const DEEPEST: usize = 6;
const MOST: usize = 1000;

/// A text or a number.
pub(super) struct Member {
    /// In lower case, without a prefix, and without what is neither a letter nor a digit.
    pub(super) name: String,
    pub(super) text: Zeroizing<String>,
    /// Its own name, or that of something around it, speaks of an error.
    pub(super) is_of_error: bool,
}

/// What is found, nearest to the root first. Nothing if it is neither JSON nor XML nor a form.
pub(super) fn members(text: &str) -> Vec<Member> {
    let mut found = Vec::new();
    match serde_json::from_str(text) {
        Ok(root) => json(root, &member("", false, ""), 0, &mut found),
        Err(_) if is_page(text) => {}
        Err(_) if text.starts_with('<') => xml(text, &mut found),
        Err(_) => {
            let pairs = form_urlencoded::parse(text.as_bytes());
            found.extend(pairs.map(|(name, value)| (0, member(&name, false, &value))));
        }
    }
    found.sort_by_key(|(depth, _)| *depth);
    found.retain(|(_, member)| !member.text.is_empty());
    found.into_iter().map(|(_, member)| member).collect()
}

fn member(name: &str, is_of_error: bool, text: &str) -> Member {
    let (_prefix, local) = name.rsplit_once(':').unwrap_or_default();
    let name = if local.is_empty() { name } else { local };
    let letters = name.chars().filter(char::is_ascii_alphanumeric);
    let mut name: String = letters.map(|char| char.to_ascii_lowercase()).collect();
    if name == "errors" {
        name.pop();
    }
    let speaks_of_error =
        name.contains("error") || name.starts_with("err") || name.starts_with("fault");
    let is_of_error = is_of_error || speaks_of_error;
    Member { name, text: Zeroizing::new(text.trim().to_owned()), is_of_error }
}

fn json(value: &RawValue, at: &Member, depth: usize, found: &mut Vec<(usize, Member)>) {
    let text = value.get();
    let mut inside = |name: &str, value| {
        if depth < DEEPEST && found.len() < MOST {
            json(value, &member(name, at.is_of_error, ""), depth + 1, found);
        }
    };
    match text.as_bytes().first() {
        Some(b'{') => {
            let members: BTreeMap<String, &RawValue> =
                serde_json::from_str(text).unwrap_or_default();
            members.iter().for_each(|(name, value)| inside(name, value));
        }
        // Under the name of the list.
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text).unwrap_or_default();
            items.into_iter().take(MOST).for_each(|item| inside(&at.name, item));
        }
        Some(b'"') => {
            let text: String = serde_json::from_str(text).unwrap_or_default();
            found.push((depth, member(&at.name, at.is_of_error, &text)));
        }
        Some(b'f') if ["ok", "success"].contains(&&*at.name) => {
            found.push((depth, member(&at.name, false, text)));
        }
        Some(b'n' | b'f') | None => {}
        Some(_) => found.push((depth, member(&at.name, at.is_of_error, text))),
    }
}

/// XHTML is a page too.
pub(super) fn is_page(text: &str) -> bool {
    let start: String = text.chars().take(1024).map(|char| char.to_ascii_lowercase()).collect();
    start.contains("<html") || start.contains("<!doctype html")
}

/// The elements that begin with text.
fn xml(text: &str, found: &mut Vec<(usize, Member)>) {
    let text = Zeroizing::new(text.replace("<![CDATA[", "").replace("]]>", ""));
    for piece in text.split('<').take(MOST) {
        let Some((tag, text)) = piece.split_once('>') else { continue };
        let name = tag.split_ascii_whitespace().next().unwrap_or_default();
        if !name.starts_with(['/', '?', '!']) {
            let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&amp;", "&")];
            let text = entities
                .iter()
                .fold(text.to_owned(), |text, (entity, char)| text.replace(entity, char));
            found.push((0, member(name, false, &text)));
        }
    }
}
