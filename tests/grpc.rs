//! With a real tonic server and client over loopback.

mod support;

use std::{
    collections::HashSet,
    convert::Infallible,
    future::{Future, ready},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, uri::PathAndQuery};
use support::{authorization, ms, secs, server};
use tokio::sync::mpsc;
use tokio_stream::{Stream, StreamExt, wrappers::UnboundedReceiverStream};
use tonic::{
    Code, Status, Streaming,
    body::Body,
    server::NamedService,
    transport::{Channel, Server, server::TcpIncoming},
};
use tonic_prost::ProstCodec;
use tower::{BoxError, Service, ServiceBuilder, service_fn, util::BoxCloneService};
use tower_oauth::{
    Error, ErrorKind, OAuthLayer, Token, TokenCache, fetch_fn, grpc_status,
    replay::{Buffered, IfEmpty, Replay},
    testing::{AuthorizationServer, TokioClock},
};

#[derive(Clone, PartialEq, prost::Message)]
struct Number {
    #[prost(int64, tag = "1")]
    value: i64,
}

fn number(value: i64) -> Number {
    Number { value }
}

/// A service as it is without generated code. It looks at the token before it reads anything.
#[derive(Clone, Default)]
struct Sums {
    revoked: Arc<Mutex<HashSet<String>>>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl NamedService for Sums {
    const NAME: &'static str = "test.Sums";
}

type Numbers = Pin<Box<dyn Stream<Item = Result<Number, Status>> + Send>>;

impl Sums {
    fn revoke(&self, secret: &str) {
        self.revoked.lock().unwrap().insert(format!("Bearer {secret}"));
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    fn admit(&self, headers: &HeaderMap) -> Result<(), Status> {
        let token = authorization(headers).unwrap_or_default();
        self.seen.lock().unwrap().push(token.clone());
        match self.revoked.lock().unwrap().contains(&token) {
            true => Err(Status::unauthenticated("the token was revoked")),
            false => Ok(()),
        }
    }

    async fn answer(self, request: Request<Body>) -> Response<Body> {
        if let Err(status) = self.admit(request.headers()) {
            return status.into_http();
        }
        let mut grpc = tonic::server::Grpc::new(ProstCodec::<Number, Number>::default());
        match request.uri().path() {
            "/test.Sums/Double" => {
                let double = |request: tonic::Request<Number>| async move {
                    Ok(tonic::Response::new(number(request.get_ref().value * 2)))
                };
                grpc.unary(service_fn(double), request).await
            }
            "/test.Sums/Sum" => {
                let sum = |request: tonic::Request<Streaming<Number>>| async move {
                    let (mut numbers, mut sum) = (request.into_inner(), 0);
                    while let Some(next) = numbers.message().await? {
                        sum += next.value;
                    }
                    Ok(tonic::Response::new(number(sum)))
                };
                grpc.client_streaming(service_fn(sum), request).await
            }
            "/test.Sums/Count" => {
                let count = |request: tonic::Request<Number>| async move {
                    let numbers = (1..=request.get_ref().value).map(number).map(Ok);
                    Ok(tonic::Response::new(Box::pin(tokio_stream::iter(numbers)) as Numbers))
                };
                grpc.server_streaming(service_fn(count), request).await
            }
            "/test.Sums/Sums" => {
                // The token may end while the stream goes on.
                let revoked = Arc::clone(&self.revoked);
                let token = authorization(request.headers()).unwrap();
                let sums = move |request: tonic::Request<Streaming<Number>>| {
                    let (revoked, token) = (Arc::clone(&revoked), token.clone());
                    async move {
                        let mut sum = 0;
                        let sums = request.into_inner().map(move |next| {
                            if revoked.lock().unwrap().contains(&token) {
                                return Err(Status::unauthenticated("the token was revoked"));
                            }
                            sum += next?.value;
                            Ok(number(sum))
                        });
                        Ok(tonic::Response::new(Box::pin(sums) as Numbers))
                    }
                };
                grpc.streaming(service_fn(sums), request).await
            }
            _ => Status::unimplemented("").into_http(),
        }
    }
}

impl Service<Request<Body>> for Sums {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let answer = self.clone().answer(request);
        Box::pin(async { Ok(answer.await) })
    }
}

/// As a program names it: see the documentation of `grpc_status`.
type Client = tonic::client::Grpc<BoxCloneService<Request<Body>, Response<Body>, Status>>;

fn codec() -> ProstCodec<Number, Number> {
    ProstCodec::default()
}

fn path(path: &'static str) -> PathAndQuery {
    PathAndQuery::from_static(path)
}

/// A server of its own, a token endpoint whose next token is `token-2`, and a client with
/// `token-1`.
async fn connect<R>(replay: R) -> (Sums, AuthorizationServer, Client)
where
    R: Replay<Body, Body: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send>
        + Clone
        + Send
        + Sync
        + 'static,
{
    let endpoint = server(secs(3600), ms(1));
    let cache = TokenCache::new(endpoint.fetcher());
    cache.warm_up().await.unwrap();
    let (sums, client) = connect_with(cache, replay).await;
    (sums, endpoint, client)
}

async fn connect_with<R>(cache: TokenCache, replay: R) -> (Sums, Client)
where
    R: Replay<Body, Body: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send>
        + Clone
        + Send
        + Sync
        + 'static,
{
    let sums = Sums::default();
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let origin = format!("http://{}", incoming.local_addr().unwrap());
    tokio::spawn(Server::builder().add_service(sums.clone()).serve_with_incoming(incoming));
    let channel = Channel::from_shared(origin.clone()).unwrap().connect_lazy();
    let layer = OAuthLayer::with_source(cache).origin(origin).unwrap().replay(replay);
    let channel = ServiceBuilder::new()
        .map_err(Status::from_error)
        .map_result(grpc_status)
        .layer(layer)
        .map_request(|request: Request<R::Body>| request.map(Body::new))
        .service(channel);
    let mut client = tonic::client::Grpc::new(BoxCloneService::new(channel));
    client.ready().await.unwrap();
    (sums, client)
}

fn buffer() -> Buffered {
    Buffered::new(64 * 1024)
}

async fn double(client: &mut Client, value: i64) -> Result<i64, Status> {
    client.ready().await.unwrap();
    let request = tonic::Request::new(number(value));
    let answer = client.unary(request, path("/test.Sums/Double"), codec()).await?;
    Ok(answer.into_inner().value)
}

const ONCE_MORE: [&str; 2] = ["Bearer token-1", "Bearer token-2"];

#[tokio::test]
async fn a_unary_call_is_sent_again() {
    let (sums, endpoint, mut client) = connect(buffer()).await;
    sums.revoke("token-1");
    assert_eq!(double(&mut client, 21).await.unwrap(), 42);
    assert_eq!(sums.seen(), ONCE_MORE);
    assert_eq!(endpoint.token_requests(), 2);
    assert_eq!(double(&mut client, 1).await.unwrap(), 2);
    assert_eq!((sums.seen().len(), endpoint.token_requests()), (3, 2));
}

#[tokio::test]
async fn a_herd_of_calls_costs_one_refresh() {
    let (sums, endpoint, client) = connect(buffer()).await;
    sums.revoke("token-1");
    let mut callers = tokio::task::JoinSet::new();
    for value in 0..200 {
        let mut client = client.clone();
        callers.spawn(async move { (value * 2, double(&mut client, value).await.unwrap()) });
    }
    assert!(callers.join_all().await.iter().all(|(expected, got)| expected == got));
    assert_eq!(endpoint.token_requests(), 2);
}

#[tokio::test]
async fn a_clients_stream_is_sent_again() {
    let (sums, endpoint, mut client) = connect(buffer()).await;
    sums.revoke("token-1");
    // Its messages come while the first attempt is being rejected and the second is under way.
    let (feed, numbers) = mpsc::unbounded_channel();
    feed.send(number(1)).unwrap();
    let call = tokio::spawn(async move {
        let request = tonic::Request::new(UnboundedReceiverStream::new(numbers));
        client.client_streaming(request, path("/test.Sums/Sum"), codec()).await
    });
    while sums.seen().len() < 2 {
        assert!(!call.is_finished(), "it was not sent again");
        tokio::time::sleep(ms(1)).await;
    }
    for value in 2..=100 {
        feed.send(number(value)).unwrap();
    }
    drop(feed);
    assert_eq!(call.await.unwrap().unwrap().into_inner(), number(5050));
    assert_eq!(sums.seen(), ONCE_MORE);
    assert_eq!(endpoint.token_requests(), 2);
}

#[tokio::test]
async fn a_call_for_a_servers_stream_is_sent_again() {
    let (sums, endpoint, mut client) = connect(buffer()).await;
    sums.revoke("token-1");
    let request = tonic::Request::new(number(4));
    let answer = client.server_streaming(request, path("/test.Sums/Count"), codec()).await;
    let numbers: Vec<_> =
        answer.unwrap().into_inner().map(|next| next.unwrap().value).collect().await;
    assert_eq!(numbers, [1, 2, 3, 4]);
    assert_eq!(sums.seen(), ONCE_MORE);
    assert_eq!(endpoint.token_requests(), 2);
}

/// As long as the server has not begun to answer.
#[tokio::test]
async fn a_stream_both_ways_is_sent_again_at_its_start_only() {
    let (endpoint, clock) = (server(secs(3600), ms(1)), TokioClock::new());
    let cache = TokenCache::builder(endpoint.fetcher()).clock(clock.clone()).build();
    cache.warm_up().await.unwrap();
    let (sums, mut client) = connect_with(cache, buffer()).await;
    sums.revoke("token-1");
    let (feed, numbers) = mpsc::unbounded_channel();
    feed.send(number(1)).unwrap();
    let request = tonic::Request::new(UnboundedReceiverStream::new(numbers));
    let answer = client.streaming(request, path("/test.Sums/Sums"), codec()).await.unwrap();
    let mut sums_so_far = answer.into_inner();
    assert_eq!(sums_so_far.message().await.unwrap(), Some(number(1)));
    feed.send(number(2)).unwrap();
    assert_eq!(sums_so_far.message().await.unwrap(), Some(number(3)));
    assert_eq!(sums.seen(), ONCE_MORE);

    // From here on the caller gets to know, and has to open another stream.
    sums.revoke("token-2");
    feed.send(number(3)).unwrap();
    assert_eq!(sums_so_far.message().await.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(sums.seen(), ONCE_MORE);
    assert_eq!(endpoint.token_requests(), 2, "what is in trailers is not seen");

    // At the start of that one the rejection is seen.
    clock.suspend(secs(2));
    client.ready().await.unwrap();
    let request = tonic::Request::new(tokio_stream::once(number(5)));
    let answer = client.streaming(request, path("/test.Sums/Sums"), codec()).await.unwrap();
    assert_eq!(answer.into_inner().message().await.unwrap(), Some(number(5)));
    assert_eq!(sums.seen().last().unwrap(), "Bearer token-3");
}

#[tokio::test]
async fn by_default_the_call_fails_and_the_next_one_has_another_token() {
    let (sums, endpoint, mut client) = connect(IfEmpty).await;
    sums.revoke("token-1");
    let status = double(&mut client, 1).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unauthenticated, "the token was revoked"));
    assert_eq!(double(&mut client, 1).await.unwrap(), 2);
    assert_eq!(sums.seen(), ONCE_MORE);
    assert_eq!(endpoint.token_requests(), 2);
}

