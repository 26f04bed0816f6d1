//! Finds secrets in a text, in whatever encoding they are echoed.
//!
//! It knows nothing of the crate, so that `examples/fetch_token.rs` can use it too.

use std::fmt::Write;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD},
};
use zeroize::Zeroizing;

const MASK: &str = "[secret]";

/// One character in bytes, as long as the escapes get that anybody writes.
const LONGEST_ESCAPE: usize = 24;

/// The secrets, and each as a whole in base64 and in hexadecimal; the longest first, so that one
/// that is part of another does not break that up.
pub(crate) struct Secrets(Vec<Zeroizing<String>>);

impl Secrets {
    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut forms = Vec::new();
        for secret in secrets.into_iter().filter(|secret| !secret.is_empty()) {
            forms.extend(
                [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD]
                    .map(|engine| Zeroizing::new(engine.encode(secret))),
            );
            let mut hex = Zeroizing::new(String::with_capacity(2 * secret.len()));
            for byte in secret.bytes() {
                let _ = write!(*hex, "{byte:02x}");
            }
            forms.push(hex);
            forms.push(Zeroizing::new(secret.to_owned()));
        }
        forms.sort_unstable_by(|one, other| other.len().cmp(&one.len()).then(one.cmp(other)));
        forms.dedup();
        Self(forms)
    }

    /// The text with `[secret]` for every secret. Of a text that `goes_on` behind its end, the end
    /// may be the begin of a secret, and then goes too.
    pub(crate) fn replace(&self, text: &str, goes_on: bool) -> Zeroizing<String> {
        let mut out = Zeroizing::new(String::with_capacity(text.len()));
        let mut at = 0;
        while let Some(char) = text[at..].chars().next() {
            match self.0.iter().find_map(|secret| end(&text[at..], secret, goes_on)) {
                Some(end) => {
                    out.push_str(MASK);
                    at += end;
                }
                None => {
                    out.push(char);
                    at += char.len_utf8();
                }
            }
        }
        out
    }
}

/// Where the secret ends that `text` begins with.
fn end(text: &str, secret: &str, goes_on: bool) -> Option<usize> {
    // What a character is written as can be the begin of another way to write it: all are followed.
    let (mut ends, mut next) = (vec![0], Vec::new());
    for char in secret.chars() {
        for from in &ends {
            let rest = &text[*from..];
            let halved =
                *from > 0 && rest.len() < LONGEST_ESCAPE && rest.starts_with(['%', '&', '\\']);
            if goes_on && (rest.is_empty() || halved) {
                return Some(text.len());
            }
            ways(rest, char, &mut |length| next.push(from + length));
        }
        next.sort_unstable();
        next.dedup();
        if next.is_empty() {
            return None;
        }
        std::mem::swap(&mut ends, &mut next);
        next.clear();
    }
    ends.last().copied().filter(|end| *end > 0)
}

/// Gives the lengths of what stands for `char` at the begin of `text`. A secret in the wrong case
/// is still telling, and digits of escapes come in both.
fn ways(text: &str, char: char, found: &mut impl FnMut(usize)) {
    let Some(first) = text.chars().next() else { return };
    if first.eq_ignore_ascii_case(&char) || char == ' ' && first == '+' {
        found(first.len_utf8());
    }
    match first {
        '%' => percent(text, char, found),
        '&' => entity(text, char, found),
        '\\' => backslash(text, char, found),
        _ => {}
    }
}

/// `%C3%BC` (RFC 3986 §2.1), or `%25C3%25BC` where somebody encoded it again.
fn percent(text: &str, char: char, found: &mut impl FnMut(usize)) {
    let mut utf8 = [0; 4];
    let mut starts = vec![0];
    for byte in char.encode_utf8(&mut utf8).bytes() {
        let mut ends = Vec::new();
        for start in starts {
            let Some(mut rest) = text[start..].strip_prefix('%') else { continue };
            loop {
                if hex(rest, 2) == Some(byte.into()) {
                    ends.push(text.len() - rest.len() + 2);
                }
                let Some(again) = rest.strip_prefix("25") else { break };
                rest = again;
            }
        }
        starts = ends;
    }
    starts.into_iter().for_each(found);
}

