//! JSON as servers write it. It knows nothing of the crate, so that `examples/fetch_token.rs` can
//! use it too.

use zeroize::Zeroizing;

/// Leaves out every comma outside of a string that is followed by a closing bracket.
///
/// A reader of JSON5 would do, but the existing ones recurse without limit: a response of nothing
/// but opening brackets would overflow the stack.
pub(crate) fn without_trailing_commas(text: &str) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(text.len()));
    let (mut in_string, mut escaped) = (false, false);
    for (index, char) in text.char_indices() {
        match char {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            ',' if !in_string && text[index + 1..].trim_start().starts_with(['}', ']']) => continue,
            _ => {}
        }
        out.push(char);
    }
    out
}
