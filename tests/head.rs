//! A replay is the same request, whatever stands in its head: it is kept as bytes and parsed again.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Uri, Version, uri};
use http_body_util::{Empty, Full};
use proptest::{collection::vec, prelude::*, sample::select};
use tower_oauth::replay::{Buffered, ByClone, IfEmpty, Replay};

#[derive(Clone, Debug, PartialEq)]
struct Mark(u32);

/// All that there is to see of a head.
#[derive(Debug, PartialEq)]
struct Seen {
    method: Method,
    uri: Uri,
    uri_text: String,
    version: Version,
    /// In their order, with their sensitive marks.
    headers: Vec<(HeaderName, Vec<u8>, bool)>,
    mark: Option<Mark>,
}

fn seen<B>(request: &Request<B>) -> Seen {
    let headers = request
        .headers()
        .iter()
        .map(|(name, value)| (name.clone(), value.as_bytes().to_vec(), value.is_sensitive()));
    Seen {
        method: request.method().clone(),
        uri: request.uri().clone(),
        uri_text: request.uri().to_string(),
        version: request.version(),
        headers: headers.collect(),
        mark: request.extensions().get().cloned(),
    }
}

/// That what is sent first, and what is sent the next two times, is the request.
fn is_the_same_again<R: Replay<B>, B: Clone>(request: &Request<B>, replay: &R) {
    let (first, kept) = replay.keep(request.clone());
    let mut kept = kept.expect("a request that can be replayed");
    assert_eq!(seen(&first), seen(request));
    for _ in 0..2 {
        let again = replay.again(&mut kept).expect("a replay");
        assert_eq!(seen(&again), seen(request));
    }
}

fn methods() -> impl Strategy<Value = Method> {
    let custom = "[A-Z!#$%&'*+.^_`|~a-z0-9-]{1,40}";
    let custom = custom.prop_map(|name| Method::from_bytes(name.as_bytes()).unwrap());
    prop_oneof![select(vec![Method::GET, Method::POST, Method::CONNECT, Method::PATCH]), custom]
}

fn uris() -> impl Strategy<Value = Uri> {
    let known = select(vec![
        "*",
        "/",
        "/?",
        "/a/b?c=d&e",
        "?q",
        "example.com",
        "example.com:443",
        "[::1]:8080",
        "user:password@example.com:1",
        "http://example.com",
        "HTTPS://EXAMPLE.com:443/A%20b?%C3%A9#fragment",
        "http://user@[::1]:80/?",
        "http://example.com?q",
        "ws+unix.x-1://host/a;b=c",
        "/caf\u{e9}?\u{65e5}",
    ]);
    let random = "(https?://[a-z0-9.-]{1,20}(:[0-9]{1,4})?)?/[a-zA-Z0-9/%.~!$&'()*+,;=:@_-]{0,30}\
                  (\\?[a-zA-Z0-9/%.~!$&'()*+,;=:@_?-]{0,30})?";
    let text = prop_oneof![known.prop_map(str::to_owned), random];
    text.prop_filter_map("a URI", |text| text.parse().ok())
}

fn headers() -> impl Strategy<Value = Vec<(HeaderName, HeaderValue)>> {
    let name = prop_oneof![
        // Few of them, so that they are repeated.
        select(vec!["accept", "cookie", "x-a", "x-b", "traceparent"]).prop_map(str::to_owned),
        "[a-z!#$%&'*+.^_`|~0-9-]{1,100}",
    ];
    let byte = prop_oneof![32u8..127, 128u8.., Just(b'\t')];
    let value = prop_oneof![
        vec(byte, 0..40),
        // About as long as what is not copied any more.
        (505usize..520).prop_map(|length| vec![b'x'; length]),
        Just(vec![0xe9; 5_000]),
    ];
    let header = (name, value, any::<bool>()).prop_map(|(name, value, is_sensitive)| {
        let mut value = HeaderValue::from_bytes(&value).unwrap();
        value.set_sensitive(is_sensitive);
        (name.parse().unwrap(), value)
    });
    vec(header, 0..20)
}

fn versions() -> impl Strategy<Value = Version> {
    select(vec![
        Version::HTTP_09,
        Version::HTTP_10,
        Version::HTTP_11,
        Version::HTTP_2,
        Version::HTTP_3,
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn any_request_is_the_same_again(
        method in methods(),
        uri in uris(),
        version in versions(),
        headers in headers(),
        removed in any::<Option<prop::sample::Index>>(),
        mark in any::<Option<u32>>(),
    ) {
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.version_mut() = version;
        for (name, value) in &headers {
            request.headers_mut().append(name, value.clone());
        }
        // That changes the order of the others.
        if let (Some(removed), false) = (removed, headers.is_empty()) {
            request.headers_mut().remove(&removed.get(&headers).0);
        }
        if let Some(mark) = mark {
            request.extensions_mut().insert(Mark(mark));
        }
        is_the_same_again(&request, &IfEmpty);
        is_the_same_again(&request, &ByClone);
        is_the_same_again(&request, &Buffered::new(10));
        is_the_same_again(&request.map(|_| Full::<Bytes>::from("words")), &ByClone);
    }
}

/// As long as a head's parts can be.
#[test]
fn long_parts_are_the_same_again() {
    let mut parts = uri::Parts::default();
    parts.scheme = Some(format!("a{}", "+".repeat(63)).parse().unwrap());
    parts.authority = Some("h".repeat(60_000).parse().unwrap());
    parts.path_and_query = Some(format!("/{}", "p".repeat(60_000)).parse().unwrap());
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = Uri::from_parts(parts).unwrap();
    *request.method_mut() = Method::from_bytes(&[b'M'; 1_000]).unwrap();
    let name = HeaderName::try_from("n".repeat(65_535)).unwrap();
    request.headers_mut().insert(name, HeaderValue::try_from("v".repeat(1_000_000)).unwrap());
    is_the_same_again(&request, &IfEmpty);
}

/// As many headers as a map takes.
#[test]
fn many_headers_are_the_same_again() {
    let mut request = Request::new(Empty::<Bytes>::new());
    for number in 0.. {
        let name = HeaderName::try_from(format!("x-{number}")).unwrap();
        if request.headers_mut().try_insert(name, HeaderValue::from(number)).is_err() {
            break;
        }
    }
    assert!(request.headers().len() > 20_000);
    is_the_same_again(&request, &IfEmpty);
}
