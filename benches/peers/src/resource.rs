//! The resource server, as the innermost service.

use std::{
    future::{Ready, ready},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderValue, StatusCode, header};
use http_body_util::Empty;
use tokio::sync::Semaphore;
use tower::{BoxError, Service, service_fn};

use crate::{
    api::{Api, Request, Response},
    issuer::secret,
};

/// Responds with 200 at once.
#[derive(Clone, Copy)]
pub struct Instant;

impl Service<Request> for Instant {
    type Response = Response;
    type Error = BoxError;
    type Future = Ready<Result<Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        // Kept from the optimizer: what has been put into the request must really be there.
        std::hint::black_box(&request);
        ready(Ok(Response::new(Empty::new())))
    }
}

/// Responds with 200 at once to a request with a token that an issuer may have issued.
pub fn strict() -> impl Api {
    service_fn(async |request: Request| {
        token(&request)?;
        Ok(Response::new(Empty::new()))
    })
}

/// The value that holds the token.
fn token(request: &Request) -> Result<HeaderValue, BoxError> {
    let value = request.headers().get(header::AUTHORIZATION).ok_or("a request without a token")?;
    let token = value.as_bytes().strip_prefix(b"Bearer ").ok_or("not a bearer token")?;
    if token.len() != secret(0).len() {
        return Err("not a token of the issuer".into());
    }
    Ok(value.clone())
}

/// Accepts the first token it sees for one request. All later requests with it are rejected, each
/// when it is let through; to requests with other tokens it responds at once.
pub struct Late {
    old: OnceLock<HeaderValue>,
    arrived: AtomicUsize,
    gate: Semaphore,
}

impl Late {
    pub fn new() -> Arc<Self> {
        let gate = Semaphore::new(0);
        Arc::new(Self { old: OnceLock::new(), arrived: AtomicUsize::new(0), gate })
    }

    pub fn service(self: &Arc<Self>) -> impl Api + use<> {
        let late = Arc::clone(self);
        service_fn(move |request: Request| {
            let late = Arc::clone(&late);
            async move {
                let token = token(&request)?;
                let mut response = Response::new(Empty::new());
                if late.old.get() == Some(&token) {
                    late.arrived.fetch_add(1, Relaxed);
                    late.gate.acquire().await?.forget();
                    *response.status_mut() = StatusCode::UNAUTHORIZED;
                    let challenge = HeaderValue::from_static(r#"Bearer error="invalid_token""#);
                    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
                }
                late.old.get_or_init(|| token);
                Ok(response)
            }
        })
    }

    /// Returns when that many requests have come with the old token.
    pub async fn arrived(&self, requests: usize) {
        while self.arrived.load(Relaxed) < requests {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Rejects one of them.
    pub fn reject_one(&self) {
        self.gate.add_permits(1);
    }
}
