//! The innermost service: a token request out, a response in, over any HTTP service.

use std::{
    fmt,
    future::{Future, ready},
    io,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tower_service::Service;
use zeroize::Zeroizing;

use crate::{
    error::{BoxError, Error, ErrorKind},
    token_endpoint::request::{EndpointRequest, encode},
};

/// Far more than any token response needs.
const LONGEST_RESPONSE: usize = 1024 * 1024;

/// Sends an [`EndpointRequest`] over an HTTP service and collects the response, of at most 1 MiB.
///
/// `Q` is the type of the request's body: any that is made from [`Bytes`].
///
/// Any status is a response. The error is [`ErrorKind::Unavailable`] if no response came, or
/// [`ErrorKind::InvalidResponse`] if a response with a good status was too long; of a longer error
/// response only the head is kept. If the URL had a query, the error has no
/// [`source`](std::error::Error::source), because the errors of HTTP clients print URLs. Dropping
/// the future drops the request.
///
/// [`build_with`](crate::token_endpoint::TokenEndpointBuilder::build_with) puts one around the
/// service that it is given. With
/// [`build_with_transport`](crate::token_endpoint::TokenEndpointBuilder::build_with_transport) it is
/// the innermost service, below layers of your own.
pub struct HttpTransport<S, Q> {
    http: S,
    body: PhantomData<fn(Q)>,
}

impl<S, Q> HttpTransport<S, Q> {
    /// Sends over this HTTP service, which should not follow redirects: they would take the secret
    /// along.
    pub fn new(http: S) -> Self {
        Self { http, body: PhantomData }
    }
}

impl<S: Clone, Q> Clone for HttpTransport<S, Q> {
    fn clone(&self) -> Self {
        Self::new(self.http.clone())
    }
}

impl<S, Q> fmt::Debug for HttpTransport<S, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTransport").finish_non_exhaustive()
    }
}

impl<S, Q, B> Service<EndpointRequest> for HttpTransport<S, Q>
where
    S: Service<Request<Q>, Response = Response<B>, Error: Into<BoxError>, Future: Send + 'static>,
    Q: From<Bytes>,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<Bytes>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Bytes>, Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.http.poll_ready(cx).map_err(|error| unavailable(error.into(), false))
    }

    fn call(&mut self, request: EndpointRequest) -> Self::Future {
        let secret_url = request.has_query();
        let request = match encode(request) {
            Ok(request) => request,
            Err(error) => return Box::pin(ready(Err(error))),
        };
        let response = self.http.call(request);
        Box::pin(async move {
            let response = response.await.map_err(|error| unavailable(error.into(), secret_url))?;
            let (head, body) = response.into_parts();
            match Limited::new(body, LONGEST_RESPONSE).collect().await {
                Ok(body) => Ok(Response::from_parts(head, body.to_bytes())),
                Err(error) if !error.is::<LengthLimitError>() => {
                    Err(unavailable(error, secret_url).with_status(head.status))
                }
                Err(_) if head.status.is_success() => Err(Error::new(ErrorKind::InvalidResponse)
                    .with_status(head.status)
                    .with_description("it is longer than 1 MiB")),
                // Without a token in it, the status says more than its length.
                Err(_) => Ok(Response::from_parts(head, Bytes::new())),
            }
        })
    }
}

/// No response, and why; without the cause if that may print a secret.
pub(crate) fn unavailable(error: BoxError, secret_url: bool) -> Error {
    if let Some(ours) = Error::find(&*error) {
        return ours.clone();
    }
    let unavailable = Error::new(ErrorKind::Unavailable);
    if !secret_url {
        return unavailable.with_source(error);
    }
    match cause(&*error) {
        Some(cause) => unavailable.with_description(cause),
        None => unavailable,
    }
}

/// Why no response came, in words of our own: the client's may have the URL in them.
fn cause(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut kind = None;
    let mut next = Some(error);
    while let Some(cause) = next {
        let text = Zeroizing::new(cause.to_string());
        if let Some((_, known)) = KNOWN.into_iter().find(|(words, _)| text.contains(words)) {
            return Some(known.to_owned());
        }
        kind = cause.downcast_ref().map(io::Error::kind).or(kind);
        next = cause.source();
    }
    // "other error" says nothing.
    kind.filter(|kind| *kind != io::ErrorKind::Other).map(|kind| kind.to_string())
}

/// Causes without a kind of their own, by what rustls and the resolver say.
const KNOWN: [(&str, &str); 5] = [
    ("UnknownIssuer", "the server's certificate is not trusted (UnknownIssuer)"),
    ("invalid peer certificate", "the server's certificate is not accepted"),
    ("corrupt message", "the server does not speak TLS"),
    ("dns error", "the host's name is not known (DNS)"),
    ("lookup address", "the host's name is not known (DNS)"),
];
