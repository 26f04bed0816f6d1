//! Requests of which every one finds a token.

use std::{
    hint::black_box,
    sync::{Arc, Barrier},
    thread,
    time::{Duration, Instant},
};

use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;

use crate::{
    allocations::Allocations,
    api::{Api, Inner, request},
    case::{self, Drive},
};

/// One kind of request.
#[derive(Clone, Copy)]
pub struct Kind<'a> {
    pub case: &'a str,
    /// The inner service has 304 bytes.
    pub large: bool,
    pub headers: usize,
    pub response_headers: usize,
    /// The service is cloned for every request.
    pub clones: bool,
}

impl<'a> Kind<'a> {
    pub fn new(case: &'a str, headers: usize) -> Self {
        Self { case, large: false, headers, response_headers: 0, clones: false }
    }

    pub fn with<D: Drive>(&self, drive: D) -> D::Output {
        if self.large {
            case::with(self.case, Inner::<37>::new(self.response_headers), drive)
        } else {
            case::with(self.case, Inner::<0>::new(self.response_headers), drive)
        }
    }
}

/// One request after the other. Not inlined, so that what is around it does not change it.
#[inline(never)]
pub async fn one_by_one(api: &mut impl Api, headers: usize, iterations: u64) {
    for _ in 0..iterations {
        let response = api.ready().await.unwrap().call(request(headers)).await.unwrap();
        black_box(&response);
    }
}

/// The same, each through a clone of the service.
#[inline(never)]
pub async fn one_clone_each(api: &impl Api, headers: usize, iterations: u64) {
    for _ in 0..iterations {
        let mut api = api.clone();
        let response = api.ready().await.unwrap().call(request(headers)).await.unwrap();
        black_box(&response);
    }
}

async fn send(api: &mut impl Api, kind: Kind<'_>, iterations: u64) {
    if kind.clones {
        one_clone_each(api, kind.headers, iterations).await;
    } else {
        one_by_one(api, kind.headers, iterations).await;
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Sends so many requests, after a few that get the token. Gives the allocations of each.
pub fn run(kind: Kind<'_>, iterations: u64) -> f64 {
    struct Run<'a>(Kind<'a>, u64);
    impl Drive for Run<'_> {
        type Output = f64;

        fn drive(self, mut api: impl Api) -> f64 {
            let Self(kind, iterations) = self;
            let runtime = runtime();
            // A heap that is in use, for every case: behind the room that requests take and give back
            // there is something that stays. For some cases that would be the token, which costs the
            // allocator a hundred instructions per request; for the others, only the end of the heap.
            let room = request(kind.headers);
            runtime.block_on(send(&mut api, Kind { headers: 0, ..kind }, 3));
            let stays = black_box(Box::new([0_u64; 8]));
            drop(room);
            let allocations = Allocations::from_now_on();
            runtime.block_on(send(&mut api, kind, iterations));
            let calls = allocations.calls();
            drop(stays);
            calls as f64 / iterations as f64
        }
    }
    kind.with(Run(kind, iterations))
}

/// The time of each request on so many threads at once, each with a clone of the service that it
/// keeps: from the first that starts to the last that ends, so that threads which got no processor
/// at the same time do not look fast.
pub fn time(kind: Kind<'_>, threads: usize, iterations: u64) -> Duration {
    struct Time<'a>(Kind<'a>, usize, u64);
    impl Drive for Time<'_> {
        type Output = Duration;

        fn drive(self, mut api: impl Api) -> Duration {
            let Self(kind, threads, iterations) = self;
            runtime().block_on(send(&mut api, kind, 1));
            let barrier = Arc::new(Barrier::new(threads));
            thread::scope(|scope| {
                let threads: Vec<_> = (0..threads)
                    .map(|_| {
                        let (mut api, barrier) = (api.clone(), Arc::clone(&barrier));
                        scope.spawn(move || {
                            let runtime = runtime();
                            runtime.block_on(send(&mut api, kind, 100));
                            barrier.wait();
                            let start = Instant::now();
                            runtime.block_on(send(&mut api, kind, iterations));
                            (start, Instant::now())
                        })
                    })
                    .collect();
                let spans: Vec<_> =
                    threads.into_iter().map(|thread| thread.join().unwrap()).collect();
                let start = spans.iter().map(|span| span.0).min().unwrap();
                spans.iter().map(|span| span.1).max().unwrap() - start
            })
        }
    }
    kind.with(Time(kind, threads, iterations)).div_f64(iterations as f64)
}
