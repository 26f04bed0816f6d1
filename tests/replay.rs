//! Sending a rejected request again: what is sent, what becomes of the first attempt, and what of
//! its answer.

mod support;

use std::{
    cell::RefCell,
    collections::VecDeque,
    convert::Infallible,
    fmt,
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header::AUTHORIZATION,
    request::Parts,
};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::BoxBody};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use proptest::prelude::*;
use support::{cache, get, ms, secs, server, unauthorized};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use tokio_stream::{StreamExt, wrappers::UnboundedReceiverStream};
use tokio_test::{assert_pending, task};
use tower::BoxError;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_oauth::{
    OAuthLayer, TokenCache,
    replay::{Buffered, BufferedBody, ByClone, IfEmpty, Never, Replay},
    testing::AuthorizationServer,
};

const URI: &str = "https://api.example.com/orders?page=2";

fn full(text: &'static str) -> Full<Bytes> {
    Full::from(text)
}

async fn warm() -> TokenCache {
    let cache = cache(server(secs(3600), ms(50)).fetcher()).build();
    cache.warm_up().await.unwrap();
    cache
}

// ---- What is sent -------------------------------------------------------------------------------

/// A resource that answers 401 to the first request and 200 to the others, and keeps what it saw.
#[derive(Clone, Default)]
struct Twice(Arc<Mutex<Vec<(Parts, Result<Bytes, String>)>>>);

