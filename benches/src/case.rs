//! The cases by name: nothing, a constant, and this crate with each replay policy.

use std::{
    future::{Future, ready},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, header::AUTHORIZATION};
use nix::time::{ClockId, clock_gettime};
use tower::{BoxError, Layer, ServiceExt};
use tower_http::set_header::SetRequestHeaderLayer;
use tower_oauth::{
    OAuthLayer, Token, TokenCache, fetch_fn,
    replay::{Buffered, ByClone, Never},
};

use crate::{
    api::{Inner, Request},
    hot::{Hot, warm},
};

/// The case with this name around an inner service, after its first request.
pub fn service<const WORDS: usize>(case: &str, inner: Inner<WORDS>) -> Box<dyn Hot> {
    match case {
        "none" => warm(inner),
        // A constant with a reference count, as every value has that was made at run time.
        "srh" => warm(SetRequestHeaderLayer::overriding(AUTHORIZATION, constant()).layer(inner)),
        // The least that a layer with a token that ends can do: it reads the cheapest clock there
        // is, and puts in a value that no two clones share.
        "least" => {
            let own = Own(constant());
            warm(inner.map_request(move |mut request: Request| {
                let Own(value) = &own;
                clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE).unwrap();
                request.headers_mut().insert(AUTHORIZATION, value.clone());
                request
            }))
        }
        "never" => warm(layer(cache()).replay(Never).layer(inner)),
        "if_empty" => warm(layer(cache()).layer(inner)),
        "by_clone" => warm(layer(cache()).replay(ByClone).layer(inner)),
        "buffered" => warm(layer(cache()).replay(Buffered::new(64 * 1024)).layer(inner)),
        _ => panic!("no such case: {case}"),
    }
}

/// A secret of 1 KiB.
pub fn secret() -> String {
    "x".repeat(1024)
}

fn constant() -> HeaderValue {
    HeaderValue::from_maybe_shared(Bytes::from(format!("Bearer {}", secret()))).unwrap()
}

/// Its clones have bytes of their own.
struct Own(HeaderValue);

impl Clone for Own {
    fn clone(&self) -> Self {
        Self(HeaderValue::from_bytes(self.0.as_bytes()).unwrap())
    }
}

/// A cache whose fetcher responds at once.
pub fn cache() -> TokenCache {
    let token = || Token::bearer(secret()).with_lifetime(Duration::from_secs(3600));
    TokenCache::new(fetch_fn(move |_| ready(Ok::<_, BoxError>(token()))))
}

/// A cache whose first, second .. fetch that is; and the number of fetches.
pub fn counted<F>(
    fetch: impl Fn(usize) -> F + Clone + Send + Sync + 'static,
) -> (TokenCache, Arc<AtomicUsize>)
where
    F: Future<Output = Result<Token, BoxError>> + Send + 'static,
{
    let fetches = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&fetches);
    (TokenCache::new(fetch_fn(move |_| fetch(counter.fetch_add(1, SeqCst) + 1))), fetches)
}

/// With an origin, so that all rules are on.
pub fn layer(tokens: TokenCache) -> OAuthLayer {
    OAuthLayer::with_source(tokens).origin("https://api.example.com").unwrap()
}
