//! The sidecar of `sidecar/`, over real connections; and behind a real nginx, where there is one.

#[path = "../sidecar/config.rs"]
mod config;
#[path = "../sidecar/proxy.rs"]
mod proxy;
#[path = "../sidecar/serve.rs"]
mod serve;

use std::{
    convert::Infallible,
    env, fs,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header::AUTHORIZATION};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::BoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tower::BoxError;
use tower_oauth::testing::{AuthorizationServer, Listener};

use self::{config::Config, proxy::Proxy};

type Result<T = ()> = std::result::Result<T, BoxError>;

struct Sidecar {
    here: String,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

/// A sidecar whose route for everything has these settings.
async fn sidecar(upstream: &str, issuer: &Listener, more: &str) -> Result<Sidecar> {
    let config = Config::read(&format!(
        "[[route]]\nprefix = \"/\"\nupstream = \"{upstream}\"\n{more}\n[route.fetcher]\nurl = \"{}\"\n\
         client_id = \"client\"\nclient_secret = \"secret\"\n",
        issuer.uri("/token")
    ))?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let here = format!("http://{}", listener.local_addr()?);
    let (stop, stopped) = oneshot::channel();
    let proxy = Proxy::new(config.route)?;
    let running = tokio::spawn(serve::serve(proxy, listener, async { drop(stopped.await) }));
    Ok(Sidecar { here, stop, running })
}

/// A server that gives back the body it gets, with its trailers, and says in a header which
/// `Authorization` it got.
async fn echo() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let here = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let answer = service_fn(|request: Request<Incoming>| async {
                let got: Vec<_> =
                    request.headers().get_all(AUTHORIZATION).iter().cloned().collect();
                let mut response = Response::new(request.into_body());
                for value in got {
                    response.headers_mut().append("x-got", value);
                }
                Ok::<_, Infallible>(response)
            });
            let server = auto::Builder::new(TokioExecutor::new());
            tokio::spawn(async move {
                server.serve_connection(TokioIo::new(connection), answer).await.ok();
            });
        }
    });
    Ok(here)
}

async fn get(url: &str) -> Result<Response<Incoming>> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    Ok(client.get(url.parse()?).await?)
}

fn got<B>(response: &Response<B>) -> Vec<&str> {
    response.headers().get_all("x-got").iter().filter_map(|value| value.to_str().ok()).collect()
}

#[tokio::test]
async fn a_callers_own_authorization_leaves_only_if_told_so() -> Result {
    let (server, upstream) = (AuthorizationServer::new(), echo().await?);
    let issuer = server.listen().await?;
    let drops = sidecar(&upstream, &issuer, "").await?;
    let keeps = sidecar(&upstream, &issuer, "keep_authorization = true").await?;
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    for (sidecar, expected) in [(&drops, "Bearer token-1"), (&keeps, "Bearer mine")] {
        let request = Request::get(format!("{}/a?b", sidecar.here));
        // Named in `Connection` it would be dropped by a careless proxy after the check.
        let request = request.header("connection", "authorization");
        let response = client
            .request(request.header("authorization", "Bearer mine").body(Empty::new())?)
            .await?;
        assert_eq!(got(&response), [expected]);
    }
    Ok(())
}

#[tokio::test]
async fn http2_streams_both_ways_at_once_with_trailers() -> Result {
    let (server, upstream) = (AuthorizationServer::new(), echo().await?);
    let issuer = server.listen().await?;
    let sidecar = sidecar(&upstream, &issuer, "").await?;
    let (messages, body) =
        tokio::sync::mpsc::channel::<std::result::Result<Frame<Bytes>, BoxError>>(1);
    let body = StreamBody::new(ReceiverStream::new(body));
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let request = Request::post(format!("{}/s", sidecar.here)).body(body)?;
    // The response is there before the first byte of the body.
    let response = timeout(Duration::from_secs(5), client.request(request)).await??;
    assert_eq!(got(&response), ["Bearer token-1"]);
    let mut answers = response.into_body();
    for message in ["one", "two", "three"] {
        messages.send(Ok(Frame::data(message.into()))).await?;
        let answer = timeout(Duration::from_secs(5), answers.frame()).await?.ok_or("ended")??;
        assert_eq!(answer.into_data().ok().as_deref(), Some(message.as_bytes()));
    }
    let trailers = HeaderMap::from_iter([("grpc-status".parse()?, HeaderValue::from_static("0"))]);
    messages.send(Ok(Frame::trailers(trailers.clone()))).await?;
    drop(messages);
    let last = timeout(Duration::from_secs(5), answers.frame()).await?.ok_or("ended")??;
    assert_eq!(last.into_trailers().ok(), Some(trailers));
    Ok(())
}