impl Twice {
    fn service<B>(
        &self,
    ) -> impl Service<
        Request<B>,
        Response = Response<Full<Bytes>>,
        Error = Infallible,
        Future: Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send,
    > + Clone
    + Send
    + 'static
    where
        B: http_body::Body<Data = Bytes, Error: fmt::Display> + Send + 'static,
    {
        let this = self.clone();
        service_fn(move |request: Request<B>| {
            let this = this.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.map(|body| body.to_bytes());
                let mut seen = this.0.lock().unwrap();
                seen.push((head, body.map_err(|error| error.to_string())));
                Ok(if seen.len() == 1 { unauthorized() } else { Response::default() })
            }
        })
    }

    async fn exchange<B, R>(&self, request: Request<B>, replay: R) -> StatusCode
    where
        B: Send + 'static,
        R: Replay<B, Body: http_body::Body<Data = Bytes, Error: fmt::Display> + Send>
            + Clone
            + Send
            + 'static,
    {
        let layer = OAuthLayer::with_source(warm().await).replay(replay);
        let response = layer.layer(self.service::<R::Body>()).oneshot(request).await.unwrap();
        let status = response.status();
        if status == StatusCode::UNAUTHORIZED {
            assert_eq!(response.headers(), unauthorized().headers());
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, "its own words");
        }
        status
    }

    fn bodies(&self) -> Vec<Bytes> {
        self.0.lock().unwrap().iter().map(|(_, body)| body.clone().unwrap()).collect()
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Mark(u32);

fn request<B>(body: B) -> Request<B> {
    Request::builder()
        .method(Method::PATCH)
        .uri(URI)
        .version(Version::HTTP_2)
        .header("x-one", "1")
        .header("x-many", "a")
        .header("x-many", "b")
        .extension(Mark(7))
        .body(body)
        .unwrap()
}

async fn sends_the_same_again<B, R>(body: B, replay: R)
where
    B: Send + 'static,
    R: Replay<B, Body: http_body::Body<Data = Bytes, Error: fmt::Display> + Send>
        + Clone
        + Send
        + 'static,
{
    let twice = Twice::default();
    assert_eq!(twice.exchange(request(body), replay).await, StatusCode::OK);
    let seen = twice.0.lock().unwrap();
    let [(first, first_body), (second, second_body)] = &seen[..] else { panic!("not two") };
    assert_eq!(first_body, second_body);
    assert_eq!(second.method, Method::PATCH);
    assert_eq!(second.uri, URI);
    assert_eq!(second.version, Version::HTTP_2);
    assert_eq!(second.extensions.get(), Some(&Mark(7)));
    for (head, token) in [(first, "Bearer token-1"), (second, "Bearer token-2")] {
        let mut headers = head.headers.clone();
        let value = headers.remove(AUTHORIZATION).unwrap();
        assert!(value.is_sensitive());
        assert_eq!(head.headers.get_all(AUTHORIZATION).iter().collect::<Vec<_>>(), [token]);
        assert_eq!(headers, *request(()).headers());
    }
}

#[tokio::test(start_paused = true)]
async fn a_replay_is_the_same_request_with_another_token() {
    sends_the_same_again(Empty::<Bytes>::new(), IfEmpty).await;
    sends_the_same_again(full("hello"), ByClone).await;
    sends_the_same_again(full("hello"), Buffered::new(5)).await;
    sends_the_same_again(Empty::<Bytes>::new(), Buffered::new(0)).await;
}

#[tokio::test(start_paused = true)]
async fn the_inner_service_may_take_another_body() {
    let twice = Twice::default();
    let service = ServiceBuilder::new()
        .layer(OAuthLayer::with_source(warm().await).replay(Buffered::new(5)))
        .map_request(|request: Request<BufferedBody<Full<Bytes>>>| request.map(BodyExt::boxed))
        .service(twice.service::<BoxBody<Bytes, BoxError>>());
    let response = service.oneshot(request(full("hello"))).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(twice.bodies(), ["hello", "hello"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_policy_does_not_replay_is_answered_as_it_came() {
    let rejected = StatusCode::UNAUTHORIZED;
    let twice = Twice::default();
    assert_eq!(twice.exchange(request(full("hello")), IfEmpty).await, rejected);
    assert_eq!(twice.bodies(), ["hello"]);
    let twice = Twice::default();
    assert_eq!(twice.exchange(request(Empty::<Bytes>::new()), Never).await, rejected);
    assert_eq!(twice.bodies(), [""]);
    // One byte over the limit.
    let twice = Twice::default();
    assert_eq!(twice.exchange(request(full("hello")), Buffered::new(4)).await, rejected);
    assert_eq!(twice.bodies(), ["hello"]);
    let twice = Twice::default();
    let (body, feed) = fed();
    feed.data("hel").data("lo").end();
    assert_eq!(twice.exchange(request(body), Buffered::new(4)).await, rejected);
    assert_eq!(twice.bodies(), ["hello"]);
}

/// Sends a request and both of its replays, as a third attempt would need it.
async fn can_be_sent_three_times<B, R>(body: B, replay: R)
where
    R: Replay<B, Body: http_body::Body<Data = Bytes, Error: fmt::Debug>>,
{
    let (first, kept) = replay.keep(request(body));
    let (mut attempt, mut kept) = (Some(first), kept.unwrap());
    let mut bodies = Vec::new();
    for _ in 0..3 {
        let (head, body) = attempt.unwrap().into_parts();
        assert_eq!((head.method, head.version), (Method::PATCH, Version::HTTP_2));
        assert_eq!((head.uri, head.headers), (URI.parse().unwrap(), request(()).headers().clone()));
        assert_eq!(head.extensions.get(), Some(&Mark(7)));
        bodies.push(body.collect().await.unwrap().to_bytes());
        attempt = replay.again(&mut kept);
    }
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
}

#[tokio::test]
async fn every_policy_can_send_a_request_three_times() {
    can_be_sent_three_times(Empty::<Bytes>::new(), IfEmpty).await;
    can_be_sent_three_times(full("hello"), ByClone).await;
    can_be_sent_three_times(full("hello"), Buffered::new(5)).await;
    can_be_sent_three_times(Empty::<Bytes>::new(), Buffered::new(0)).await;
}

/// A policy of a user's own: what has no side effect may be sent again.
#[derive(Clone)]
struct SafeMethods;

impl Replay<String> for SafeMethods {
    type Body = Full<Bytes>;
    type Kept = (Method, http::Uri);

    fn keep(&self, request: Request<String>) -> (Request<Self::Body>, Option<Self::Kept>) {
        let kept = request.method().is_safe();
        let kept = kept.then(|| (request.method().clone(), request.uri().clone()));
        (request.map(Full::from), kept)
    }

    fn again(&self, (method, uri): &mut Self::Kept) -> Option<Request<Self::Body>> {
        // It finds out late that this one is not to be sent again.
        if uri.query().is_some() {
            return None;
        }
        let request = Request::builder().method(&*method).uri(&*uri);
        Some(request.body(Full::from("again")).unwrap())
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_of_ones_own() {
    for (method, uri, status) in [
        (Method::GET, "https://api.example.com/", StatusCode::OK),
        (Method::GET, "https://api.example.com/?late", StatusCode::UNAUTHORIZED),
        (Method::POST, "https://api.example.com/", StatusCode::UNAUTHORIZED),
    ] {
        let twice = Twice::default();
        let request = Request::builder().method(method).uri(uri).body("first".to_owned()).unwrap();
        assert_eq!(twice.exchange(request, SafeMethods).await, status, "{uri}");
        let again = status == StatusCode::OK;
        assert_eq!(twice.bodies(), if again { vec!["first", "again"] } else { vec!["first"] });
    }
}

// ---- `Buffered`: an upload in the middle of which the answer comes ---------------------------

type Fed = StreamBody<UnboundedReceiverStream<Result<Frame<Bytes>, io::Error>>>;

/// The side that a body is fed from.
struct Feed(RefCell<Option<mpsc::UnboundedSender<Result<Frame<Bytes>, io::Error>>>>);

impl Feed {
    fn send(&self, frame: Result<Frame<Bytes>, io::Error>) -> &Self {
        self.0.borrow().as_ref().unwrap().send(frame).unwrap();
        self
    }

    fn data(&self, data: &'static str) -> &Self {
        self.send(Ok(Frame::data(Bytes::from_static(data.as_bytes()))))
    }

    fn trailers(&self) -> &Self {
        self.send(Ok(Frame::trailers(trailers())))
    }

    fn fail(&self) -> &Self {
        self.send(Err(io::Error::other("the disk is gone")))
    }

    fn end(&self) {
        self.0.take();
    }
}

fn fed() -> (Fed, Feed) {
    let (feed, body) = mpsc::unbounded_channel();
    (StreamBody::new(UnboundedReceiverStream::new(body)), Feed(RefCell::new(Some(feed))))
}

fn trailers() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-checksum", HeaderValue::from_static("abc"));
    trailers
}

/// The two attempts at sending one body: the first is there at once, the second after `replay`.
struct Attempts<B: http_body::Body + Send + 'static> {
    first: BufferedBody<B>,
    kept: <Buffered as Replay<B>>::Kept,
}

fn attempts<B: http_body::Body + Send + 'static>(body: B, limit: usize) -> Attempts<B> {
    let (first, kept) = Buffered::new(limit).keep(Request::new(body));
    Attempts { first: first.into_body(), kept: kept.unwrap() }
}

impl<B: http_body::Body<Error: Into<BoxError>> + Send + 'static> Attempts<B> {
    /// There is no third attempt.
    fn replay(mut self) -> (BufferedBody<B>, Option<BufferedBody<B>>) {
        let second = self.again();
        (self.first, second)
    }

    fn again(&mut self) -> Option<BufferedBody<B>> {
        Buffered::new(0).again(&mut self.kept).map(Request::into_body)
    }
}

async fn next<B>(body: &mut BufferedBody<B>) -> Option<Result<Frame<Bytes>, BoxError>>
where
    B: http_body::Body<Error: Into<BoxError>>,
{
    body.frame().await
}

async fn data<B: http_body::Body<Error: Into<BoxError>>>(body: &mut BufferedBody<B>) -> Bytes {
    next(body).await.unwrap().unwrap().into_data().unwrap()
}

#[tokio::test]
async fn the_first_bytes_are_sent_before_the_body_has_ended() {
    let (body, feed) = fed();
    let mut attempts = attempts(body, 100);
    feed.data("one");
    assert_eq!(data(&mut attempts.first).await, "one");
    assert_pending!(task::spawn(next(&mut attempts.first)).poll());
    feed.data("two").trailers().end();
    assert_eq!(data(&mut attempts.first).await, "two");
    let last = next(&mut attempts.first).await.unwrap().unwrap();
    assert_eq!(last.into_trailers().unwrap(), trailers());
    assert!(next(&mut attempts.first).await.is_none());
    assert!(attempts.first.is_end_stream());
}

#[tokio::test]
async fn a_replay_sends_what_was_sent_and_then_goes_on() {
    let (body, feed) = fed();
    let mut attempts = attempts(body, 100);
    feed.data("one ").data("two ").data("three ");
    data(&mut attempts.first).await;
    data(&mut attempts.first).await;
    let (_first, second) = attempts.replay();
    let mut second = second.unwrap();
    // What was sent is there without waiting for more.
    let mut sent = Vec::new();
    while sent.len() < "one two three ".len() {
        sent.extend_from_slice(&data(&mut second).await);
    }
    assert_eq!(sent, b"one two three ");
    assert!(!second.is_end_stream());
    assert_pending!(task::spawn(next(&mut second)).poll());
    feed.data("four").trailers().end();
    let rest = second.collect().await.unwrap();
    assert_eq!(rest.trailers(), Some(&trailers()));
    assert_eq!(rest.to_bytes(), "four");
}

/// At every point in the middle of an upload.
#[tokio::test]
async fn trailers_survive() {
    for sent in 0..=4 {
        let (body, feed) = fed();
        feed.data("one ").data("two").trailers().end();
        let mut attempts = attempts(body, 100);
        for _ in 0..sent {
            next(&mut attempts.first).await;
        }
        let mut second = attempts.replay().1.unwrap();
        // Clients stop polling where a body says that it is at its end.
        let mut got = Vec::new();
        while got.len() < "one two".len() {
            assert!(!second.is_end_stream(), "{sent} frames were sent");
            got.extend_from_slice(&data(&mut second).await);
        }
        assert_eq!(got, b"one two", "{sent} frames were sent");
        assert!(!second.is_end_stream(), "{sent} frames were sent");
        let second = second.collect().await.unwrap();
        assert_eq!(second.trailers(), Some(&trailers()), "{sent} frames were sent");
    }
}

#[tokio::test]
async fn an_error_of_the_body_is_an_error_of_the_replay() {
    // Before the replay ...
    let (body, feed) = fed();
    feed.data("one").fail().end();
    let mut failed = attempts(body, 100);
    assert_eq!(data(&mut failed.first).await, "one");
    let error = next(&mut failed.first).await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "the disk is gone");
    let mut second = failed.replay().1.unwrap();
    assert_eq!(data(&mut second).await, "one");
    for _ in 0..3 {
        assert!(next(&mut second).await.unwrap().is_err());
        assert!(!second.is_end_stream());
    }
    // ... and after it.
    let (body, feed) = fed();
    feed.data("one").data("two").fail().end();
    let mut fails = attempts(body, 100);
    data(&mut fails.first).await;
    let error = fails.replay().1.unwrap().collect().await.unwrap_err();
    assert_eq!(error.to_string(), "the disk is gone");
}

#[tokio::test]
async fn the_first_attempt_is_fenced() {
    // Whether its body was sent whole or not: an error, and never an end.
    for whole in [false, true] {
        let (body, feed) = fed();
        feed.data("one");
        let mut attempts = attempts(body, 100);
        data(&mut attempts.first).await;
        if whole {
            feed.end();
            assert!(next(&mut attempts.first).await.is_none());
        }
        let (mut first, second) = attempts.replay();
        for _ in 0..3 {
            assert!(!first.is_end_stream());
            let error = next(&mut first).await.unwrap().unwrap_err();
            assert!(error.source().is_none());
        }
        drop(second);
        assert!(next(&mut first).await.unwrap().is_err());
    }
}

#[tokio::test]
async fn who_waits_in_the_first_attempt_is_woken_by_the_fence() {
    let (body, feed) = fed();
    let (first, kept) = Buffered::new(100).keep(Request::new(body));
    let mut first = first.into_body();
    let mut parked = task::spawn(next(&mut first));
    assert_pending!(parked.poll());
    let second = Buffered::new(100).again(&mut kept.unwrap()).unwrap();
    assert!(parked.is_woken());
    let Poll::Ready(Some(Err(_))) = parked.poll() else { panic!("no error") };
    // And what comes now goes to the second.
    feed.data("one").end();
    assert_eq!(second.into_body().collect().await.unwrap().to_bytes(), "one");
}

/// What the second attempt was the first to read is sent by the third as well.
#[tokio::test]
async fn a_third_attempt_sends_everything_again_and_then_goes_on() {
    let (body, feed) = fed();
    let mut attempts = attempts(body, 100);
    feed.data("one ").data("two ");
    assert_eq!(data(&mut attempts.first).await, "one ");
    let mut second = attempts.again().unwrap();
    assert_eq!(data(&mut second).await, "one ");
    assert_eq!(data(&mut second).await, "two ");
    let mut parked = task::spawn(next(&mut second));
    assert_pending!(parked.poll());

    let mut third = attempts.again().unwrap();
    assert!(parked.is_woken(), "who waits in the second attempt does not see the fence");
    let Poll::Ready(Some(Err(_))) = parked.poll() else { panic!("no error") };
    drop(parked);
    feed.data("three").trailers().end();
    for earlier in [&mut attempts.first, &mut second] {
        assert!(!earlier.is_end_stream());
        assert!(next(earlier).await.unwrap().is_err(), "an earlier attempt is not fenced");
    }
    let first_frame = data(&mut third).await;
    let rest = third.collect().await.unwrap();
    assert_eq!(rest.trailers(), Some(&trailers()));
    assert_eq!([first_frame, rest.to_bytes()].concat(), b"one two three");
}

/// The third attempt may begin while the second is still sending what was kept, or after it has
/// ended.
#[tokio::test]
async fn a_third_attempt_sends_trailers_too() {
    for polls in 0..=4 {
        let (body, feed) = fed();
        feed.data("one").trailers().end();
        let mut attempts = attempts(body, 100);
        while next(&mut attempts.first).await.is_some() {}
        let mut second = attempts.again().unwrap();
        for _ in 0..polls {
            next(&mut second).await;
        }
        let third = attempts.again().unwrap().collect().await.unwrap();
        assert_eq!(third.trailers(), Some(&trailers()), "after {polls} polls");
        assert_eq!(third.to_bytes(), "one", "after {polls} polls");
    }
}

#[tokio::test]
async fn over_the_limit_there_is_no_third_attempt() {
    let (body, feed) = fed();
    feed.data("one").data("two").end();
    let mut attempts = attempts(body, 5);
    data(&mut attempts.first).await;
    let mut second = attempts.again().unwrap();
    assert_eq!(data(&mut second).await, "one");
    assert_eq!(data(&mut second).await, "two");
    assert!(attempts.again().is_none());
    // So the second is not fenced.
    assert!(next(&mut second).await.is_none());
    assert!(second.is_end_stream());
}

#[tokio::test]
async fn over_the_limit_the_first_attempt_is_not_fenced() {
    let (body, feed) = fed();
    feed.data("one").data("two").end();
    let mut attempts = attempts(body, 5);
    data(&mut attempts.first).await;
    data(&mut attempts.first).await;
    let (first, second) = attempts.replay();
    assert!(second.is_none());
    assert!(first.collect().await.is_ok());
}

type Slot = Arc<Mutex<Option<<Buffered as Replay<Quits>>::Kept>>>;

/// A body that gives its own request up.
struct Quits(Slot);

impl http_body::Body for Quits {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        drop(self.0.lock().unwrap().take());
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"one")))))
    }
}

