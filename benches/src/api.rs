//! The innermost service, and the requests that go to it.

use std::{
    future::{Ready, ready},
    hint::black_box,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Uri, header};
use http_body_util::Empty;
use tower::{BoxError, Service};

pub type Request = http::Request<Empty<Bytes>>;
pub type Response = http::Response<Empty<Bytes>>;

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

/// Responds with 200 at once, with that many headers. A clone of it copies so many words.
#[derive(Clone)]
pub struct Inner<const WORDS: usize = 0> {
    words: [usize; WORDS],
    headers: usize,
}

/// Of 304 bytes, as an HTTP client is.
pub type Large = Inner<37>;

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
        // Kept from the optimizer: what was put into the request must really be there.
        black_box((&request, &self.words));
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

static REQUEST: [(HeaderName, HeaderValue); 8] = [
    (HeaderName::from_static("x-request-id"), HeaderValue::from_static("5f3a9c0e-17b2-4d6e-8a41")),
    (HeaderName::from_static("traceparent"), HeaderValue::from_static("00-0af7651916cd43dd-b7-01")),
    (header::USER_AGENT, HeaderValue::from_static("benches/0")),
    (header::IF_NONE_MATCH, HeaderValue::from_static("\"33a64df5\"")),
    (header::ACCEPT, HeaderValue::from_static("application/json")),
    (header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, br")),
    (header::ACCEPT_LANGUAGE, HeaderValue::from_static("en")),
    (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
];

/// A request as programs make one: its URI is parsed, and the first `made` of its headers have
/// values that are made at run time. The others are constants, which cost nothing to clone.
pub fn request(headers: usize, made: usize) -> Request {
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = Uri::try_from("https://api.example.com/v1/widgets?page=2").unwrap();
    for (n, (name, value)) in REQUEST[..headers].iter().enumerate() {
        let value = if n < made {
            HeaderValue::from_bytes(value.as_bytes()).unwrap()
        } else {
            value.clone()
        };
        request.headers_mut().insert(name, value);
    }
    request
}
