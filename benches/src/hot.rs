//! Requests of which every one finds a token.

use std::{
    future::Future,
    hint::black_box,
    pin::pin,
    sync::Barrier,
    task::{Context, Poll, Waker},
    thread,
    time::Instant,
};

use tokio::runtime::Builder;
use tower::ServiceExt;

use crate::{
    api::{Api, Inner, Large, request},
    case,
};

/// One kind of request.
#[derive(Clone, Copy)]
pub struct Kind<'a> {
    pub case: &'a str,
    pub headers: usize,
    /// So many of them have values that are made at run time.
    pub made: usize,
    pub response_headers: usize,
    /// The service is cloned for every request.
    pub clones: bool,
    /// The inner service is a [`Large`] one.
    pub large: bool,
}

impl<'a> Kind<'a> {
    /// Half of the headers are made at run time.
    pub fn new(case: &'a str, headers: usize) -> Self {
        let made = headers / 2;
        Self { case, headers, made, response_headers: 0, clones: false, large: false }
    }

    pub fn service(&self) -> Box<dyn Hot> {
        if self.large {
            case::service(self.case, Large::new(self.response_headers))
        } else {
            case::service(self.case, Inner::<0>::new(self.response_headers))
        }
    }
}

/// A case, whatever its type: a box around each request would be measured, one around the loop is
/// not.
pub trait Hot: Send {
    /// One request after the other.
    fn send(&mut self, kind: &Kind<'_>, requests: u64);
    fn boxed_clone(&self) -> Box<dyn Hot>;
}

impl<A: Api> Hot for A {
    fn send(&mut self, kind: &Kind<'_>, requests: u64) {
        now(async {
            for _ in 0..requests {
                let request = request(kind.headers, kind.made);
                let response = if kind.clones {
                    self.clone().ready().await.unwrap().call(request).await
                } else {
                    self.ready().await.unwrap().call(request).await
                };
                black_box(&response.unwrap());
            }
        });
    }

    fn boxed_clone(&self) -> Box<dyn Hot> {
        Box::new(self.clone())
    }
}

pub fn warm(api: impl Api) -> Box<dyn Hot> {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(api.clone().oneshot(request(0, 0))).unwrap();
    Box::new(api)
}

/// The output of what never waits; no runtime is needed for it.
pub fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a request that waits"),
    }
}

/// Allocations of a request.
pub fn allocations(kind: &Kind<'_>) -> f64 {
    let mut service = kind.service();
    let counted = allocation_counter::measure(|| service.send(kind, 1000));
    counted.count_total as f64 / 1000.0
}

/// Work on a heap of its own, which is the heap of a new thread: behind the room that requests take
/// and give back there is something that stays. Otherwise what a case has allocated before, and
/// where, would cost the allocator up to a hundred instructions per request.
pub fn on_used_heap<R: Send>(kind: &Kind<'_>, work: impl FnOnce() -> R + Send) -> R {
    let on_heap = || {
        let room = request(kind.headers, kind.made);
        black_box(Box::leak(Box::new([0_u64; 8])));
        drop(room);
        work()
    };
    thread::scope(|scope| scope.spawn(on_heap).join().unwrap())
}

/// The same without counting them, which costs as well. Under this name callgrind finds it.
#[inline(never)]
pub fn uncounted(service: &mut dyn Hot, kind: &Kind<'_>, requests: u64) {
    allocation_counter::opt_out(|| service.send(kind, requests));
}

/// Nanoseconds of a request on so many threads at once, each with a clone of the service that it
/// keeps: from the first that starts to the last that ends, so that threads which got no processor
/// at the same time do not look fast. With `moved`, each clone has sent requests on one and the
/// same thread before.
pub fn nanoseconds(kind: &Kind<'_>, threads: usize, moved: bool, requests: u64) -> f64 {
    let service = kind.service();
    let barrier = Barrier::new(threads);
    let spans: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|_| {
                let mut service = service.boxed_clone();
                if moved {
                    service.send(kind, 3);
                }
                let barrier = &barrier;
                scope.spawn(move || {
                    service.send(kind, 100);
                    barrier.wait();
                    let start = Instant::now();
                    uncounted(&mut *service, kind, requests);
                    (start, Instant::now())
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let start = spans.iter().map(|span| span.0).min().unwrap();
    let end = spans.iter().map(|span| span.1).max().unwrap();
    (end - start).as_secs_f64() * 1e9 / requests as f64
}
