//! An HTTP client that keeps what was sent and what came.

use std::{
    future::Future,
    path::PathBuf,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response, request, response};
use http_body_util::{BodyExt, Full};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};
use tower::BoxError;
use tower::Service;

/// Whose certificates are taken.
pub(crate) enum Trust {
    Platform,
    Only(PathBuf),
}

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

    /// The scope that was asked for.
    pub(crate) fn scope(&self) -> Option<String> {
        let (parts, body) = self.request.as_ref()?;
        let mut params = Self::params(parts, body).into_iter();
        params.find_map(|(name, value)| (name == "scope").then_some(value))
    }
}

#[derive(Clone)]
pub(crate) struct Recorder {
    http: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    record: Arc<Mutex<Record>>,
    before: Before,
    dry_run: bool,
}

/// What is done with a request before it is sent.
type Before = Arc<dyn Fn(&(request::Parts, Bytes)) + Send + Sync>;

impl Recorder {
    pub(crate) fn new(
        trust: &Trust,
        dry_run: bool,
        before: impl Fn(&(request::Parts, Bytes)) + Send + Sync + 'static,
    ) -> Result<Self, String> {
        let tls = ClientConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let tls = match trust {
            Trust::Platform => tls
                .try_with_platform_verifier()
                .map_err(|error| format!("no trusted certificates: {error}; name one with --ca"))?,
            Trust::Only(path) => {
                let unusable = |error: &dyn std::fmt::Display| {
                    format!("{}: this is not a PEM certificate: {error}", path.display())
                };
                let certificate =
                    CertificateDer::from_pem_file(path).map_err(|error| unusable(&error))?;
                let mut roots = RootCertStore::empty();
                roots.add(certificate).map_err(|error| unusable(&error))?;
                tls.with_root_certificates(roots)
            }
        };
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(Duration::from_secs(10)));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls.with_no_client_auth())
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(tcp);
        let http = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { http, record: Arc::default(), before: Arc::new(before), dry_run })
    }

    pub(crate) fn take(&self) -> Record {
        std::mem::take(&mut *self.record.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn keep(&self, change: impl FnOnce(&mut Record)) {
        change(&mut self.record.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Service<Request<Full<Bytes>>> for Recorder {
    type Response = Response<Full<Bytes>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        // hyper-util's client is always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let sent = body.clone().collect().await?.to_bytes();
            let request = (head.clone(), sent);
            (this.before)(&request);
            this.keep(|record| record.request = Some(request));
            if this.dry_run {
                return Err("a dry run sends nothing".into());
            }
            let started = Instant::now();
            let response = this.http.request(Request::from_parts(head, body)).await?;
            let (head, mut body) = response.into_parts();
            // More than the library reads, so that it is the one to complain.
            let mut read = Vec::new();
            while read.len() <= 1024 * 1024 {
                let Some(frame) = body.frame().await else { break };
                read.extend_from_slice(&frame?.into_data().unwrap_or_default());
            }
            let body = Bytes::from(read);
            let received =
                Received { head: head.clone(), body: body.clone(), time: started.elapsed() };
            this.keep(|record| record.response = Some(received));
            Ok(Response::from_parts(head, Full::new(body)))
        })
    }
}