#[tokio::test]
async fn a_websocket_goes_through() -> Result {
    let server = AuthorizationServer::new();
    let issuer = server.listen().await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let upstream = format!("http://{}", listener.local_addr()?);
    let seen = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await?;
        let head = head(&mut socket).await?;
        let switch = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
        socket.write_all(switch).await?;
        let mut ping = [0; 4];
        socket.read_exact(&mut ping).await?;
        socket.write_all(&ping).await?;
        Ok::<_, BoxError>(head)
    });
    let sidecar = sidecar(&upstream, &issuer, "").await?;
    let mut socket = TcpStream::connect(sidecar.here.trim_start_matches("http://")).await?;
    let request = b"GET /ws HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                    authorization: Bearer mine\r\n\r\n";
    socket.write_all(request).await?;
    let answer = timeout(Duration::from_secs(5), head(&mut socket)).await??;
    assert!(
        answer.starts_with("HTTP/1.1 101") && answer.contains("upgrade: websocket"),
        "{answer}"
    );
    socket.write_all(b"ping").await?;
    let mut ping = [0; 4];
    timeout(Duration::from_secs(5), socket.read_exact(&mut ping)).await??;
    assert_eq!(&ping, b"ping");
    let seen = seen.await??;
    assert!(seen.contains("authorization: Bearer token-1") && !seen.contains("mine"), "{seen}");
    Ok(())
}

/// Reads to the end of a head.
async fn head(socket: &mut TcpStream) -> Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await?);
    }
    Ok(String::from_utf8(head)?)
}

#[tokio::test]
async fn callers_that_wait_are_served_before_it_ends() -> Result {
    let server = AuthorizationServer::new();
    server.token_endpoint().delay(Duration::from_millis(500));
    let issuer = server.listen().await?;
    let Sidecar { here, stop, running } = sidecar(&issuer.uri(""), &issuer, "").await?;
    let url = format!("{here}/a");
    let mut callers = JoinSet::new();
    for _ in 0..20 {
        let url = url.clone();
        callers.spawn(async move { Ok::<_, BoxError>(get(&url).await?.status()) });
    }
    while server.token_requests() == 0 {
        sleep(Duration::from_millis(5)).await;
    }
    sleep(Duration::from_millis(100)).await; // so that all of them are connected
    let _ = stop.send(());
    timeout(Duration::from_secs(5), running).await??;
    for status in callers.join_all().await {
        assert_eq!(status?, 200);
    }
    assert_eq!(server.token_requests(), 1);
    assert!(get(&url).await.is_err());
    Ok(())
}

#[tokio::test]
async fn without_a_token_callers_are_told_when_to_come_again() -> Result {
    let server = AuthorizationServer::new();
    server.down(true);
    let issuer = server.listen().await?;
    let sidecar = sidecar(&issuer.uri(""), &issuer, "").await?;
    for path in ["/a", "/auth/a", "/readyz"] {
        let response = get(&format!("{}{path}", sidecar.here)).await?;
        assert_eq!(response.status(), 503, "{path}");
        assert!(response.headers().contains_key("retry-after"), "{path}");
    }
    assert_eq!(server.resource_requests(), 0);
    let metrics = get(&format!("{}/metrics", sidecar.here)).await?.into_body().collect().await?;
    let metrics = String::from_utf8(metrics.to_bytes().to_vec())?;
    assert!(metrics.contains("oauth_client_ready{route=\"/\"} 0\n"), "{metrics}");
    Ok(())
}

#[test]
fn it_listens_on_loopback_unless_told_otherwise() {
    let text = |listen: &str| format!("listen = \"0.0.0.0:1\"\n{listen}\nroute = []");
    assert!(Config::read(&text("")).is_err());
    assert!(Config::read(&text("insecure_listen = true")).is_ok());
    assert!(Config::read("route = []").unwrap().listen.ip().is_loopback());
}

