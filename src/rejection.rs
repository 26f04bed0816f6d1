//! The standard answer to "was this token rejected?".

use http::{HeaderMap, StatusCode, header::WWW_AUTHENTICATE};

use crate::source::ResponseHead;

const GRPC_STATUS: &str = "grpc-status";

/// Whether the resource server rejected the token.
pub fn standard(response: &ResponseHead<'_>) -> bool {
    is_rejection(response.status, response.headers, || response.is_end_stream)
}

#[inline]
pub(crate) fn is_rejection(
    status: StatusCode,
    headers: &HeaderMap,
    ended: impl FnOnce() -> bool,
) -> bool {
    match status {
        StatusCode::UNAUTHORIZED => blames_token(headers),
        // Only an answer without a body has its trailers among the headers.
        StatusCode::OK if !headers.is_empty() && ended() => is_unauthenticated(headers),
        _ => false,
    }
}

/// Whether gRPC's status is UNAUTHENTICATED. Few answers are gRPC's, and few have many headers: to
/// look for a name of its length costs less than to hash one that is not there.
#[inline]
fn is_unauthenticated(headers: &HeaderMap) -> bool {
    const FEW: usize = 12;
    if headers.len() <= FEW && !headers.keys().any(|name| name.as_str().len() == GRPC_STATUS.len())
    {
        return false;
    }
    headers.get(GRPC_STATUS).is_some_and(|code| code == "16")
}

/// False if the Bearer challenges name errors, and none of them is `invalid_token`.
fn blames_token(headers: &HeaderMap) -> bool {
    let mut errors = headers
        .get_all(WWW_AUTHENTICATE)
        .iter()
        .filter_map(|line| bearer_errors(line.as_bytes()))
        .flatten()
        .peekable();
    errors.peek().is_none() || errors.any(|error| error.eq_ignore_ascii_case(b"invalid_token"))
}

/// The `error` of every Bearer challenge in one header line (RFC 9110 §11.6.1), or `None` if the
/// line is malformed and so means nothing.
fn bearer_errors(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut reader = Reader { rest: line };
    let mut errors = Vec::new();
    // Whether the challenge that parameters now belong to is a Bearer challenge.
    let mut bearer = None;
    loop {
        while reader.skip_spaces() | reader.skip(b',') {}
        if reader.rest.is_empty() {
            return Some(errors);
        }
        let name = reader.token()?;
        let spaced = reader.skip_spaces();
        let mut parameter = None;
        if reader.skip(b'=') {
            // A parameter of a challenge that began earlier.
            parameter = Some((name, reader.value()?));
        } else {
            bearer = Some(name.eq_ignore_ascii_case(b"bearer"));
            if spaced && !reader.at_end_of_item() && !reader.skip_token68() {
                let name = reader.token()?;
                reader.skip_spaces();
                if !reader.skip(b'=') {
                    return None;
                }
                parameter = Some((name, reader.value()?));
            }
        }
        if let Some((name, value)) = parameter {
            // Without a scheme before it a parameter belongs to nothing.
            if bearer? && name.eq_ignore_ascii_case(b"error") {
                errors.push(value);
            }
        }
        reader.skip_spaces();
        if !reader.at_end_of_item() {
            return None;
        }
    }
}

/// Reads the parts of RFC 9110 §5.6 off the front of a header line.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken
    }

    fn count(&self, matches: impl Fn(u8) -> bool) -> usize {
        self.rest.iter().take_while(|byte| matches(**byte)).count()
    }

    fn skip(&mut self, byte: u8) -> bool {
        let found = self.rest.first() == Some(&byte);
        self.take(usize::from(found));
        found
    }

    fn skip_spaces(&mut self) -> bool {
        let length = self.count(|byte| byte == b' ' || byte == b'\t');
        !self.take(length).is_empty()
    }

    fn at_end_of_item(&self) -> bool {
        self.rest.first().is_none_or(|byte| *byte == b',')
    }

    fn token(&mut self) -> Option<&'a [u8]> {
        let length =
            self.count(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
        (length > 0).then(|| self.take(length))
    }

    /// Skips a token68, which differs from a parameter by what comes after its equals signs.
    fn skip_token68(&mut self) -> bool {
        let length = self.count(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte));
        let mut after = Reader { rest: &self.rest[length..] };
        after.take(after.count(|byte| byte == b'='));
        after.skip_spaces();
        let found = length > 0 && after.at_end_of_item();
        if found {
            self.rest = after.rest;
        }
        found
    }

    /// A parameter's value: a token or a quoted string, without its quotes and escapes.
    fn value(&mut self) -> Option<Vec<u8>> {
        self.skip_spaces();
        if !self.skip(b'"') {
            return self.token().map(<[u8]>::to_vec);
        }
        let mut value = Vec::new();
        loop {
            match self.rest {
                [] => return None,
                [b'"', rest @ ..] => {
                    self.rest = rest;
                    return Some(value);
                }
                [b'\\', byte, rest @ ..] | [byte, rest @ ..] => {
                    value.push(*byte);
                    self.rest = rest;
                }
            }
        }
    }
}
