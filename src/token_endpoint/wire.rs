//! The leaf: an exchange out, an answer in, over any HTTP service.

use std::{
    fmt,
    future::{Future, ready},
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use tower_service::Service;
use zeroize::Zeroizing;

use super::{encode::encode, exchange::EndpointRequest};
use crate::error::{BoxError, Error, ErrorKind};

/// No token answer is anywhere near it.
const LONGEST_ANSWER: usize = 1024 * 1024;

/// Sends an [`EndpointRequest`] over an HTTP service and collects the answer, of which it reads 1 MiB at
/// most.
///
/// Any status is an answer; an error is [`ErrorKind::Unavailable`] where no answer came, or
/// [`ErrorKind::InvalidResponse`] where it was too long to be read for a token; of an error that is
/// too long only the head is kept. If the URL had a query, the error has no
/// [`source`](std::error::Error::source), because HTTP clients' errors print URLs.
///
/// [`TokenEndpointBuilder::build_with`](crate::token_endpoint::TokenEndpointBuilder::build_with) puts one
/// around what it is given. With
/// [`build_over`](crate::token_endpoint::TokenEndpointBuilder::build_over) it is the innermost service.
#[derive(Clone, Copy)]
pub struct Wire<S> {
    http: S,
}

impl<S> Wire<S> {
    /// Sends over this HTTP service, which should follow no redirects: they take secrets along.
    pub fn new(http: S) -> Self {
        Self { http }
    }
}

impl<S> fmt::Debug for Wire<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}

impl<S, B> Service<EndpointRequest> for Wire<S>
where
    S: Service<
            Request<Full<Bytes>>,
            Response = Response<B>,
            Error: Into<BoxError>,
            Future: Send + 'static,
        >,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<Bytes>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Bytes>, Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.http.poll_ready(cx).map_err(|error| unavailable(error.into(), false))
    }

    fn call(&mut self, exchange: EndpointRequest) -> Self::Future {
        let secret_url = exchange.has_query();
        let request = match encode(exchange) {
            Ok(request) => request,
            Err(error) => return Box::pin(ready(Err(error))),
        };
        let answer = self.http.call(request);
        Box::pin(async move {
            let answer = answer.await.map_err(|error| unavailable(error.into(), secret_url))?;
            let (head, body) = answer.into_parts();
            match Limited::new(body, LONGEST_ANSWER).collect().await {
                Ok(body) => Ok(Response::from_parts(head, body.to_bytes())),
                // Without a token in it, the status says more than its length.
                Err(error) if error.is::<LengthLimitError>() && !head.status.is_success() => {
                    Ok(Response::from_parts(head, Bytes::new()))
                }
                Err(error) if error.is::<LengthLimitError>() => {
                    Err(Error::new(ErrorKind::InvalidResponse)
                        .with_status(head.status)
                        .with_description("it is longer than 1 MiB"))
                }
                Err(error) => Err(unavailable(error, secret_url).with_status(head.status)),
            }
        })
    }
}

/// No answer, and why; without the cause where that may print a secret.
pub(super) fn unavailable(error: BoxError, secret_url: bool) -> Error {
    if let Some(ours) = Error::find(&*error) {
        return ours.clone();
    }
    if !secret_url {
        return Error::new(ErrorKind::Unavailable).with_source(error);
    }
    let unavailable = Error::new(ErrorKind::Unavailable);
    match cause(&*error) {
        Some(cause) => unavailable.with_description(cause),
        None => unavailable,
    }
}

/// What kept the answer away, in words of ours: theirs may have the URL in them.
fn cause(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut kind = None;
    let mut next = Some(error);
    while let Some(cause) = next {
        let io = cause.downcast_ref::<io::Error>();
        // What an I/O error was made from is not among its sources.
        let inner = io.and_then(io::Error::get_ref);
        let text = inner.map_or_else(|| format!("{cause} {cause:?}"), |it| format!("{it} {it:?}"));
        if let Some(known) = known(&Zeroizing::new(text.to_ascii_lowercase())) {
            return Some(known.to_owned());
        }
        if let Some(io) = io {
            kind = Some(io.kind());
        }
        next = cause.source();
    }
    match kind? {
        // "other error" says nothing.
        io::ErrorKind::Other => None,
        kind => Some(kind.to_string()).filter(|kind| kind != "uncategorized error"),
    }
}

/// Causes that have no kind, by what those who found them say.
fn known(text: &str) -> Option<&'static str> {
    // A URL can have any word in it.
    if text.contains("://") {
        return None;
    }
    let causes = [
        (
            "causedasendentity",
            "the server's certificate is one of an authority (CaUsedAsEndEntity)",
        ),
        ("notvalidforname", "the server's certificate does not name the host (NotValidForName)"),
        ("unknownissuer", "the server's certificate is not trusted (UnknownIssuer)"),
        ("certificate", "the server's certificate is not accepted"),
        ("dns error", "the host's name is not known (DNS)"),
        ("lookup address", "the host's name is not known (DNS)"),
        ("corrupt message", "the server speaks no TLS"),
        ("invalidcontenttype", "the server speaks no TLS"),
        ("tls", "there is no TLS with the server"),
        ("deadline has elapsed", "timed out"),
        ("timed out", "timed out"),
    ];
    causes.into_iter().find_map(|(word, cause)| text.contains(word).then_some(cause))
}
