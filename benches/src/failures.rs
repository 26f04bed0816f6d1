//! How often the token endpoint is asked when things go wrong. On tokio's paused clock, so that the
//! numbers are the same in every run.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use http::{StatusCode, header::AUTHORIZATION};
use tokio::{
    runtime::{Builder, Runtime},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tower::{BoxError, Layer, ServiceExt, service_fn};
use tower_oauth::Token;

use crate::{
    api::{Api, Inner, Request, Response, request},
    case::{counted, layer},
};

fn paused() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

/// A service whose fetches take so many milliseconds, and the number of them.
fn service(delay: u64, fails: bool, inner: impl Api) -> (impl Api, Arc<AtomicUsize>) {
    let (cache, fetches) = counted(move |n| async move {
        sleep(Duration::from_millis(delay)).await;
        if fails { Err(BoxError::from("503")) } else { Ok(Token::bearer(format!("token-{n}"))) }
    });
    (layer(cache).layer(inner), fetches)
}

/// The endpoint is down, and so many callers get an error: the fetches.
pub fn down(callers: usize) -> usize {
    paused().block_on(async {
        let (api, fetches) = service(10, true, Inner::<0>::new(0));
        let mut sent: JoinSet<_> =
            (0..callers).map(|_| api.clone().oneshot(request(0, 0))).collect();
        while let Some(result) = sent.join_next().await {
            assert!(result.unwrap().is_err(), "a request left without a token");
        }
        fetches.load(SeqCst)
    })
}

/// Callers that wait 30 ms for a fetch of 50, one after the other: on which try one is served, and
/// the fetches.
pub fn give_up() -> (usize, usize) {
    paused().block_on(async {
        let (api, fetches) = service(50, false, Inner::<0>::new(0));
        let mut tries = 1;
        while timeout(Duration::from_millis(30), api.clone().oneshot(request(0, 0))).await.is_err()
        {
            tries += 1;
        }
        (tries, fetches.load(SeqCst))
    })
}

/// Requests in flight with one token are rejected one after the other, and all are served in the
/// end: the refreshes.
pub fn late_401s(callers: u32) -> usize {
    static ARRIVED: Semaphore = Semaphore::const_new(0);
    static REJECTIONS: Semaphore = Semaphore::const_new(0);
    let resource = service_fn(async |request: Request| {
        let mut response = Response::default();
        if request.headers()[AUTHORIZATION] == "Bearer token-1" {
            ARRIVED.add_permits(1);
            REJECTIONS.acquire().await?.forget();
            *response.status_mut() = StatusCode::UNAUTHORIZED;
        }
        Ok::<_, BoxError>(response)
    });
    paused().block_on(async {
        let (api, fetches) = service(1, false, resource);
        let mut sent: JoinSet<_> =
            (0..callers).map(|_| api.clone().oneshot(request(0, 0))).collect();
        ARRIVED.acquire_many(callers).await.unwrap().forget();
        for _ in 0..callers {
            REJECTIONS.add_permits(1);
            let response = sent.join_next().await.unwrap().unwrap().unwrap();
            assert_eq!(response.status(), StatusCode::OK, "a request that was not sent again");
        }
        fetches.load(SeqCst) - 1
    })
}
