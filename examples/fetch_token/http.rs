//! An HTTP client that keeps what was sent and what came.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response, request, response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tower::BoxError;
use tower::Service;

/// What was sent and what came, as far as it went.
#[derive(Default)]
pub(crate) struct Record {
    pub(crate) request: Option<(request::Parts, Bytes)>,
    pub(crate) response: Option<Received>,
}

pub(crate) struct Received {
    pub(crate) head: response::Parts,
    pub(crate) body: Bytes,
    pub(crate) time: Duration,
}

impl Record {
    /// The parameters of the request, wherever they are.
    pub(crate) fn params(parts: &request::Parts, body: &[u8]) -> Vec<(String, String)> {
        let query = parts.uri.query().unwrap_or_default();
        let query = form_urlencoded::parse(query.as_bytes()).into_owned();
        match serde_json::from_slice::<serde_json::Map<_, _>>(body) {
            Ok(fields) => query
                .chain(fields.into_iter().map(|(name, value)| match value {
                    serde_json::Value::String(value) => (name, value),
                    value => (name, value.to_string()),
                }))
                .collect(),
            Err(_) => query.chain(form_urlencoded::parse(body).into_owned()).collect(),
        }
    }

    /// The scope that was asked for, in the parameter of this name.
    pub(crate) fn scope(&self, param: &str) -> Option<String> {
        let (parts, body) = self.request.as_ref()?;
        let mut params = Self::params(parts, body).into_iter();
        params.find_map(|(name, value)| (name == param).then_some(value))
    }
}

/// What is done with a request before it is sent.
pub(crate) type Before = Arc<dyn Fn(&(request::Parts, Bytes)) + Send + Sync>;

/// Around the HTTP client that the program would use.
#[derive(Clone)]
pub(crate) struct Recorder<S> {
    pub(crate) http: S,
    pub(crate) record: Arc<Mutex<Record>>,
    pub(crate) before: Before,
    pub(crate) dry_run: bool,
}

impl<S> Recorder<S> {
    fn keep(&self, change: impl FnOnce(&mut Record)) {
        change(&mut self.record.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl<S, B> Service<Request<Bytes>> for Recorder<S>
where
    S: Service<Request<Bytes>, Response = Response<B>, Error = BoxError, Future: Send>,
    S: Clone + Send + 'static,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send,
{
    type Response = Response<Full<Bytes>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.http.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let clone = self.clone();
        // The one that is ready.
        let mut this = std::mem::replace(self, clone);
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let request = (head.clone(), body.clone());
            (this.before)(&request);
            this.keep(|record| record.request = Some(request));
            if this.dry_run {
                return Err("a dry run sends nothing".into());
            }
            let started = Instant::now();
            let response = this.http.call(Request::from_parts(head, body)).await?;
            let (head, body) = response.into_parts();
            let mut body = Box::pin(body);
            // More than the library reads, so that it is the one to complain.
            let mut read = Vec::new();
            while read.len() <= 1024 * 1024 {
                let Some(frame) = body.frame().await else { break };
                let frame = frame.map_err(Into::into)?;
                read.extend_from_slice(&frame.into_data().unwrap_or_default());
            }
            let body = Bytes::from(read);
            let received =
                Received { head: head.clone(), body: body.clone(), time: started.elapsed() };
            this.keep(|record| record.response = Some(received));
            Ok(Response::from_parts(head, Full::new(body)))
        })
    }
}
