//! The one shape that every case is brought into: a service of requests without a body.

use std::{future::Future, sync::LazyLock};

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

/// What is done with a case. A trait, because every case is a service of another type, and a box
/// around it would be measured too.
pub trait Drive {
    type Output;

    fn drive(self, api: impl Api) -> impl Future<Output = Self::Output>;
}

/// A request with 0 or 8 headers of its own. Names and values are constants and the URI has been
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
        (header::USER_AGENT, HeaderValue::from_static("peers/0")),
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
