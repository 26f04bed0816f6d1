//! What the sidecar adds to the time of a request, beyond a proxy that only passes it on.
//! `cargo bench --bench sidecar`
//!
//! Caller, proxies and upstream share one thread, and one request is on its way at a time. The two proxies
//! take turns (plain, sidecar, sidecar, plain), so that what slows the machine slows both.

#[path = "proxy.rs"]
#[expect(dead_code, reason = "where to listen is up to this program")]
mod proxy;

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use axum::{Router, body::Body, extract::Request};
use http::Method;
use http_body_util::BodyExt;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{net::TcpListener, time::Instant};
use tower::{BoxError, Service, make::Shared, service_fn};
use tower_oauth::testing::AuthorizationServer;

use proxy::{Config, Proxy};

type Http = Client<HttpConnector, Body>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let upstream = Router::new().fallback(|request: Request| async { request.into_body() });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let upstream_addr = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, upstream).await });

    let server = AuthorizationServer::new();
    let token_endpoint = server.listen().await?;
    let sidecar = Proxy::new(Config::parse(&format!(
        "routes = {{ '/' = 'http://{upstream_addr}' }}
        fetcher = {{ url = '{}', client_id = 'client', client_secret = 'secret' }}",
        token_endpoint.uri("/token"),
    ))?)?;
    let sidecar = serve(service_fn(move |request| sidecar.clone().respond(request))).await?;

    println!("p50 of a request in µs:       direct   plain sidecar | the sidecar adds");
    for (http2, method, size) in [
        (false, Method::GET, 0),
        (false, Method::POST, 1024),
        (true, Method::GET, 0),
        (true, Method::POST, 1024),
    ] {
        let http: Http = Client::builder(TokioExecutor::new()).http2_only(http2).build_http();
        let passing = http.clone();
        let plain = service_fn(move |mut request: Request| {
            let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
            let uri = format!("http://{upstream_addr}{path}").parse();
            *request.uri_mut() = uri.expect("it was one before");
            let response = passing.request(request);
            async { Ok(response.await.expect("the upstream responds").map(Body::new)) }
        });
        let plain = serve(plain).await?;
        let time = async |addr: SocketAddr| {
            let request = Request::builder()
                .method(method.clone())
                .uri(format!("http://{addr}/orders"))
                .header("accept", "application/json")
                .header("user-agent", "bench")
                .body(if size == 0 { Body::empty() } else { Body::from(vec![b'a'; size]) })?;
            let start = Instant::now();
            let response = http.request(request).await?;
            let body = response.into_body().collect().await?.to_bytes();
            let took = start.elapsed();
            assert_eq!(body.len(), size, "the upstream sends back what it gets");
            Ok::<_, BoxError>(took)
        };
        let mut times: [Vec<Duration>; 3] = Default::default();
        let mut added = Vec::new();
        for round in 0..5500 {
            let direct = time(upstream_addr).await?;
            let plains = time(plain).await?;
            let sidecars = time(sidecar).await? + time(sidecar).await?;
            let plains = plains + time(plain).await?;
            // Connections, caches and the token come first.
            if round >= 500 {
                for (times, time) in times.iter_mut().zip([direct, plains / 2, sidecars / 2]) {
                    times.push(time);
                }
                added.push((sidecars.as_secs_f64() - plains.as_secs_f64()) / 2.0);
            }
        }
        let [direct, plain, sidecar] = times.map(|mut times| {
            times.sort();
            times[times.len() / 2].as_secs_f64() * 1e6
        });
        added.sort_by(f64::total_cmp);
        let added = added[added.len() / 2] * 1e6;
        let version = if http2 { "HTTP/2" } else { "HTTP/1.1" };
        let share = added / plain * 100.0;
        println!(
            "{version:<8} {method:<4} {size:>5} bytes       {direct:>6.1}  {plain:>6.1}  {sidecar:>6.1} | \
             {added:>5.1} ({share:.1} %)"
        );
    }
    Ok(())
}

/// Serves either proxy. The sidecar's `main` has time limits besides.
async fn serve<S>(service: S) -> Result<SocketAddr, BoxError>
where
    S: Service<Request, Response = http::Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, Shared::new(service)).await });
    Ok(addr)
}
