use std::{fmt, hint::black_box};

use http::{
    Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version,
    uri::{Authority, Parts, PathAndQuery},
};

/// Longer values are cloned: from here on a copy costs more than a count that is shared.
const COPIED_AT_MOST: usize = 512;

/// A name and a value are seldom longer than that, on average.
const USUAL: usize = 64;

// What is written beside a value's length.
const SENSITIVE: u16 = 1 << 15;
const CLONED: u16 = 1 << 14;

/// The head of a request, as bytes.
///
/// To clone a `HeaderMap` or a `Uri` takes an allocation for each value that was made at run time. All of
/// it in one buffer takes one, and is read again only for a replay.
#[allow(unnameable_types)] // part of an associated type, and nothing to use
pub struct KeptHead {
    method: Method,
    version: Version,
    /// How long scheme, authority, and path with query are. None of them is ever empty: 0 says that
    /// there is none.
    uri: [u16; 3],
    /// The URI, and then for each header two lengths, its name and its value.
    bytes: Vec<u8>,
    /// The values that are not in it, in their order.
    cloned: Vec<HeaderValue>,
    extensions: Extensions,
}

impl KeptHead {
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        let (uri, headers) = (request.uri(), request.headers());
        let uri = [
            uri.scheme_str().unwrap_or_default(),
            uri.authority().map_or("", Authority::as_str),
            uri.path_and_query().map_or("", PathAndQuery::as_str),
        ];
        let length = uri.iter().map(|part| part.len()).sum::<usize>();
        // To count first would cost more than a guess that is usually enough.
        let mut bytes = Vec::with_capacity(length + headers.len() * USUAL);
        uri.iter().for_each(|part| bytes.extend_from_slice(part.as_bytes()));
        let mut cloned = Vec::new();
        for (name, value) in headers {
            let (name, copy) = (name.as_str().as_bytes(), copied(value));
            let mut beside = copy.len() as u16;
            if value.is_sensitive() {
                beside |= SENSITIVE;
            }
            if copy.len() < value.len() {
                beside |= CLONED;
                cloned.push(value.clone());
            }
            let ([a, b], [c, d]) = ((name.len() as u16).to_ne_bytes(), beside.to_ne_bytes());
            let more = 4 + name.len() + copy.len();
            if more > bytes.capacity() - bytes.len() {
                grow(&mut bytes, more);
            }
            bytes.extend_from_slice(&[a, b, c, d]);
            bytes.extend_from_slice(name);
            bytes.extend_from_slice(copy);
        }
        Self {
            method: request.method().clone(),
            version: request.version(),
            uri: uri.map(|part| part.len() as u16),
            bytes,
            cloned,
            extensions: request.extensions().clone(),
        }
    }

    /// The same request, with this body. There always is one.
    pub(super) fn again<B>(&self, body: B) -> Option<Request<B>> {
        let mut request = Request::new(body);
        let mut bytes = &self.bytes[..];
        *request.uri_mut() = self.read_uri(&mut bytes)?;
        self.read_headers(bytes, request.headers_mut())?;
        request.method_mut().clone_from(&self.method);
        *request.version_mut() = self.version;
        request.extensions_mut().clone_from(&self.extensions);
        Some(request)
    }

    fn read_uri(&self, bytes: &mut &[u8]) -> Option<Uri> {
        let [scheme, authority, path] = self.uri.map(|length| take(bytes, length));
        let mut parts = Parts::default();
        parts.scheme = some(scheme?).map(TryInto::try_into).transpose().ok()?;
        parts.authority = some(authority?).map(TryInto::try_into).transpose().ok()?;
        parts.path_and_query = some(path?).map(TryInto::try_into).transpose().ok()?;
        Uri::from_parts(parts).ok()
    }

    fn read_headers(&self, mut bytes: &[u8], headers: &mut HeaderMap) -> Option<()> {
        let mut cloned = self.cloned.iter();
        while let Some((&[a, b, c, d], rest)) = bytes.split_first_chunk() {
            bytes = rest;
            let (length, beside) = (u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d]));
            let name = HeaderName::from_bytes(take(&mut bytes, length)?).ok()?;
            let copy = take(&mut bytes, beside & !(SENSITIVE | CLONED))?;
            let mut value = match beside & CLONED {
                0 => HeaderValue::from_bytes(copy).ok()?,
                _ => cloned.next()?.clone(),
            };
            value.set_sensitive(beside & SENSITIVE != 0);
            headers.try_append(name, value).ok()?;
        }
        Some(())
    }
}

/// What is copied of a value: all of it or nothing.
fn copied(value: &HeaderValue) -> &[u8] {
    if value.len() <= COPIED_AT_MOST { value.as_bytes() } else { &[] }
}

fn take<'a>(bytes: &mut &'a [u8], length: u16) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length.into())?;
    *bytes = rest;
    Some(taken)
}

fn some(part: &[u8]) -> Option<&[u8]> {
    Some(part).filter(|part| !part.is_empty())
}

/// Makes room for so many more bytes, and leaves no copy behind.
#[cold]
fn grow(bytes: &mut Vec<u8>, more: usize) {
    let mut larger = Vec::with_capacity(2 * (bytes.len() + more));
    larger.extend_from_slice(bytes);
    overwrite(bytes);
    *bytes = larger;
}

/// Cookies and API keys may be in it. Written at once and not byte by byte, as `zeroize` would: that costs
/// more than all the rest.
fn overwrite(bytes: &mut [u8]) {
    bytes.fill(0);
    // Or the compiler finds that nobody reads it.
    black_box(bytes);
}

impl Drop for KeptHead {
    fn drop(&mut self) {
        overwrite(&mut self.bytes);
    }
}

impl fmt::Debug for KeptHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptHead").finish_non_exhaustive()
    }
}