#[test]
fn a_body_may_drop_its_own_request() {
    support::in_time(|| {
        let slot = Slot::default();
        let mut attempts = attempts(Quits(Arc::clone(&slot)), 100);
        *slot.lock().unwrap() = Some(attempts.kept);
        for _ in 0..2 {
            let mut cx = Context::from_waker(std::task::Waker::noop());
            let polled = Pin::new(&mut attempts.first).poll_frame(&mut cx);
            assert!(matches!(polled, Poll::Ready(Some(Ok(_)))));
        }
    });
}

#[tokio::test]
async fn size_hints_are_right() {
    let exact = |body: &BufferedBody<Full<Bytes>>| body.size_hint().exact();
    let mut known = attempts(full("hello"), 5);
    assert_eq!(exact(&known.first), Some(5));
    data(&mut known.first).await;
    assert_eq!(exact(&known.first), Some(0));
    let mut second = known.replay().1.unwrap();
    assert_eq!(exact(&second), Some(5));
    data(&mut second).await;
    assert_eq!(exact(&second), Some(0));
    assert!(second.is_end_stream());

    let empty = attempts(Empty::<Bytes>::new(), 0);
    assert!(empty.first.is_end_stream());
    let (_, second) = empty.replay();
    let second = second.unwrap();
    assert!(second.is_end_stream());
    assert_eq!(second.size_hint().exact(), Some(0));

    // Of a stream nothing is known in the first attempt, and so in the others.
    let (body, feed) = fed();
    feed.data("one").trailers().end();
    let mut stream = attempts(body, 100);
    while next(&mut stream.first).await.is_some() {}
    let mut second = stream.replay().1.unwrap();
    assert_eq!((second.size_hint().lower(), second.size_hint().upper()), (0, None));
    assert_eq!(data(&mut second).await, "one");
    assert_eq!(second.size_hint().exact(), None);
    assert!(!second.is_end_stream(), "the trailers are still to come");
    next(&mut second).await.unwrap().unwrap().into_trailers().unwrap();
    assert!(second.is_end_stream());
}