#[tokio::test]
async fn token_failures_reach_the_caller_as_a_status() {
    for (kind, code) in [
        (ErrorKind::Unavailable, Code::Unavailable),
        (ErrorKind::Timeout, Code::Unavailable),
        (ErrorKind::Denied, Code::Unauthenticated),
    ] {
        let fetcher = fetch_fn(move |_| ready(Err::<Token, _>(Error::new(kind))));
        let (sums, mut client) = connect_with(TokenCache::new(fetcher), buffer()).await;
        let status = double(&mut client, 1).await.unwrap_err();
        assert_eq!(status.code(), code, "{status:?}");
        // It tells what is wrong, and when the next attempt is due.
        let expected = Error::new(kind).to_string();
        assert!(status.message().starts_with(&expected), "{status:?}");
        assert!(status.message().contains("next attempt in"), "{status:?}");
        assert!(sums.seen().is_empty(), "a call left without a token");
    }
}

/// A client's deadline is the call's, and not that of the fetch, which goes on.
#[tokio::test]
async fn a_call_waits_for_a_token_until_its_deadline() {
    let endpoint = server(secs(3600), secs(2));
    let (sums, mut client) = connect_with(TokenCache::new(endpoint.fetcher()), buffer()).await;
    let start = Instant::now();
    let mut request = tonic::Request::new(number(1));
    request.set_timeout(ms(200));
    let status = client.unary(request, path("/test.Sums/Double"), codec()).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    assert_eq!(status.message(), Error::new(ErrorKind::DeadlineExceeded).to_string());
    assert!(ms(200) <= start.elapsed() && start.elapsed() < secs(1), "{:?}", start.elapsed());
    assert!(sums.seen().is_empty(), "it was sent");
    // One without a deadline gets the token of the same fetch.
    assert_eq!(double(&mut client, 1).await.unwrap(), 2);
    assert_eq!(endpoint.token_requests(), 1);
}

