//! The sidecar shows what it does, between a caller and a server on loopback ports that is its
//! authorization server and its upstream.

use std::{io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle, time::sleep};
use tower::BoxError;
use tower_oauth::testing::AuthorizationServer;

use crate::{Config, proxy::Proxy, serve};

/// A sidecar on a loopback port.
pub struct Sidecar {
    pub addr: SocketAddr,
    /// Stops it as a signal does.
    pub stop: oneshot::Sender<()>,
    pub serving: JoinHandle<io::Result<()>>,
}

impl Sidecar {
    pub async fn start(settings: &str, token_url: &str, upstream: &str) -> Result<Self, BoxError> {
        let config = format!(
            "{settings}\nroute = [{{ prefix = '/', upstream = '{upstream}' }}]\n\
             fetcher = {{ url = '{token_url}', client_id = 'client', client_secret = 'secret' }}",
        );
        let proxy = Proxy::new(Config::parse(&config)?)?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = serve(listener, proxy, async { _ = stopped.await });
        Ok(Self { addr, stop, serving: tokio::spawn(serving) })
    }

    pub fn request(&self, method: Method, path: &str) -> http::request::Builder {
        Request::builder().method(method).uri(format!("http://{}{path}", self.addr))
    }
}

/// Prints what happened, and fails if that is wrong.
fn show(what: impl AsRef<str>, is_right: bool) -> Result<(), BoxError> {
    println!("{} {}", if is_right { "ok   " } else { "WRONG" }, what.as_ref());
    if is_right { Ok(()) } else { Err(what.as_ref().into()) }
}

pub async fn text(response: Response<Incoming>) -> Result<String, BoxError> {
    Ok(String::from_utf8(response.into_body().collect().await?.to_bytes().into())?)
}

pub async fn run() -> Result<(), BoxError> {
    let server = AuthorizationServer::new();
    let listening = server.listen().await?;
    server.down(true);
    let sidecar = Sidecar::start("", &listening.uri("/token"), &listening.uri("")).await?;
    let get = |path| sidecar.request(Method::GET, path).body(Full::<Bytes>::default());
    let mut client = Client::builder(TokioExecutor::new());
    let http1 = client.build_http::<Full<Bytes>>();
    let http2 = client.http2_only(true).build_http::<Full<Bytes>>();

    let response = http1.request(get("/auth")?).await?;
    let is_right = response.status() == 503;
    let wait = response.headers()[header::RETRY_AFTER].to_str()?.parse()?;
    show(format!("without a token, 503: {}", text(response).await?), is_right)?;
    server.down(false);
    sleep(Duration::from_secs(wait)).await;

    let response = http1.request(get("/readyz")?).await?;
    show(format!("/readyz {wait} s later: {}", response.status()), response.status() == 200)?;
    let response = http1.request(get("/auth")?).await?;
    let value = response.headers().get(header::AUTHORIZATION);
    show("/auth gives another proxy the token", value.is_some_and(|it| it == "Bearer token-1"))?;

    let own = sidecar.request(Method::GET, "/orders").header(header::AUTHORIZATION, "Basic b3du");
    let response = http1.request(own.body(Full::default())?).await?;
    let arrived = server.authorizations().join(", ");
    let is_right = response.status() == 200 && arrived == "Bearer token-1";
    show(format!("a request with an Authorization of its own arrived with {arrived}"), is_right)?;

    server.revoke_all();
    server.token_endpoint().delay(Duration::from_millis(500));
    let post = sidecar.request(Method::POST, "/orders").body(Full::from("three apples"))?;
    let waiting = tokio::spawn(http2.request(post));
    sleep(Duration::from_millis(100)).await;
    let page = text(http1.request(get("/metrics")?).await?).await?;
    let line = page.lines().find(|line| line.contains("fetches_total{") && line.contains("rej"));
    let line = line.unwrap_or_default();
    show(format!("the token was revoked: {line}"), line.ends_with("} 1"))?;
    let _ = sidecar.stop.send(());
    let response = text(waiting.await??).await?;
    let is_right = response == "received 12 bytes\n";
    show("a POST over HTTP/2 waited for another token, while the sidecar stopped", is_right)?;
    sidecar.serving.await??;
    show("then the sidecar ended", true)
}