/// A client that is told less than in the first attempt takes the part for the whole.
#[tokio::test]
async fn a_body_that_broke_off_is_announced_as_in_the_first_attempt() {
    for sent in [&["half"][..], &[]] {
        // Of a stream that failed nobody knows how long it would have been.
        let (body, feed) = fed();
        for sent in sent {
            feed.data(sent);
        }
        feed.fail().end();
        let mut failed = attempts(body, 100);
        while let Some(Ok(_)) = next(&mut failed.first).await {}
        let second = failed.replay().1.unwrap();
        assert_eq!(second.size_hint().exact(), None, "after {sent:?}");
        assert!(!second.is_end_stream(), "after {sent:?}");

        // Of a file that was truncated its client was told.
        let frames = sent.iter().map(|sent| Some(Bytes::from_static(sent.as_bytes())));
        let mut short = attempts(Short(Scripted(frames.collect())), 100);
        assert_eq!(short.first.size_hint().exact(), Some(10));
        while next(&mut short.first).await.is_some() {}
        let left = 10 - sent.concat().len() as u64;
        assert_eq!(short.first.size_hint().exact(), Some(left));
        let mut second = short.replay().1.unwrap();
        assert_eq!(second.size_hint().exact(), Some(10), "after {sent:?}");
        while let Some(frame) = next(&mut second).await {
            assert!(frame.is_ok());
        }
        assert_eq!(second.size_hint().exact(), Some(left));
        assert!(!second.is_end_stream(), "after {sent:?}");
    }
}

