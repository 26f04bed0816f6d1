//! The token endpoint: one behaviour, reached by a call or, for peers that insist, over HTTP.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tower::BoxError;

pub const LIFETIME: Duration = Duration::from_secs(3600);

/// Responds to every token request with another token, or with 503, after a delay; counts them.
#[derive(Clone, Debug)]
pub struct Issuer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    delay: Duration,
    down: bool,
    requests: AtomicUsize,
    exec_plugins: AtomicUsize,
}

impl Issuer {
    pub fn new(delay: Duration) -> Self {
        Self::with(delay, false)
    }

    /// One that is down: 503 after a delay.
    pub fn down(delay: Duration) -> Self {
        Self::with(delay, true)
    }

    fn with(delay: Duration, down: bool) -> Self {
        Self(Arc::new(Inner {
            delay,
            down,
            requests: AtomicUsize::new(0),
            exec_plugins: AtomicUsize::new(0),
        }))
    }

    /// How many token requests came in.
    pub fn requests(&self) -> usize {
        self.0.requests.load(Relaxed)
    }

    /// The secret of a new token, or an error.
    pub async fn issue(&self) -> Result<String, BoxError> {
        let number = self.0.requests.fetch_add(1, Relaxed) + 1;
        if !self.0.delay.is_zero() {
            tokio::time::sleep(self.0.delay).await;
        }
        if self.0.down {
            return Err("the token endpoint responded with 503".into());
        }
        Ok(secret(number))
    }

    /// The same as a response of RFC 6749.
    pub async fn response(&self) -> (StatusCode, String) {
        match self.issue().await {
            Ok(secret) => {
                let json = serde_json::json!({
                    "access_token": secret,
                    "token_type": "Bearer",
                    "expires_in": LIFETIME.as_secs(),
                });
                (StatusCode::OK, json.to_string())
            }
            Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        }
    }

    /// The same as what a Kubernetes exec plugin prints.
    ///
    /// kube-client asks for its first token while its layer is built. It is given at once,
    /// has expired and does not count, so that the first request is a cold one as for all others.
    async fn exec_credential(&self) -> (StatusCode, String) {
        let (secret, expires) = if self.0.exec_plugins.fetch_add(1, Relaxed) == 0 {
            (secret(0), "2001-01-01T00:00:00Z")
        } else {
            match self.issue().await {
                Ok(secret) => (secret, "2999-01-01T00:00:00Z"),
                Err(error) => return (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
            }
        };
        let json = serde_json::json!({
            "apiVersion": "client.authentication.k8s.io/v1",
            "kind": "ExecCredential",
            "status": { "token": secret, "expirationTimestamp": expires },
        });
        (StatusCode::OK, json.to_string())
    }

    /// Serves it on a loopback port. On a thread of its own, because kube-client blocks the thread
    /// that builds its layer until the first response is there.
    pub fn listen(&self) -> Result<SocketAddr, BoxError> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let issuer = self.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(issuer.serve(listener));
        });
        Ok(address)
    }

    async fn serve(self, listener: std::net::TcpListener) {
        let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
        while let Ok((stream, _)) = listener.accept().await {
            let issuer = self.clone();
            let service = service_fn(move |request| issuer.clone().route(request));
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    }

    async fn route(
        self,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
        let (status, body) = match request.uri().path() {
            "/token" => self.response().await,
            "/exec-credential" => self.exec_credential().await,
            _ => (StatusCode::NOT_FOUND, String::new()),
        };
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = status;
        response
            .headers_mut()
            .insert("content-type", http::HeaderValue::from_static("application/json"));
        Ok(response)
    }
}

/// 1 KiB, another one for every number.
pub fn secret(number: usize) -> String {
    format!("{number:x>1024}")
}
