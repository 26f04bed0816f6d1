//! The innermost service, and the requests that go to it.

use std::{
    future::{Ready, ready},
    hint::black_box,
    sync::LazyLock,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Uri, header};
use http_body_util::Empty;
use tower::{BoxError, Service};

pub type Body = Empty<Bytes>;
pub type Request = http::Request<Body>;
pub type Response = http::Response<Body>;

/// A service that sends a request, whatever is in front of it.
pub trait Api:
    Service<Request, Response = Response, Error = BoxError, Future: Send> + Clone + Send + 'static
{
}

impl<S> Api for S where
    S: Service<Request, Response = Response, Error = BoxError, Future: Send>
        + Clone
        + Send
        + 'static
{
}

/// Answers 200 at once, with that many headers. `WORDS` is its size: what a clone of it costs.
#[derive(Clone)]
pub struct Inner<const WORDS: usize = 0> {
    words: [usize; WORDS],
    headers: usize,
}

impl<const WORDS: usize> Inner<WORDS> {
    pub fn new(headers: usize) -> Self {
        Self { words: [0; WORDS], headers }
    }
}

impl<const WORDS: usize, B> Service<http::Request<B>> for Inner<WORDS> {
    type Response = Response;
    type Error = BoxError;
    type Future = Ready<Result<Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        // Kept from the optimizer: what has been put into the request must really be there.
        black_box(&request);
        black_box(&self.words);
        let mut response = Response::new(Empty::new());
        for (name, value) in &RESPONSE[..self.headers] {
            response.headers_mut().insert(name, value.clone());
        }
        ready(Ok(response))
    }
}

static RESPONSE: [(HeaderName, HeaderValue); 6] = [
    (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
    (header::CONTENT_LENGTH, HeaderValue::from_static("0")),
    (header::DATE, HeaderValue::from_static("Sat, 01 Jan 2000 00:00:00 GMT")),
    (header::SERVER, HeaderValue::from_static("mock")),
    (header::ETAG, HeaderValue::from_static("\"1\"")),
    (header::VARY, HeaderValue::from_static("accept-encoding")),
];

/// A request with 0 to 8 headers of its own. Names and values are constants and the URI has been
/// parsed, so that little is counted that no case has anything to do with.
pub fn request(headers: usize) -> Request {
    static URI: LazyLock<Uri> =
        LazyLock::new(|| Uri::from_static("https://api.example.com/v1/widgets?page=2"));
    static HEADERS: [(HeaderName, HeaderValue); 8] = [
        (header::ACCEPT, HeaderValue::from_static("application/json")),
        (header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, br")),
        (header::ACCEPT_LANGUAGE, HeaderValue::from_static("en")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::USER_AGENT, HeaderValue::from_static("benches/0")),
        (header::TE, HeaderValue::from_static("trailers")),
        (header::VIA, HeaderValue::from_static("1.1 proxy")),
    ];
    let mut request = Request::new(Empty::new());
    request.uri_mut().clone_from(&URI);
    for (name, value) in &HEADERS[..headers] {
        request.headers_mut().insert(name, value.clone());
    }
    request
}