/// Announces ten bytes, whatever it has.
struct Short(Scripted);

impl http_body::Body for Short {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(10)
    }
}

/// A body that says exactly what it was told to, and sometimes not at once.
#[derive(Clone, Debug)]
struct Scripted(VecDeque<Option<Bytes>>);

impl http_body::Body for Scripted {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.0.pop_front() {
            None => Poll::Ready(None),
            Some(Some(data)) => Poll::Ready(Some(Ok(Frame::data(data)))),
            Some(None) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.iter().flatten().map(|data| data.len() as u64).sum())
    }
}

fn steps() -> impl Strategy<Value = Vec<Option<Bytes>>> {
    let data = prop_oneof![
        8 => prop::collection::vec(any::<u8>(), 0..8),
        2 => prop::collection::vec(any::<u8>(), 0..300),
    ];
    prop::collection::vec(prop::option::weighted(0.8, data.prop_map(Bytes::from)), 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Each attempt begins after any number of polls of the one before.
    #[test]
    fn three_attempts_are_equal_byte_for_byte(
        steps in steps(), polls in [0usize..50, 0usize..50], limit in 0usize..600,
    ) {
        let whole: Vec<u8> = steps.iter().flatten().flatten().copied().collect();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let (mut body, kept) = Buffered::new(limit).keep(Request::new(Scripted(steps.into())));
        let mut kept = kept.unwrap();
        let mut read = 0;
        for polls in polls {
            let mut sent = Vec::new();
            for _ in 0..polls {
                if let Poll::Ready(Some(frame)) = Pin::new(body.body_mut()).poll_frame(&mut cx) {
                    sent.extend_from_slice(&frame.unwrap().into_data().unwrap());
                }
            }
            prop_assert!(whole.starts_with(&sent));
            read = read.max(sent.len());
            let again = Buffered::new(limit).again(&mut kept);
            prop_assert_eq!(again.is_some(), read <= limit);
            let Some(again) = again else { return Ok(()) };
            prop_assert!(!body.body().is_end_stream());
            let polled = Pin::new(body.body_mut()).poll_frame(&mut cx);
            prop_assert!(matches!(polled, Poll::Ready(Some(Err(_)))));
            body = again;
            prop_assert_eq!(body.body().size_hint().exact(), Some(whole.len() as u64));
        }
        // The last attempt may free what it sends.
        drop(kept);
        let mut sent = Vec::new();
        while !body.body().is_end_stream() {
            prop_assert_eq!(
                body.body().size_hint().exact(),
                Some((whole.len() - sent.len()) as u64)
            );
            if let Poll::Ready(Some(frame)) = Pin::new(body.body_mut()).poll_frame(&mut cx) {
                sent.extend_from_slice(&frame.unwrap().into_data().unwrap());
            }
        }
        prop_assert_eq!(sent, whole);
    }

    /// The replay begins after any number of polls of the first attempt, and with any limit.
    #[test]
    fn bodies_are_equal_byte_for_byte(steps in steps(), polls in 0usize..50, limit in 0usize..600) {
        let whole: Vec<u8> = steps.iter().flatten().flatten().copied().collect();
        let mut attempts = attempts(Scripted(steps.into()), limit);
        let mut sent = Vec::new();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        for _ in 0..polls {
            if attempts.first.is_end_stream() {
                break;
            }
            prop_assert_eq!(
                attempts.first.size_hint().exact(),
                Some((whole.len() - sent.len()) as u64)
            );
            if let Poll::Ready(Some(frame)) = Pin::new(&mut attempts.first).poll_frame(&mut cx) {
                sent.extend_from_slice(&frame.unwrap().into_data().unwrap());
            }
        }
        prop_assert!(whole.starts_with(&sent));
        let (mut first, second) = attempts.replay();
        prop_assert_eq!(second.is_some(), sent.len() <= limit);
        let mut body = match second {
            Some(second) => {
                let polled = Pin::new(&mut first).poll_frame(&mut cx);
                prop_assert!(matches!(polled, Poll::Ready(Some(Err(_)))));
                sent.clear();
                second
            }
            None => first,
        };
        while !body.is_end_stream() {
            prop_assert_eq!(body.size_hint().exact(), Some((whole.len() - sent.len()) as u64));
            match Pin::new(&mut body).poll_frame(&mut cx) {
                Poll::Ready(Some(frame)) => {
                    sent.extend_from_slice(&frame.unwrap().into_data().unwrap());
                }
                Poll::Ready(None) => break,
                Poll::Pending => {}
            }
        }
        prop_assert_eq!(sent, whole);
    }
}

// ---- The discarded answer ----------------------------------------------------------------------

/// When the second request came after the first answer, whose body is `body`. The refresh takes
/// 50 ms.
async fn replayed_after<A>(body: A) -> std::time::Duration
where
    A: http_body::Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let start = Instant::now();
    let again = Arc::new(Mutex::new(None));
    let body = Arc::new(Mutex::new(Some(body)));
    let resource = {
        let again = Arc::clone(&again);
        service_fn(move |_: Request<support::Body>| {
            let answer = match body.lock().unwrap().take() {
                Some(body) => {
                    let body = http_body_util::Either::Left(body);
                    Response::builder().status(401).body(body).unwrap()
                }
                None => {
                    *again.lock().unwrap() = Some(start.elapsed());
                    Response::new(http_body_util::Either::Right(Empty::<Bytes>::new()))
                }
            };
            async { Ok::<_, Infallible>(answer) }
        })
    };
    let service = OAuthLayer::with_source(warm().await).layer(resource);
    let warm_up = start.elapsed();
    timeout(secs(5), service.oneshot(get(URI))).await.expect("the replay is held up").unwrap();
    let again = again.lock().unwrap().unwrap();
    again - warm_up
}