#[test]
fn every_kind_has_a_status() {
    for (kind, code) in [
        (ErrorKind::Config, "13"),
        (ErrorKind::DeadlineExceeded, "4"),
        (ErrorKind::Expired, "14"),
        (ErrorKind::Fetcher, "14"),
        (ErrorKind::InsecureOrigin, "16"),
        (ErrorKind::InvalidResponse, "14"),
        (ErrorKind::NoRuntime, "13"),
        (ErrorKind::Panicked, "14"),
        (ErrorKind::Recursive, "13"),
        (ErrorKind::Rejected, "14"),
        (ErrorKind::Denied, "16"),
        (ErrorKind::TooManyHeaders, "13"),
        (ErrorKind::Timeout, "14"),
        (ErrorKind::Unavailable, "14"),
    ] {
        let answer = grpc_status::<Body>(Err(Error::new(kind).into())).unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "application/grpc");
        assert_eq!(answer.headers()["grpc-status"], code, "{kind:?}");
        assert!(http_body::Body::is_end_stream(answer.body()));
    }
}

#[test]
fn its_message_is_encoded_and_read_back() {
    let words = "100 % unmöglich:\n\t\"日本\" \u{7f}~";
    let error = Error::new(ErrorKind::Denied).with_description(words).with_source("a secret");
    let expected = error.to_string();
    let answer = grpc_status::<Body>(Err(error.into())).unwrap();
    let raw = answer.headers()["grpc-message"].to_str().unwrap();
    assert!(raw.ends_with("100 %25 unm%C3%B6glich:%0A%09\"%E6%97%A5%E6%9C%AC\" %7F~"), "{raw}");
    let status = Status::from_header_map(answer.headers()).unwrap();
    assert_eq!(status.message(), expected);
    assert!(!status.message().contains("secret"));
}

#[test]
fn only_our_errors_are_turned_into_answers() {
    #[derive(Debug)]
    struct Wrapped(Error);
    impl std::fmt::Display for Wrapped {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a layer above")
        }
    }
    impl std::error::Error for Wrapped {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }
    let wrapped = Wrapped(Error::new(ErrorKind::Unavailable));
    let answer = grpc_status::<Body>(Err(wrapped.into())).unwrap();
    assert_eq!(answer.headers()["grpc-status"], "14");

    let foreign = grpc_status::<Body>(Err("the connection broke".into())).unwrap_err();
    assert_eq!(foreign.to_string(), "the connection broke");
    let answer = Response::builder().status(404).body("not found").unwrap();
    let passed = grpc_status(Ok(answer)).unwrap();
    assert_eq!((passed.status().as_u16(), *passed.body()), (404, "not found"));
    assert!(passed.headers().is_empty());
}
