//! The cases by name: nothing, tower-http's constants, and this crate with each replay policy.

use std::{
    future::{pending, ready},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header::AUTHORIZATION};
use tower::{BoxError, Layer, Service};
use tower_http::{auth::AddAuthorizationLayer, set_header::SetRequestHeaderLayer};
use tower_oauth::{
    OAuthLayer, Token, TokenCache, fetch_fn,
    replay::{Buffered, ByClone, Never},
};

use crate::{
    api::{Api, Inner, Request},
    cpu,
};

pub const ALL: &[&str] = &[
    "none",
    "srh",
    "add_authorization",
    "least",
    "never",
    "rejected_when",
    "stale",
    "empty_body",
    "clone_body",
    "buffer_body",
];

/// What is done with a case. A trait, because every case is a service of another type, and a box
/// around it would be measured too.
pub trait Drive {
    type Output;

    fn drive(self, api: impl Api) -> Self::Output;
}

/// Drives the case with this name in front of an inner service.
pub fn with<D: Drive, const WORDS: usize>(case: &str, inner: Inner<WORDS>, drive: D) -> D::Output {
    match case {
        "none" => drive.drive(inner),
        "srh" => {
            drive.drive(SetRequestHeaderLayer::overriding(AUTHORIZATION, value()).layer(inner))
        }
        "add_authorization" => drive.drive(AddAuthorizationLayer::bearer(&secret()).layer(inner)),
        "never" => drive.drive(layer().replay(Never).layer(inner)),
        "least" => drive.drive(Least { value: Own(value()), inner }),
        "stale" => drive.drive(layer_of(stale()).replay(Never).layer(inner)),
        "rejected_when" => {
            let layer = layer().rejected_when(|head| head.status == StatusCode::UNAUTHORIZED);
            drive.drive(layer.replay(Never).layer(inner))
        }
        "empty_body" => drive.drive(layer().layer(inner)),
        "clone_body" => drive.drive(layer().replay(ByClone).layer(inner)),
        "buffer_body" => drive.drive(layer().replay(Buffered::new(64 * 1024)).layer(inner)),
        _ => panic!("no such case: {case}"),
    }
}

/// A secret of 1 KiB.
pub fn secret() -> String {
    "x".repeat(1024)
}

/// A constant with a reference count, as every value that was made at run time.
fn value() -> HeaderValue {
    HeaderValue::from_maybe_shared(Bytes::from(format!("Bearer {}", secret()))).unwrap()
}

/// The least that a layer with a token that ends can do: it reads the cheapest clock there is, and
/// puts in a value that no two clones share.
#[derive(Clone)]
struct Least<S> {
    value: Own,
    inner: S,
}

struct Own(HeaderValue);

impl Clone for Own {
    fn clone(&self) -> Self {
        Self(HeaderValue::from_bytes(self.0.as_bytes()).unwrap())
    }
}

impl<S: Service<Request>> Service<Request> for Least<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> S::Future {
        if cpu::coarse_clock() < Duration::MAX {
            request.headers_mut().insert(AUTHORIZATION, self.value.0.clone());
        }
        self.inner.call(request)
    }
}

/// A cache whose fetcher answers at once.
pub fn cache() -> TokenCache {
    TokenCache::new(fetch_fn(|_| {
        ready(Ok::<_, BoxError>(Token::bearer(secret()).with_lifetime(Duration::from_secs(3600))))
    }))
}

/// With an origin, so that all rules are on.
fn layer() -> OAuthLayer {
    layer_of(cache())
}

fn layer_of(tokens: TokenCache) -> OAuthLayer {
    OAuthLayer::with_source(tokens).origin("https://api.example.com").unwrap()
}

/// A cache whose token is due while its refresh does not come.
fn stale() -> TokenCache {
    let fetches = Arc::new(AtomicUsize::new(0));
    TokenCache::new(fetch_fn(move |_| {
        let first = fetches.fetch_add(1, Relaxed) == 0;
        async move {
            if !first {
                pending::<()>().await;
            }
            let token = Token::bearer(secret()).with_lifetime(Duration::from_secs(3600));
            Ok::<_, BoxError>(token.with_age(Duration::from_secs(3000)))
        }
    }))
}