fn frames<S>(
    frames: S,
) -> StreamBody<impl tokio_stream::Stream<Item = Result<Frame<Bytes>, Infallible>>>
where
    S: tokio_stream::Stream<Item = Bytes>,
{
    StreamBody::new(frames.map(|data| Ok(Frame::data(data))))
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_drips_does_not_hold_the_replay_up() {
    let drip =
        frames(tokio_stream::iter(vec![Bytes::from_static(b"x"); 60 * 1024]).throttle(secs(1)));
    assert_eq!(replayed_after(Box::pin(drip)).await, ms(150));
    let stuck = frames(tokio_stream::pending());
    assert_eq!(replayed_after(stuck).await, ms(150));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_there_is_drained_at_once() {
    assert_eq!(replayed_after(full("no")).await, ms(50));
    let slow = frames(tokio_stream::iter(vec![Bytes::from_static(b"x"); 3]).throttle(ms(20)));
    assert_eq!(replayed_after(Box::pin(slow)).await, ms(110));
    // Beyond 64 KiB it is dropped, and one that never ends is too, even if it is always ready.
    for chunk in [0, 1, 10_000] {
        let endless = frames(tokio_stream::iter(std::iter::repeat(Bytes::from(vec![b'x'; chunk]))));
        assert_eq!(replayed_after(endless).await, ms(50), "chunks of {chunk} bytes");
    }
}

/// The last handle of the cache goes away while the answer is drained.
#[tokio::test(start_paused = true)]
async fn the_cache_may_be_dropped_while_the_answer_is_drained() {
    let cache = warm().await;
    let other = cache.clone();
    let resource = {
        let rejected = Arc::new(Mutex::new(false));
        service_fn(move |_: Request<support::Body>| {
            let first = !std::mem::replace(&mut *rejected.lock().unwrap(), true);
            let status = if first { 401 } else { 200 };
            let body = frames(tokio_stream::pending::<Bytes>());
            async move { Ok::<_, Infallible>(Response::builder().status(status).body(body).unwrap()) }
        })
    };
    let answer = OAuthLayer::with_source(cache).layer(resource).oneshot(get(URI));
    let mut answer = pin!(answer);
    assert!(timeout(ms(100), &mut answer).await.is_err());
    drop(other);
    assert_eq!(answer.await.unwrap().status(), StatusCode::OK);
}

/// Over HTTP/1.1, where an answer that is not read costs its connection.
#[tokio::test]
async fn the_connection_is_used_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/", listener.local_addr().unwrap());
    let connections = Arc::new(Mutex::new(Vec::new()));
    let accepted = Arc::clone(&connections);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let number = accepted.lock().unwrap().len();
            accepted.lock().unwrap().push(0);
            let accepted = Arc::clone(&accepted);
            let resource = service_fn(move |request: Request<hyper::body::Incoming>| {
                accepted.lock().unwrap()[number] += 1;
                let token = support::authorization(request.headers()).unwrap();
                async move {
                    let rejected = token == "Bearer token-1";
                    // The second half of a rejection's words comes later.
                    let words = tokio_stream::iter(["half ", "of it"]);
                    let words = words.map(|words| Bytes::from(words.repeat(1_000)));
                    let body = frames(words.throttle(ms(if rejected { 20 } else { 0 })));
                    let status = if rejected { 401 } else { 200 };
                    Ok::<_, Infallible>(Response::builder().status(status).body(body).unwrap())
                }
            });
            tokio::spawn(async move {
                let service = TowerToHyperService::new(resource);
                let server = auto::Builder::new(TokioExecutor::new());
                server.serve_connection(TokioIo::new(stream), service).await
            });
        }
    });
    let endpoint = server(secs(3600), ms(0));
    let client = Client::builder(TokioExecutor::new()).build_http::<support::Body>();
    let service = OAuthLayer::new(endpoint.fetcher()).layer(client);
    let answer = service.oneshot(get(&uri)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(*connections.lock().unwrap(), [2]);
}