/// 10,000 requests, of which half have a body. Tokens live 4 s, all are revoked three times, and the token
/// endpoint is away three times, each time just after it gave out a token: so nothing may fail.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_requests_without_a_failure() -> Result {
    const REQUESTS: usize = 10_000;
    let server = AuthorizationServer::new();
    server.lifetime(Duration::from_secs(4));
    let issuer = server.listen().await?;
    let sidecar = sidecar(&issuer.uri(""), &issuer, "").await?;
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let url: http::Uri = format!("{}/a", sidecar.here).parse()?;
    let trouble = server.clone();
    let trouble = tokio::spawn(async move {
        for _ in 0..3 {
            trouble.revoke_all();
            sleep(Duration::from_millis(700)).await;
            let before = trouble.token_requests();
            while trouble.token_requests() == before {
                sleep(Duration::from_millis(5)).await;
            }
            sleep(Duration::from_millis(100)).await; // until the token has arrived
            trouble.down(true);
            sleep(Duration::from_millis(500)).await;
            trouble.down(false);
            sleep(Duration::from_millis(1500)).await; // the longest pause after one failure
        }
    });
    let (start, mut failed) = (Instant::now(), Vec::new());
    for round in 0..REQUESTS / 20 {
        let mut running = JoinSet::new();
        for n in 0..20 {
            let body = if n % 2 == 0 { Bytes::new() } else { Bytes::from_static(b"body") };
            let mut request = Request::post(url.clone()).body(Full::new(body))?;
            let client = client.clone();
            request.headers_mut().insert("authorization", HeaderValue::from_static("Bearer mine"));
            running.spawn(async move {
                let response = client.request(request).await?;
                let status = response.status();
                response.into_body().collect().await?;
                Ok::<_, BoxError>(status)
            });
        }
        for result in running.join_all().await {
            match result {
                Ok(status) if status == 200 => {}
                Ok(status) => failed.push(status.to_string()),
                Err(error) => failed.push(error.to_string()),
            }
        }
        // As slow as the trouble is.
        let due = Duration::from_secs(14).mul_f64(round as f64 / (REQUESTS / 20) as f64);
        sleep(due.saturating_sub(start.elapsed())).await;
    }
    assert!(trouble.is_finished(), "the requests were over before the trouble");
    assert_eq!(failed, Vec::<String>::new());
    let (tokens, rejected) = (server.token_requests(), server.rejected_requests());
    println!(
        "{REQUESTS} requests, 0 failed, {tokens} token requests, {rejected} rejected and sent again"
    );
    assert!(rejected > 0 && tokens < 40, "{rejected} {tokens}");
    assert!(!server.authorizations().iter().any(|token| token.contains("mine")));
    Ok(())
}

/// nginx asks the sidecar for the token, and talks to the upstream by itself.
#[tokio::test]
async fn nginx_gets_the_token_by_auth_request() -> Result {
    if Command::new("nginx").arg("-v").stderr(Stdio::null()).status().is_err() {
        assert!(
            env::var_os("REQUIRE_NGINX").is_none(),
            "REQUIRE_NGINX is set, and there is no nginx"
        );
        eprintln!(
            "SKIPPED: there is no nginx here. Install it (Debian: nginx-light) to run this test."
        );
        return Ok(());
    }
    let (server, upstream) = (AuthorizationServer::new(), echo().await?);
    let issuer = server.listen().await?;
    // An upstream that nobody listens on: what is forwarded can only have come from nginx.
    let sidecar = sidecar("http://127.0.0.1:1", &issuer, "").await?;
    let folder = env::temp_dir().join(format!("tower-oauth-nginx-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let port = TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port();
    let text = include_str!("nginx.conf")
        .replace("PORT", &port.to_string())
        .replace("SIDECAR", &sidecar.here)
        .replace("UPSTREAM", &upstream);
    fs::write(folder.join("nginx.conf"), text)?;
    let mut nginx = Command::new("nginx")
        .args(["-e", "stderr", "-c", "nginx.conf", "-p"])
        .arg(&folder)
        .spawn()?;
    let result = behind_nginx(&format!("http://127.0.0.1:{port}/things")).await;
    nginx.kill()?;
    nginx.wait()?;
    fs::remove_dir_all(&folder)?;
    result?;
    assert_eq!(server.token_requests(), 1);
    Ok(())
}

async fn behind_nginx(url: &str) -> Result {
    let start = Instant::now();
    while get(url).await.is_err() {
        assert!(start.elapsed() < Duration::from_secs(10), "nginx does not answer");
        sleep(Duration::from_millis(20)).await;
    }
    let client = Client::builder(TokioExecutor::new()).build_http::<BoxBody<Bytes, Infallible>>();
    let request = Request::post(url).header("authorization", "Bearer mine");
    let response = client.request(request.body(Full::from("a body").boxed())?).await?;
    assert_eq!((response.status().as_u16(), got(&response)), (200, vec!["Bearer token-1"]));
    assert_eq!(response.into_body().collect().await?.to_bytes(), "a body");
    Ok(())
}
