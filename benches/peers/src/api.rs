//! The one shape that every case is brought into: a service of requests without a body.

use std::future::Future;

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

/// A request as programs make one: its URI is parsed, and half of its eight headers have values that
/// are made at run time. The others are constants, which cost nothing to clone.
pub fn request() -> Request {
    const HEADERS: [(HeaderName, &str, bool); 8] = [
        (HeaderName::from_static("x-request-id"), "5f3a9c0e-17b2-4d6e-8a41", true),
        (HeaderName::from_static("traceparent"), "00-0af7651916cd43dd-b7-01", true),
        (header::USER_AGENT, "benches/0", true),
        (header::IF_NONE_MATCH, "\"33a64df5\"", true),
        (header::ACCEPT, "application/json", false),
        (header::ACCEPT_ENCODING, "gzip, br", false),
        (header::ACCEPT_LANGUAGE, "en", false),
        (header::CONTENT_TYPE, "application/json", false),
    ];
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = Uri::try_from("https://api.example.com/v1/widgets?page=2").expect("a URI");
    for (name, value, made) in HEADERS {
        let value = if made {
            HeaderValue::from_str(value).expect("a value")
        } else {
            HeaderValue::from_static(value)
        };
        request.headers_mut().insert(name, value);
    }
    request
}
