//! The innermost service: a token request out, a response in, over any HTTP service.

use std::{
    fmt,
    future::{Future, ready},
    marker::PhantomData,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tower_service::Service;

use super::cause::{Cause, chain};
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
/// Any status is a response. The error is [`ErrorKind::Unavailable`] if no response came, and its
/// [`description`](Error::description) has the host and the cause; or it is
/// [`ErrorKind::InvalidResponse`] if a response with a good status was too long. If an error response
/// is longer, only its head is kept. If the URL had a query, the error has no
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
        self.http.poll_ready(cx).map_err(|error| unavailable(error.into(), None, false))
    }

    fn call(&mut self, mut request: EndpointRequest) -> Self::Future {
        let secret_url = request.has_query();
        // Not the authority as a whole: a layer may have put a password there.
        let port = request.uri.port().map(|port| format!(":{port}")).unwrap_or_default();
        let host = format!("{}{port}", request.uri.host().unwrap_or_default());
        let ended = request.extensions.remove::<Ended>().unwrap_or_default();
        // Of an earlier attempt, if a layer in between makes several.
        ended.0.store(false, Ordering::Relaxed);
        let request = match encode(request) {
            Ok(request) => request,
            Err(error) => return Box::pin(ready(Err(error))),
        };
        let response = self.http.call(request);
        Box::pin(async move {
            let failed = |error: BoxError| unavailable(error, Some(&host), secret_url);
            let response = response.await.map_err(|error| {
                let error = error.into();
                let is_end = Cause::find(&*error).is_some_and(|cause| cause.ended);
                ended.0.store(is_end, Ordering::Relaxed);
                failed(error)
            })?;
            let (head, body) = response.into_parts();
            match Limited::new(body, LONGEST_RESPONSE).collect().await {
                Ok(body) => Ok(Response::from_parts(head, body.to_bytes())),
                Err(error) if !error.is::<LengthLimitError>() => {
                    Err(failed(error).with_status(head.status))
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

/// No response, and why; without the cause itself if that may print a secret.
pub(crate) fn unavailable(error: BoxError, host: Option<&str>, secret_url: bool) -> Error {
    if let Some(ours) = Error::find(&*error) {
        return ours.clone();
    }
    let cause = Cause::find(&*error);
    let hint = cause.as_ref().and_then(|cause| cause.hint);
    let says = match cause {
        Some(cause) => Some(cause.says),
        None if secret_url => None,
        None => chain(&*error).last().map(|cause| cause.to_string()),
    };
    let mut unavailable = Error::new(ErrorKind::Unavailable);
    let description: Vec<_> = host.map(str::to_owned).into_iter().chain(says).collect();
    if !description.is_empty() {
        unavailable = unavailable.with_description(description.join(": "));
    }
    if let Some(hint) = hint {
        unavailable = unavailable.with_hint(hint);
    }
    if secret_url { unavailable } else { unavailable.with_source(error) }
}

/// Tells whoever made a request, whatever layers make of the error, that its connection ended before a
/// response came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ended(Arc<AtomicBool>);

impl Ended {
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
