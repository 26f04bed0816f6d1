//! How often the token endpoint is asked when things go wrong. On tokio's paused clock, so that the
//! numbers are the same in every run.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{StatusCode, header::AUTHORIZATION};
use http_body_util::Empty;
use tokio::{
    runtime::{Builder, Runtime},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tower::{BoxError, Layer, ServiceExt, service_fn};
use tower_oauth::{OAuthLayer, Token, fetch_fn};

use crate::api::{Api, Inner, Request, Response, request};

fn paused() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

/// A layer whose fetches take that long, and are counted.
fn layer(delay: Duration, fails: bool) -> (OAuthLayer, Arc<AtomicUsize>) {
    let fetches = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&fetches);
    let fetcher = fetch_fn(move |_| {
        let n = counter.fetch_add(1, SeqCst) + 1;
        async move {
            sleep(delay).await;
            if fails { Err(BoxError::from("503")) } else { Ok(Token::bearer(format!("token-{n}"))) }
        }
    });
    (OAuthLayer::new(fetcher).origin("https://api.example.com").unwrap(), fetches)
}

/// The endpoint is down: fetches for so many callers, all of whom must get an error.
pub fn down(callers: usize) -> usize {
    paused().block_on(async {
        let (layer, fetches) = layer(Duration::from_millis(10), true);
        let api = layer.layer(Inner::<0>::new(0));
        let mut sent = JoinSet::new();
        for _ in 0..callers {
            sent.spawn(api.clone().oneshot(request(0)));
        }
        while let Some(result) = sent.join_next().await {
            assert!(result.unwrap().is_err(), "a request left without a token");
        }
        fetches.load(SeqCst)
    })
}

/// Callers that wait 30 ms for a fetch of 50: on which try one is served, and the fetches.
pub fn give_up() -> (usize, usize) {
    paused().block_on(async {
        let (layer, fetches) = layer(Duration::from_millis(50), false);
        let api = layer.layer(Inner::<0>::new(0));
        for attempt in 1..=40 {
            let sent = api.clone().oneshot(request(0));
            if timeout(Duration::from_millis(30), sent).await.is_ok_and(|result| result.is_ok()) {
                return (attempt, fetches.load(SeqCst));
            }
        }
        (usize::MAX, fetches.load(SeqCst))
    })
}

/// Requests in flight with one token are rejected one after the other: the refreshes, and how many
/// of the requests got through in the end.
pub fn late_401s(callers: usize) -> (usize, usize) {
    paused().block_on(async {
        let (layer, fetches) = layer(Duration::from_millis(1), false);
        let (arrived, rejections) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let api = layer.layer(rejecting(Arc::clone(&arrived), Arc::clone(&rejections)));
        let mut sent = JoinSet::new();
        for _ in 0..callers {
            sent.spawn(api.clone().oneshot(request(0)));
        }
        arrived.acquire_many(u32::try_from(callers).unwrap()).await.unwrap().forget();
        let mut served = 0;
        for _ in 0..callers {
            rejections.add_permits(1);
            let response = sent.join_next().await.unwrap().unwrap().unwrap();
            served += usize::from(response.status() == StatusCode::OK);
        }
        (fetches.load(SeqCst) - 1, served)
    })
}

/// Rejects the first token, each request when it is let through.
fn rejecting(arrived: Arc<Semaphore>, rejections: Arc<Semaphore>) -> impl Api {
    service_fn(move |request: Request| {
        let (arrived, rejections) = (Arc::clone(&arrived), Arc::clone(&rejections));
        async move {
            let mut response = Response::new(Empty::<Bytes>::new());
            if request.headers().get(AUTHORIZATION).is_some_and(|value| value == "Bearer token-1") {
                arrived.add_permits(1);
                rejections.acquire().await?.forget();
                *response.status_mut() = StatusCode::UNAUTHORIZED;
            }
            Ok::<_, BoxError>(response)
        }
    })
}
