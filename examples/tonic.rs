//! gRPC: an `OAuthLayer` on tonic's `Channel`. Needs no arguments, no network, and no `protoc`:
//! `cargo run --example tonic`
//!
//! The server rejects the first token. Two calls are made with it at the same time, one of them with a
//! stream of messages, and both are sent again with another token.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use http::{Request, Response, header::AUTHORIZATION, uri::PathAndQuery};
use tokio_stream::StreamExt;
use tonic::{
    Status, Streaming,
    body::Body,
    client::Grpc,
    metadata::MetadataValue,
    server::NamedService,
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Server, server::TcpIncoming},
};
use tonic_prost::ProstCodec;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn, util::BoxCloneService};
use tower_oauth::{
    ErrorKind, OAuthLayer, TokenCache, TokenRequest, grpc_status,
    replay::{Buffered, BufferedBody},
    testing::AuthorizationServer,
};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // The token endpoint, and a count of the token requests.
    let issuer = AuthorizationServer::new();
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let fetcher = issuer.fetcher().map_request(move |request: TokenRequest| {
        println!("   (a token request: {:?})", request.reason);
        counter.fetch_add(1, Ordering::Relaxed);
        request
    });
    let tokens = TokenCache::new(fetcher);

    // The API, which rejects the first token.
    let revoked = tokens.token().await?;
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse()?)?;
    let origin = format!("http://{}", incoming.local_addr()?);
    let sums = Sums { revoked: format!("Bearer {}", revoked.expose_secret()) };
    tokio::spawn(Server::builder().add_service(sums).serve_with_incoming(incoming));

    // The client. The origin is where the token may go.
    let channel = Channel::from_shared(origin.clone())?.connect_lazy();
    let layer =
        OAuthLayer::with_source(tokens.clone()).origin(&origin)?.replay(Buffered::new(64 * 1024));
    let channel: BoxChannel = ServiceBuilder::new()
        .map_err(Status::from_error)
        .map_result(grpc_status)
        .layer(layer)
        .map_request(|request: Request<BufferedBody<Body>>| request.map(Body::new))
        .service(channel)
        .boxed_clone();
    let client = Grpc::new(channel);

    println!("Two calls at once with a token that is rejected:");
    let (sum, twice) = tokio::join!(sum_up(client.clone()), double(client.clone()));
    println!("   1 + 2 + .. + 100 = {}, 2 * 21 = {}", sum?, twice?);
    let asked = asked.load(Ordering::Relaxed);
    println!("   Token requests: {asked}, one for the first token and one for the other.");

    println!("A call without a token, since the authorization server refuses to issue one:");
    let refuses = service_fn(|_: TokenRequest| async {
        Err::<tower_oauth::Token, _>(tower_oauth::Error::new(ErrorKind::Denied))
    });
    let channel: BoxChannel = ServiceBuilder::new()
        .map_err(Status::from_error)
        .map_result(grpc_status)
        .layer(OAuthLayer::new(refuses).origin(&origin)?)
        .service(Channel::from_shared(origin.clone())?.connect_lazy())
        .boxed_clone();
    let status = double(Grpc::new(channel)).await.err().ok_or("the call succeeded")?;
    println!("   {:?}: {}", status.code(), status.message());

    println!("A call through an interceptor, for clients that take nothing else:");
    let channel = Channel::from_shared(origin)?.connect_lazy();
    let mut client = Grpc::new(InterceptedService::new(channel, WithToken(tokens)));
    client.ready().await?;
    let request = tonic::Request::new(number(21));
    let answer: tonic::Response<Number> =
        client.unary(request, path("/example.Sums/Double"), codec()).await?;
    println!("   2 * 21 = {}", answer.into_inner().value);
    Ok(())
}

/// An interceptor cannot wait: without a token it starts a fetch, and this call fails. Nor does it hear
/// of rejections: whoever gets `UNAUTHENTICATED` tells the cache, by `invalidate`. The layer does both.
#[derive(Clone)]
struct WithToken(TokenCache);

impl Interceptor for WithToken {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, Status> {
        let value = self.0.try_authorization();
        let value = value.ok_or_else(|| Status::unavailable("there is no access token yet"))?;
        let mut value = MetadataValue::try_from(value.as_bytes())
            .map_err(|_| Status::internal("no metadata can carry the token"))?;
        value.set_sensitive(true);
        request.metadata_mut().insert("authorization", value);
        Ok(request)
    }
}

/// A unary call.
async fn double(mut client: Grpc<BoxChannel>) -> Result<i64, Status> {
    client.ready().await?;
    let request = tonic::Request::new(number(21));
    let answer = client.unary(request, path("/example.Sums/Double"), codec()).await?;
    Ok(answer.into_inner().value)
}

/// A call with a stream of messages.
async fn sum_up(mut client: Grpc<BoxChannel>) -> Result<i64, Status> {
    client.ready().await?;
    let request = tonic::Request::new(tokio_stream::iter(1..=100).map(number));
    let answer = client.client_streaming(request, path("/example.Sums/Sum"), codec()).await?;
    Ok(answer.into_inner().value)
}

/// A channel as a type that a struct can name.
type BoxChannel = BoxCloneService<Request<Body>, Response<Body>, Status>;

// ---- What `tonic-prost-build` would generate from a .proto file, as far as it is needed here -----

#[derive(Clone, PartialEq, prost::Message)]
struct Number {
    #[prost(int64, tag = "1")]
    value: i64,
}

fn number(value: i64) -> Number {
    Number { value }
}

fn codec() -> ProstCodec<Number, Number> {
    ProstCodec::default()
}

fn path(path: &'static str) -> PathAndQuery {
    PathAndQuery::from_static(path)
}

#[derive(Clone)]
struct Sums {
    revoked: String,
}

impl NamedService for Sums {
    const NAME: &'static str = "example.Sums";
}

impl Sums {
    async fn answer(self, request: Request<Body>) -> Response<Body> {
        if request.headers().get(AUTHORIZATION).is_none_or(|token| *token == self.revoked) {
            println!("   (the server says UNAUTHENTICATED)");
            return Status::unauthenticated("the token was revoked").into_http();
        }
        let mut grpc = tonic::server::Grpc::new(codec());
        match request.uri().path() {
            "/example.Sums/Double" => grpc.unary(service_fn(answer_double), request).await,
            "/example.Sums/Sum" => grpc.client_streaming(service_fn(answer_sum), request).await,
            _ => Status::unimplemented("there is no such method").into_http(),
        }
    }
}

async fn answer_double(request: tonic::Request<Number>) -> Result<tonic::Response<Number>, Status> {
    Ok(tonic::Response::new(number(request.get_ref().value * 2)))
}

async fn answer_sum(
    request: tonic::Request<Streaming<Number>>,
) -> Result<tonic::Response<Number>, Status> {
    let (mut numbers, mut sum) = (request.into_inner(), 0);
    while let Some(next) = numbers.message().await? {
        sum += next.value;
    }
    Ok(tonic::Response::new(number(sum)))
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
