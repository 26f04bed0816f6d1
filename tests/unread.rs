//! A rejected response that nobody reads holds what the refresh may need.

mod support;

use std::{
    convert::Infallible,
    error::Error as _,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{body::Incoming, client, server};
use hyper_util::rt::{TokioExecutor, TokioIo};
use support::{Body, authorization, cache, get, ms, ours, secs, unauthorized};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};
use tower_oauth::{
    Error, ErrorKind, OAuthLayer, Token, TokenCache, fetch_fn,
    replay::{Buffered, BufferedBody, Replay},
    testing::{AuthorizationServer, ResponseTemplate},
};

const API: &str = "https://api.example.com/";
const TOKEN: &str = "https://api.example.com/token";

/// A server whose first token is good for nothing, and what it says to those who come with it.
#[derive(Clone)]
struct Server {
    tokens: Arc<AtomicUsize>,
    rejection: Bytes,
}

impl Server {
    fn new(rejection: usize) -> Self {
        Self { tokens: Arc::default(), rejection: Bytes::from(vec![b'x'; rejection]) }
    }

    fn respond<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        if request.uri().path() == "/token" {
            let number = self.tokens.fetch_add(1, Ordering::SeqCst) + 1;
            return Response::new(Full::from(format!("token-{number}")));
        }
        let is_rejected = authorization(request.headers()).unwrap() == "Bearer token-1";
        let mut response = Response::new(Full::default());
        if is_rejected {
            *response.status_mut() = StatusCode::UNAUTHORIZED;
            *response.body_mut() = Full::from(self.rejection.clone());
        }
        response
    }
}

/// A layer whose fetcher asks the server by the very client that the requests take.
async fn layer<C, A>(client: C) -> OAuthLayer
where
    C: Service<Request<Body>, Response = Response<A>, Error: Into<BoxError>, Future: Send>
        + Clone
        + Send
        + 'static,
    A: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let fetcher = fetch_fn(move |_| {
        let client = client.clone();
        async move {
            let response = client.oneshot(get(TOKEN)).await.map_err(Into::into)?;
            let secret = response.into_body().collect().await.map_err(Into::into)?.to_bytes();
            let secret = String::from_utf8(secret.to_vec())?;
            Ok::<_, BoxError>(Token::bearer(secret).with_lifetime(secs(3600)))
        }
    });
    let cache: TokenCache = cache(fetcher).build();
    cache.warm_up().await.unwrap();
    OAuthLayer::with_source(cache)
}

/// Sends so many requests at once, with a token that is rejected: all of them must succeed.
async fn all_succeed<C, A>(requests: usize, client: C)
where
    C: Service<Request<Body>, Response = Response<A>, Error: Into<BoxError>, Future: Send>
        + Clone
        + Send
        + 'static,
    A: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let layer = layer(client.clone()).await;
    let start = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..requests {
        callers.spawn(layer.layer(client.clone()).oneshot(get(API)));
    }
    for response in callers.join_all().await {
        assert_eq!(response.unwrap().status(), StatusCode::OK);
    }
    // The second that an unread response may take, and the end of what it held.
    assert!(start.elapsed() < ms(1_500), "{:?}", start.elapsed());
}

