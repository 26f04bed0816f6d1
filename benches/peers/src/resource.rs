//! The resource server, as the innermost service.

use std::{
    future::{Ready, ready},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderValue, StatusCode, header};
use http_body_util::Empty;
use tower::{BoxError, Service, service_fn};

use crate::{
    api::{Api, Request, Response},
    issuer::secret,
};

/// Answers 200 at once.
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

/// Answers 200 at once to a request with a token that an issuer may have issued.
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

/// How far apart the rejections come. Farther than a fetch takes, so that each one finds the token
/// replaced, and far enough that a busy machine does not push two of them together.
const APART: Duration = Duration::from_millis(10);

/// Accepts the first token it sees for one request. All later requests with it are rejected, late
/// and one after the other; requests with other tokens are answered at once.
pub fn late() -> impl Api {
    let old = Arc::new(OnceLock::new());
    let rejections = Arc::new(AtomicU32::new(0));
    service_fn(move |request: Request| {
        let (old, rejections) = (old.clone(), rejections.clone());
        async move {
            let token = token(&request)?;
            let mut response = Response::new(Empty::new());
            if old.get() == Some(&token) {
                // The first one waits too: everybody has sent the old token by then.
                let number = rejections.fetch_add(1, Relaxed) + 1;
                tokio::time::sleep(5 * APART + APART * number).await;
                *response.status_mut() = StatusCode::UNAUTHORIZED;
                let challenge = HeaderValue::from_static(r#"Bearer error="invalid_token""#);
                response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            }
            old.get_or_init(|| token);
            Ok(response)
        }
    })
}