/// `&quot;`, `&#34;` or `&#x22;`, or `&amp;quot;` where somebody encoded it again.
fn entity(text: &str, char: char, found: &mut impl FnMut(usize)) {
    let mut rest = &text[1..];
    loop {
        let end = rest.bytes().take(12).position(|byte| byte == b';');
        if let Some(name) = end.and_then(|end| rest.get(..end)) {
            let code = match name.strip_prefix('#') {
                Some(number) => match number.strip_prefix(['x', 'X']) {
                    Some(digits) => u32::from_str_radix(digits, 16).ok(),
                    None => number.parse().ok(),
                },
                None => named(name).map(u32::from),
            };
            if code.and_then(char::from_u32).is_some_and(|code| code.eq_ignore_ascii_case(&char)) {
                found(text.len() - rest.len() + name.len() + 1);
            }
        }
        let Some(again) = rest.strip_prefix("amp;") else { break };
        if char == '&' {
            found(text.len() - again.len());
        }
        rest = again;
    }
}

/// The names that those give who encode what HTML needs, or all of ASCII.
fn named(name: &str) -> Option<char> {
    Some(match name {
        "amp" => '&',
        "apos" => '\'',
        "ast" => '*',
        "colon" => ':',
        "comma" => ',',
        "commat" => '@',
        "dollar" => '$',
        "equals" => '=',
        "excl" => '!',
        "gt" => '>',
        "lpar" => '(',
        "lt" => '<',
        "num" => '#',
        "percnt" => '%',
        "period" => '.',
        "plus" => '+',
        "quest" => '?',
        "quot" => '"',
        "rpar" => ')',
        "semi" => ';',
        "sol" => '/',
        "auml" => 'ä',
        "ouml" => 'ö',
        "uuml" => 'ü',
        "eacute" => 'é',
        "szlig" => 'ß',
        _ => return None,
    })
}

/// `\/`, `\n`, `\u00fc`, `\ud83d\ude00`, `\u{fc}`, `\xfc`; with more backslashes where somebody
/// encoded it again.
fn backslash(text: &str, char: char, found: &mut impl FnMut(usize)) {
    let rest = text.trim_start_matches('\\');
    let slashes = text.len() - rest.len();
    if char == '\\' {
        (2..=slashes).for_each(&mut *found);
    }
    let Some(first) = rest.chars().next() else { return };
    let short = match char {
        '\n' => 'n',
        '\r' => 'r',
        '\t' => 't',
        '\u{8}' => 'b',
        '\u{c}' => 'f',
        '\0' => '0',
        other => other,
    };
    // `\n` is no `n`, but `\/` is a `/`.
    if first == short && (short != char || !char.is_alphanumeric()) {
        found(slashes + first.len_utf8());
    }
    let is = |code: Option<u32>| {
        code.and_then(char::from_u32).is_some_and(|code| code.eq_ignore_ascii_case(&char))
    };
    if let Some(digits) = rest.strip_prefix("u{") {
        if let Some(end) = digits.bytes().take(8).position(|byte| byte == b'}') {
            if is(u32::from_str_radix(&digits[..end], 16).ok()) {
                found(slashes + 2 + end + 1);
            }
        }
    } else if first == 'u' {
        let mut units = [0; 2];
        match char.encode_utf16(&mut units) {
            [_] if is(hex(&rest[1..], 4)) => found(slashes + 5),
            [high, low] if hex(&rest[1..], 4) == Some(u32::from(*high)) => {
                let rest = &rest[5..];
                let low_at = rest.trim_start_matches('\\');
                let between = rest.len() - low_at.len();
                let digits = low_at.strip_prefix('u').and_then(|digits| hex(digits, 4));
                if between > 0 && digits == Some(u32::from(*low)) {
                    found(slashes + 5 + between + 5);
                }
            }
            _ => {}
        }
    } else if first == 'x' && is(hex(&rest[1..], 2)) {
        found(slashes + 3);
    }
    bytes(text, char, found);
}

/// `\xc3\xbc`, as Python and nginx write what is not ASCII.
fn bytes(text: &str, char: char, found: &mut impl FnMut(usize)) {
    let mut utf8 = [0; 4];
    let mut rest = text;
    for byte in char.encode_utf8(&mut utf8).bytes() {
        let digits = rest.trim_start_matches('\\').strip_prefix(['x', 'X']);
        match digits.filter(|digits| hex(digits, 2) == Some(byte.into())) {
            Some(digits) if rest.starts_with('\\') => rest = &digits[2..],
            _ => return,
        }
    }
    found(text.len() - rest.len());
}

fn hex(text: &str, digits: usize) -> Option<u32> {
    let digits = text.get(..digits)?;
    // `from_str_radix` would take a sign.
    let all = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    all.then(|| u32::from_str_radix(digits, 16).ok())?
}