/// One HTTP/2 connection, with a client's window of that many bytes for all of its streams.
async fn connect(
    server: Server,
    window: Option<u32>,
) -> impl Service<Request<Body>, Response = Response<Incoming>, Error = hyper::Error, Future: Send>
+ Clone
+ Send
+ 'static {
    let (near, far) = tokio::io::duplex(64 * 1024);
    tokio::spawn(async move {
        let respond = hyper::service::service_fn(move |request: Request<Incoming>| {
            let response = server.respond(&request);
            async { Ok::<_, Infallible>(response) }
        });
        let connection = server::conn::http2::Builder::new(TokioExecutor::new());
        connection.serve_connection(TokioIo::new(far), respond).await
    });
    let mut client = client::conn::http2::Builder::new(TokioExecutor::new());
    if let Some(window) = window {
        client.initial_connection_window_size(window).initial_stream_window_size(window);
    }
    let (sender, connection) = client.handshake(TokioIo::new(near)).await.unwrap();
    tokio::spawn(connection);
    service_fn(move |request: Request<Body>| {
        let mut sender = sender.clone();
        async move {
            sender.ready().await?;
            sender.send_request(request).await
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_connection_full_of_rejections_lets_the_token_through() {
    all_succeed(300, connect(Server::new(32 * 1024), None).await).await;
}

#[tokio::test(start_paused = true)]
async fn a_small_window_full_of_rejections_lets_the_token_through() {
    all_succeed(12, connect(Server::new(6 * 1024), Some(64 * 1024 - 1)).await).await;
}

/// A body that keeps its request's place in a limit.
struct InPlace(Full<Bytes>, #[allow(dead_code)] OwnedSemaphorePermit);

impl http_body::Body for InPlace {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// With a body, and with one that has ended from the start.
#[tokio::test(start_paused = true)]
async fn a_limit_that_lasts_until_the_body_is_gone_lets_the_token_through() {
    for rejection in [10, 0] {
        let (server, places) = (Server::new(rejection), Arc::new(Semaphore::new(4)));
        let client = service_fn(move |request: Request<Body>| {
            let (server, places) = (server.clone(), Arc::clone(&places));
            async move {
                let place = places.acquire_owned().await?;
                // So that all of them have a place before the first one is rejected.
                sleep(ms(10)).await;
                Ok::<_, BoxError>(server.respond(&request).map(|body| InPlace(body, place)))
            }
        });
        all_succeed(4, client).await;
    }
}

/// Sends a request whose token is rejected. It had this time left then, and the token endpoint is not
/// available, which it says after that time.
async fn rejected(
    left: Duration,
    after: Duration,
) -> Result<Response<tower_oauth::testing::Body>, BoxError> {
    let server = AuthorizationServer::new();
    let cache = cache(server.fetcher()).build();
    cache.warm_up().await.unwrap();
    sleep(cache.status().usable_for.unwrap() - left).await;
    let unavailable = ResponseTemplate::status(StatusCode::SERVICE_UNAVAILABLE);
    server.revoke_all().token_endpoint().always(unavailable.after(after));
    OAuthLayer::with_source(cache).layer(server.clone()).oneshot(get(API)).await
}

#[tokio::test(start_paused = true)]
async fn within_a_second_the_caller_gets_the_response_as_it_came() {
    // If the token runs out meanwhile, there is one fetch more.
    for (left, after) in [(secs(60), ms(999)), (ms(300), ms(499))] {
        let response = rejected(left, after).await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert!(response.headers().contains_key("www-authenticate"));
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_second_the_caller_gets_its_status_in_an_error() {
    for left in [secs(60), ms(500)] {
        let error = rejected(left, ms(1_001)).await.unwrap_err();
        let error = ours(&error);
        assert_eq!(error.kind(), ErrorKind::Rejected);
        assert_eq!(error.response_status(), Some(StatusCode::UNAUTHORIZED));
        // That is the token endpoint's.
        assert_eq!(error.status(), None);
        assert!(error.to_string().contains(": 401 Unauthorized"), "{error}");
        // Why there is no other token, and when there may be one.
        let cause = error.source().unwrap().downcast_ref::<Error>().unwrap();
        assert_eq!(cause.kind(), ErrorKind::Unavailable);
        assert_eq!(cause.status(), Some(StatusCode::SERVICE_UNAVAILABLE));
        assert_eq!(cause.response_status(), None);
        assert!(error.is_transient());
        assert!(error.retry_after().is_some_and(|left| !left.is_zero() && left <= secs(1)));
    }
}

/// The response goes when its second is over, whenever the refresh ends.
#[tokio::test(start_paused = true)]
async fn a_response_is_dropped_after_a_second() {
    let server = Server::new(10);
    let places = Arc::new(Semaphore::new(2));
    let client = {
        let places = Arc::clone(&places);
        service_fn(move |request: Request<Body>| {
            let (server, places) = (server.clone(), Arc::clone(&places));
            async move {
                if request.uri().path() == "/token" && server.tokens.load(Ordering::SeqCst) > 0 {
                    sleep(secs(3)).await;
                }
                let place = places.acquire_owned().await?;
                Ok::<_, BoxError>(server.respond(&request).map(|body| InPlace(body, place)))
            }
        })
    };
    let layer = layer(client.clone()).await;
    let answer = tokio::spawn(layer.layer(client).oneshot(get(API)));
    sleep(ms(999)).await;
    assert_eq!(places.available_permits(), 1);
    sleep(ms(2)).await;
    assert_eq!(places.available_permits(), 2);
    assert_eq!(answer.await.unwrap().unwrap().status(), StatusCode::OK);
}

/// Sends a request whose token is rejected. The token endpoint responds after that time.
async fn gets_its_response<R>(replay: R, response: ResponseTemplate, after: Duration)
where
    R: Replay<Full<Bytes>, Body: http_body::Body<Error: Into<BoxError>, Data: Send> + Send>
        + Clone
        + Send
        + 'static,
{
    let server = AuthorizationServer::new();
    let cache = cache(server.fetcher()).build();
    cache.warm_up().await.unwrap();
    server.token_endpoint().always(response.after(after));
    let resource = service_fn(|request: Request<R::Body>| async move {
        request.into_body().collect().await.map_err(Into::into)?;
        Ok::<_, BoxError>(unauthorized())
    });
    let service = OAuthLayer::with_source(cache.clone()).replay(replay).layer(resource);
    let start = Instant::now();
    let request = Request::post(API).body(Full::from("longer")).unwrap();
    let response = service.oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "its own words");
    assert_eq!(start.elapsed(), after.min(secs(1)));
    // The refresh goes on, for the next request.
    assert_eq!(cache.status().fetching, after > secs(1));
}

/// An upload beyond the limit of `Buffered`, and one of a policy that finds out late: no token helps.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_replayed_waits_no_longer_than_its_response() {
    for after in [ms(500), secs(2)] {
        let unavailable = ResponseTemplate::status(StatusCode::SERVICE_UNAVAILABLE);
        for response in [ResponseTemplate::usual(), unavailable] {
            gets_its_response(Buffered::new(3), response.clone(), after).await;
            gets_its_response(Late, response, after).await;
        }
    }
}

/// While its response may still be given, an upload goes on; when that is dropped, it ends.
#[tokio::test(start_paused = true)]
async fn an_upload_ends_with_its_response() {
    let server = AuthorizationServer::new();
    let cache = cache(server.fetcher()).build();
    cache.warm_up().await.unwrap();
    server.token_endpoint().delay(secs(2));
    let (feed, body) = tokio::sync::mpsc::unbounded_channel();
    let body = StreamBody::new(UnboundedReceiverStream::new(body));
    let (uploads, mut sent) = tokio::sync::mpsc::unbounded_channel();
    let resource = service_fn(move |request: Request<_>| {
        uploads.send(request.into_body()).unwrap();
        async { Ok::<_, Infallible>(unauthorized()) }
    });
    let layer = OAuthLayer::with_source(cache).replay(Buffered::new(100));
    let request = Request::post(API).body(body).unwrap();
    let answer = tokio::spawn(layer.layer(resource).oneshot(request));
    let mut first: BufferedBody<_> = sent.recv().await.unwrap();
    sleep(ms(999)).await;
    feed.send(Ok::<_, Infallible>(Frame::data(Bytes::from("one")))).unwrap();
    assert_eq!(first.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
    sleep(ms(2)).await;
    let error = timeout(ms(0), first.frame()).await.expect("the upload goes on");
    assert!(error.unwrap().is_err());
    drop(feed);
    let second = sent.recv().await.unwrap().collect().await.unwrap();
    assert_eq!(second.to_bytes(), "one");
    answer.abort();
}

/// A policy that finds out late that a request is not to be sent again.
#[derive(Clone)]
struct Late;

impl<B> Replay<B> for Late {
    type Body = B;
    type Kept = ();

    fn keep(&self, request: Request<B>) -> (Request<B>, Option<()>) {
        (request, Some(()))
    }

    fn again(&self, (): &mut ()) -> Option<Request<B>> {
        None
    }
}

/// A failure of before says nothing about the fetch that a rejection waits for.
#[tokio::test(start_paused = true)]
async fn an_older_failure_is_no_cause() {
    let server = AuthorizationServer::new();
    let cache = cache(server.fetcher()).build();
    cache.warm_up().await.unwrap();
    sleep(secs(2)).await;
    let refused = ResponseTemplate::oauth_error(StatusCode::UNAUTHORIZED, "invalid_client");
    server.token_endpoint().next(refused);
    cache.refresh().await.unwrap_err();
    sleep(secs(20)).await;
    server.revoke_all().token_endpoint().delay(secs(8));
    let error = OAuthLayer::with_source(cache.clone()).layer(server).oneshot(get(API)).await;
    let error = error.unwrap_err();
    assert_eq!(ours(&error).kind(), ErrorKind::Rejected);
    assert!(cache.status().fetching && ours(&error).source().is_none(), "{error:?}");
    assert!(ours(&error).is_transient());
}
