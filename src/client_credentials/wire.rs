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

use super::{encode::encode, exchange::Exchange};
use crate::error::{BoxError, Error, ErrorKind};

/// No token answer is anywhere near it.
const LONGEST_ANSWER: usize = 1024 * 1024;

/// Sends an [`Exchange`] over an HTTP service and collects the answer, of which it reads 1 MiB at
/// most.
///
/// Any status is an answer; an error is [`ErrorKind::Unavailable`] where no answer came, or
/// [`ErrorKind::InvalidResponse`] where it was too long. If the URL had a query, the error has no
/// [`source`](std::error::Error::source), because HTTP clients' errors print URLs.
///
/// [`ClientCredentialsBuilder::build_with`](crate::ClientCredentialsBuilder::build_with) puts one
/// around what it is given. With
/// [`build_over`](crate::ClientCredentialsBuilder::build_over) it is the innermost service.
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

impl<S, B> Service<Exchange> for Wire<S>
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

    fn call(&mut self, exchange: Exchange) -> Self::Future {
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
    let mut unavailable = Error::new(ErrorKind::Unavailable);
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(&*error);
    while let Some(cause) = next {
        if let Some(cause) = cause.downcast_ref::<io::Error>() {
            unavailable = unavailable.with_description(cause.kind().to_string());
        }
        next = cause.source();
    }
    unavailable
}
