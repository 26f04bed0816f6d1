//! What the hot path costs, counted by an allocator.

mod support;

use std::{
    future::{Future, ready},
    pin::pin,
    task::{Context, Poll, Waker},
};

use http::{HeaderMap, HeaderValue, Request, Response, header::AUTHORIZATION};
use support::Body;
use tower::BoxError;
use tower::{Layer, Service};
use tower_oauth::{
    OAuthLayer, Token, TokenCache, fetch_fn,
    replay::{IfEmpty, Never, Replay},
};

#[derive(Clone)]
struct Inner;

impl Service<Request<Body>> for Inner {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = std::future::Ready<Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        ready(Ok(Response::new(Body::new())))
    }
}

/// A request whose values are constants, or made at run time as request ids and cookies are.
fn request(headers: usize, at_run_time: bool) -> Request<Body> {
    let mut request = support::get("https://api.example.com/");
    // As programs name them: a name that is made at run time costs an allocation when it is cloned.
    let names = ["x-1", "x-2", "x-3", "x-4", "accept", "user-agent", "via", "te"];
    for name in names.iter().take(headers) {
        let name = http::HeaderName::from_static(name);
        let constant = HeaderValue::from_static("value");
        let made = || HeaderValue::try_from("value".to_owned()).unwrap();
        request.headers_mut().insert(name, if at_run_time { made() } else { constant });
    }
    request
}

fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

fn warm_cache() -> TokenCache {
    let cache =
        TokenCache::new(fetch_fn(|_| async { Ok::<_, BoxError>(Token::bearer("x".repeat(1024))) }));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(cache.warm_up()).unwrap();
    cache
}

/// Allocations of a request through the layer, and of the same insertion by hand.
fn allocations<R>(replay: R, headers: usize, at_run_time: bool) -> (u64, u64)
where
    R: Replay<Body, Body = Body> + Clone + Send + Sync + 'static,
{
    let layer = OAuthLayer::with_source(warm_cache())
        .replay(replay)
        .origin("https://api.example.com")
        .unwrap();
    let mut service = layer.layer(Inner);
    // The first request on this thread fills its lane.
    now(service.call(request(0, false))).unwrap();
    let sent = request(headers, at_run_time);
    let ours = allocation_counter::measure(|| drop(now(service.call(sent))));

    let mut by_hand = request(headers, at_run_time);
    let mut value = HeaderMap::new();
    value.insert(AUTHORIZATION, HeaderValue::from_static("Bearer x"));
    let value = value[AUTHORIZATION].clone();
    let theirs = allocation_counter::measure(|| {
        by_hand.headers_mut().insert(AUTHORIZATION, value);
        drop(by_hand);
    });
    assert_eq!(ours.count_current, theirs.count_current, "something is kept");
    (ours.count_total, theirs.count_total)
}

#[test]
fn under_never_there_is_no_allocation_but_the_header_maps_own() {
    for headers in [0, 1, 8] {
        for at_run_time in [false, true] {
            let (ours, by_hand) = allocations(Never, headers, at_run_time);
            assert_eq!(ours, by_hand, "{headers} headers, at run time: {at_run_time}");
        }
    }
}

/// One for the head, and one for what a replay takes.
#[test]
fn by_default_there_are_at_most_two_more() {
    for headers in [0, 1, 8] {
        for at_run_time in [false, true] {
            let (ours, by_hand) = allocations(IfEmpty, headers, at_run_time);
            let more = ours - by_hand;
            assert!(more <= 2, "{headers} headers, at run time: {at_run_time}: {more} more");
        }
    }
}
