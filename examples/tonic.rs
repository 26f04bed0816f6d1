//! How do gRPC calls get tokens? By an `OAuthLayer` on tonic's `Channel`. Needs no arguments, no network,
//! and no `protoc`: `cargo run --example tonic`
//!
//! The service is gRPC's health check. The server rejects the first token. A unary call and a stream
//! start with it at the same time, and both are sent again with another token.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use http::{Request, Response};
use tonic::{
    Code, Status,
    body::Body,
    metadata::MetadataValue,
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Server, server::TcpIncoming},
};
use tonic_health::{
    pb::{HealthCheckRequest, health_client::HealthClient},
    server::health_reporter,
};
use tower::{BoxError, ServiceBuilder, ServiceExt, util::BoxCloneSyncService};
use tower_oauth::{
    OAuthLayer, TokenCache, TokenRequest, grpc_status,
    replay::{Buffered, BufferedBody},
    testing::AuthorizationServer,
};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // The token endpoint, and a count of the token requests.
    let issuer = AuthorizationServer::new();
    let token_requests = Arc::new(AtomicUsize::new(0));
    let counter = token_requests.clone();
    let fetcher = issuer.fetcher().map_request(move |request: TokenRequest| {
        println!("   (a token request: {:?})", request.reason);
        counter.fetch_add(1, Ordering::Relaxed);
        request
    });
    let tokens = TokenCache::new(fetcher);

    // The API, which rejects the first token.
    let revoked = tokens.token().await?.header_value()?;
    let judge = move |request: tonic::Request<()>| match request.metadata().get("authorization") {
        Some(value) if value.as_bytes() != revoked.as_bytes() => Ok(request),
        _ => Err(Status::unauthenticated("the token was revoked")),
    };
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse()?)?;
    let origin = format!("http://{}", incoming.local_addr()?);
    let (_reporter, health) = health_reporter();
    let server = Server::builder().add_service(InterceptedService::new(health, judge));
    tokio::spawn(server.serve_with_incoming(incoming));

    println!("A call and a stream at once, with a token that is rejected:");
    let channel = Channel::from_shared(origin.clone())?.connect_lazy();
    let api = with_tokens(channel.clone(), tokens.clone(), &origin)?;
    // With the origin, since `new` makes requests without a host, and those are not judged by theirs.
    let mut client = HealthClient::with_origin(api, origin.parse()?);
    let mut streaming = client.clone();
    let all = HealthCheckRequest::default;
    let (response, stream) = tokio::join!(client.check(all()), streaming.watch(all()));
    println!("   {:?}", response?.into_inner().status());
    let first = stream?.into_inner().message().await?.ok_or("the stream was empty")?;
    println!("   {:?}, the first message of the stream", first.status());
    let requests = token_requests.load(Ordering::Relaxed);
    println!("   {requests} token requests: for the first token, and for the other.");

    println!("A call without a token, while the token endpoint is down:");
    issuer.down(true);
    let without = with_tokens(channel.clone(), TokenCache::new(issuer.fetcher()), &origin)?;
    let mut client = HealthClient::with_origin(without, origin.parse()?);
    let status = client.check(all()).await.err().ok_or("the call succeeded")?;
    println!("   {:?}: {}", status.code(), status.message());

    println!("A call through an interceptor, for clients that take nothing else:");
    let mut client = HealthClient::new(InterceptedService::new(channel, WithToken(tokens)));
    println!("   {:?}", client.check(all()).await?.into_inner().status());
    if requests == 2 && status.code() == Code::Unavailable { Ok(()) } else { Err("wrong".into()) }
}

/// A channel as a type that a struct can name.
type BoxChannel = BoxCloneSyncService<Request<Body>, Response<Body>, Status>;

/// Every call has a body, so it must be kept to be sent again. The origin is where the token may go.
fn with_tokens(channel: Channel, tokens: TokenCache, origin: &str) -> Result<BoxChannel, BoxError> {
    let layer = OAuthLayer::with_source(tokens).origin(origin)?.replay(Buffered::new(64 * 1024));
    let channel = ServiceBuilder::new()
        .map_err(Status::from_error)
        .map_result(grpc_status)
        .layer(layer)
        .map_request(|request: Request<BufferedBody<Body>>| request.map(Body::new))
        .service(channel);
    Ok(BoxCloneSyncService::new(channel))
}

/// An interceptor cannot wait: without a token it starts a fetch, and this call fails. Nor does it hear
/// of rejections: whoever gets `UNAUTHENTICATED` tells the cache, by `invalidate`. The layer does both,
/// and so does a lease, as the page of `grpc_status` shows.
#[derive(Clone)]
struct WithToken(TokenCache);

impl Interceptor for WithToken {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, Status> {
        let value = self.0.try_authorization();
        let value = value.ok_or_else(|| match self.0.status().last_error {
            Some(error) => Status::unavailable(error.to_string()),
            None => Status::unavailable("the access token is being fetched"),
        })?;
        let mut value = MetadataValue::try_from(value.as_bytes())
            .map_err(|_| Status::internal("no metadata can carry the token"))?;
        value.set_sensitive(true);
        request.metadata_mut().insert("authorization", value);
        Ok(request)
    }
}