// ---- The first attempt on the wire -------------------------------------------------------------

/// A server of which the first connection answers 401 as soon as the first bytes of the body are
/// there, and goes on listening. What it got is the result; what the second got goes to `whole`.
async fn early_401(listener: TcpListener, whole: mpsc::UnboundedSender<Bytes>) -> Vec<u8> {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut got = Vec::new();
    while !got.ends_with(b"one \r\n") && !got.ends_with(b"one ") {
        stream.read_buf(&mut got).await.unwrap();
    }
    stream.write_all(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    let second = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        serve_whole(stream, whole).await;
    });
    // To the end of the connection, however that comes.
    while matches!(stream.read_buf(&mut got).await, Ok(1..)) {}
    second.await.unwrap();
    got
}

async fn serve_whole(stream: TcpStream, whole: mpsc::UnboundedSender<Bytes>) {
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let whole = whole.clone();
        async move {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            whole.send(body).unwrap();
            let mut response = Response::new(Full::<Bytes>::default());
            response.headers_mut().insert("connection", HeaderValue::from_static("close"));
            Ok::<_, Infallible>(response)
        }
    });
    let server = auto::Builder::new(TokioExecutor::new());
    let connection =
        server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let _ = connection.await;
}

async fn early_401_over_hyper(length: Option<&str>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/", listener.local_addr().unwrap());
    let (whole, mut received) = mpsc::unbounded_channel();
    let server = tokio::spawn(early_401(listener, whole));

    let endpoint = AuthorizationServer::new();
    endpoint.token_endpoint().delay(ms(20));
    let client = Client::builder(TokioExecutor::new()).build_http::<BufferedBody<Fed>>();
    let layer = OAuthLayer::new(endpoint.fetcher()).replay(Buffered::new(1024));
    let service = layer.layer(client);
    let (body, feed) = fed();
    feed.data("one ");
    let mut request = Request::post(&uri).body(body).unwrap();
    if let Some(length) = length {
        request.headers_mut().insert("content-length", length.parse().unwrap());
    }
    let answer = tokio::spawn(service.oneshot(request));
    // After the refresh, in the middle of the second attempt, the rest comes.
    while endpoint.token_requests() < 2 {
        sleep(ms(5)).await;
    }
    sleep(ms(70)).await;
    assert!(!answer.is_finished());
    feed.data("two ").data("three").end();
    assert_eq!(answer.await.unwrap().unwrap().status(), StatusCode::OK);
    assert_eq!(received.recv().await.unwrap(), "one two three");

    let first = server.await.unwrap();
    let text = String::from_utf8_lossy(&first);
    assert!(text.contains("one "), "{text}");
    assert!(!text.contains("two") && !text.contains("\r\n0\r\n"), "it looks complete: {text}");
}

