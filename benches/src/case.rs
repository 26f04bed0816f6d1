//! The cases by name: nothing, tower-http's constants, and this crate with each replay policy.

use std::{future::ready, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header::AUTHORIZATION};
use tower::{BoxError, Layer};
use tower_http::{
    auth::AddAuthorizationLayer,
    set_header::{MakeHeaderValue, SetRequestHeaderLayer},
};
use tower_oauth::{BufferBody, CloneBody, Never, OAuthLayer, Token, TokenCache, fetch_fn};

use crate::api::{Api, Inner};

pub const ALL: &[&str] = &[
    "none",
    "srh",
    "own",
    "add_authorization",
    "never",
    "rejected_when",
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
        "own" => {
            drive.drive(SetRequestHeaderLayer::overriding(AUTHORIZATION, Own(value())).layer(inner))
        }
        "add_authorization" => drive.drive(AddAuthorizationLayer::bearer(&secret()).layer(inner)),
        "never" => drive.drive(layer().replay(Never).layer(inner)),
        "rejected_when" => {
            let layer = layer().rejected_when(|status, _| status == StatusCode::UNAUTHORIZED);
            drive.drive(layer.replay(Never).layer(inner))
        }
        "empty_body" => drive.drive(layer().layer(inner)),
        "clone_body" => drive.drive(layer().replay(CloneBody).layer(inner)),
        "buffer_body" => drive.drive(layer().replay(BufferBody::new(64 * 1024)).layer(inner)),
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

/// The same constant, of which every clone has a copy of its own: threads share nothing. No token
/// can cost less than this, since it would have to renew itself as well.
struct Own(HeaderValue);

impl Clone for Own {
    fn clone(&self) -> Self {
        Self(HeaderValue::from_bytes(self.0.as_bytes()).unwrap())
    }
}

impl<T> MakeHeaderValue<T> for Own {
    fn make_header_value(&mut self, _: &T) -> Option<HeaderValue> {
        Some(self.0.clone())
    }
}

/// A cache whose fetcher answers at once.
pub fn cache() -> TokenCache {
    TokenCache::new(fetch_fn(|_| {
        ready(Ok::<_, BoxError>(Token::bearer(secret()).lifetime(Duration::from_secs(3600))))
    }))
}

/// With an origin, so that all rules are on.
fn layer() -> OAuthLayer {
    OAuthLayer::with_source(cache()).origin("https://api.example.com").unwrap()
}