#[tokio::test]
async fn an_early_401_leaves_no_complete_looking_half() {
    timeout(secs(20), early_401_over_hyper(None)).await.unwrap();
    timeout(secs(20), early_401_over_hyper(Some("13"))).await.unwrap();
}

/// The source of an upload fails after the early 401, while the token is refreshed.
#[tokio::test]
async fn half_an_upload_that_failed_never_looks_complete() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/", listener.local_addr().unwrap());
    let (body, feed) = fed();
    feed.data("half");
    let server = tokio::spawn(async move {
        let (mut first, _) = listener.accept().await.unwrap();
        let mut got = Vec::new();
        while !got.ends_with(b"half\r\n") {
            first.read_buf(&mut got).await.unwrap();
        }
        first.write_all(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        // Once the client has seen that.
        sleep(ms(20)).await;
        feed.fail().end();
        let (mut second, _) = listener.accept().await.unwrap();
        let mut got = Vec::new();
        // To the end of the connection, if the client ends it.
        let _ = timeout(ms(500), second.read_to_end(&mut got)).await;
        String::from_utf8(got).unwrap()
    });
    let endpoint = AuthorizationServer::new();
    endpoint.token_endpoint().delay(ms(50));
    let client = Client::builder(TokioExecutor::new()).build_http::<BufferedBody<Fed>>();
    let layer = OAuthLayer::new(endpoint.fetcher()).replay(Buffered::new(1024));
    let request = Request::post(&uri).body(body).unwrap();
    let answer = timeout(secs(20), layer.layer(client).oneshot(request)).await.unwrap();
    let second = timeout(secs(20), server).await.unwrap().unwrap();
    let looks_complete = second.contains("content-length: 4") || second.ends_with("0\r\n\r\n");
    assert!(!looks_complete, "{second}");
    assert!(answer.is_err());
}

/// A client that goes on polling the first body for ever is answered all the same.
#[tokio::test(start_paused = true)]
async fn a_first_attempt_that_is_never_dropped_is_no_obstacle() {
    let first: Arc<Mutex<Option<BufferedBody<Fed>>>> = Arc::default();
    let resource = {
        let first = Arc::clone(&first);
        service_fn(move |request: Request<BufferedBody<Fed>>| {
            let first = Arc::clone(&first);
            async move {
                let mut body = request.into_body();
                if first.lock().unwrap().is_none() {
                    assert_eq!(data(&mut body).await, "one ");
                    *first.lock().unwrap() = Some(body);
                    return Ok::<_, Infallible>(unauthorized());
                }
                let body = body.collect().await.unwrap().to_bytes();
                Ok(Response::new(Full::from(body)))
            }
        })
    };
    let (body, feed) = fed();
    feed.data("one ").data("two").end();
    let layer = OAuthLayer::with_source(warm().await).replay(Buffered::new(1024));
    let answer = layer.layer(resource).oneshot(request(body)).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "one two");
    let mut first = first.lock().unwrap().take().unwrap();
    let polled = poll_fn(|cx| Pin::new(&mut first).poll_frame(cx));
    assert!(polled.await.unwrap().is_err());
}
