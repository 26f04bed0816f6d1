//! The sidecar over sockets, in front of an upstream that sends back what it gets, and beside nginx.

use std::{net::SocketAddr, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Request as Incoming, State},
    response::Response as Outgoing,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy, split},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tower::{BoxError, ServiceExt};
use tower_oauth::testing::{AuthorizationServer, Listener, ResponseTemplate};

use crate::proxy::{self, Config, Proxy};

mod load;
mod nginx;
mod world;

use world::*;

#[tokio::test]
async fn trailers_pass_both_ways_while_the_body_still_flows() {
    let world = World::start("").await;
    for http2 in [true, false] {
        let (frames, body) = mpsc::unbounded_channel::<Result<_, BoxError>>();
        let stream = UnboundedReceiverStream::new(body);
        let request = world
            .sidecar
            .request(Method::POST, "/things")
            .header(header::TE, "trailers")
            .header(header::TRAILER, "checksum")
            .body(StreamBody::new(stream).boxed_unsync())
            .unwrap();
        frames.send(Ok(Frame::data(Bytes::from("first")))).unwrap();
        let mut response = client(http2).request(request).await.unwrap();
        // The request has not ended, and the response is here already.
        let first = response.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(first, "first");
        let mut trailers = HeaderMap::new();
        trailers.insert("checksum", HeaderValue::from_static("1234"));
        frames.send(Ok(Frame::trailers(trailers.clone()))).unwrap();
        drop(frames);
        let rest = response.into_body().collect().await.unwrap();
        assert_eq!(rest.trailers(), Some(&trailers), "http2: {http2}");
    }
}

#[tokio::test]
async fn a_websocket_is_raw_bytes_after_the_101() {
    let world = World::start("").await;
    let mut socket = TcpStream::connect(world.sidecar.addr).await.unwrap();
    let head = "GET /socket HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\n\
                Upgrade: websocket\r\nAuthorization: Basic b3du\r\n\r\n";
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut got = Vec::new();
    while !got.ends_with(b"\r\n\r\n") {
        got.push(socket.read_u8().await.unwrap());
    }
    let got = String::from_utf8(got).unwrap().to_lowercase();
    assert!(got.starts_with("http/1.1 101 ") && !got.contains("content-length"), "{got}");
    socket.write_all(b"\x00\xffbytes").await.unwrap();
    let mut echoed = [0; 7];
    socket.read_exact(&mut echoed).await.unwrap();
    assert_eq!(&echoed, b"\x00\xffbytes");
    // One side ends, and the other may still speak.
    socket.shutdown().await.unwrap();
    let mut rest = Vec::new();
    socket.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b", and that was all");
    assert_eq!(world.server.authorizations(), ["Bearer token-1"]);
}

#[tokio::test]
async fn no_other_protocol_is_switched_to() {
    let world = World::start("").await;
    let request = world.sidecar.request(Method::GET, "/");
    let request = request.header(header::CONNECTION, "upgrade, http2-settings");
    let request = request.header(header::UPGRADE, "h2c").header("http2-settings", "AAMAAABk");
    let response = client(false).request(request.body(full("")).unwrap()).await.unwrap();
    assert_eq!(response.status(), 200);
    for name in ["got-upgrade", "got-connection", "got-http2-settings"] {
        assert!(!response.headers().contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn a_response_to_head_keeps_the_length_that_it_has_or_lacks() {
    let server = AuthorizationServer::new();
    let token_endpoint = server.listen().await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let sidecar = Sidecar::start("", &token_endpoint.uri("/token"), &origin).await.unwrap();
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        for length in ["", "content-length: 1234\r\n"] {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(tcp.read_u8().await.unwrap());
            }
            let response = format!("HTTP/1.1 200 OK\r\n{length}\r\n");
            tcp.write_all(response.as_bytes()).await.unwrap();
        }
    });
    for length in [None, Some("1234")] {
        let request = sidecar.request(Method::HEAD, "/").body(full("")).unwrap();
        let response = client(false).request(request).await.unwrap();
        let got = response.headers().get(header::CONTENT_LENGTH);
        assert_eq!(got.map(HeaderValue::as_bytes), length.map(str::as_bytes));
    }
}

#[tokio::test]
async fn a_callers_own_authorization_never_leaves() {
    let world = World::start("").await;
    for http2 in [false, true] {
        for connection in ["keep-alive", "authorization"] {
            let mut request = world
                .sidecar
                .request(Method::POST, "/")
                .header(header::AUTHORIZATION, "Basic b3du")
                .header(header::AUTHORIZATION, "Bearer token-1")
                .header(header::PROXY_AUTHORIZATION, "Basic b3du");
            if !http2 {
                request = request.header(header::CONNECTION, connection);
            }
            let response = client(http2).request(request.body(full("")).unwrap()).await.unwrap();
            assert_eq!(response.status(), 200);
            assert_eq!(response.headers()["got-host"], world.upstream.to_string());
            assert!(!response.headers().contains_key("got-proxy-authorization"));
        }
    }
    assert_eq!(world.server.authorizations(), ["Bearer token-1"; 4]);
}

/// Callers get what the upstream says, whatever the path is.
#[tokio::test]
async fn a_caller_never_gets_the_token() {
    let world = World::start("").await;
    for path in ["/auth", "/auth/orders", "/metrics", "/readyz", "/auth/.."] {
        let request = world.sidecar.request(Method::GET, path).body(full("")).unwrap();
        let response = client(false).request(request).await.unwrap();
        assert!(!response.headers().contains_key(header::AUTHORIZATION), "{path}");
        assert_eq!(response.headers()["got-host"], world.upstream.to_string(), "{path}");
    }
    for method in ["CONNECT", "TRACE"] {
        let mut socket = TcpStream::connect(world.sidecar.addr).await.unwrap();
        let head = format!("{method} /orders HTTP/1.1\r\nHost: a\r\n\r\n");
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut got = [0; 12];
        socket.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"HTTP/1.1 404", "{method}");
    }
}

#[tokio::test]
async fn a_callers_own_authorization_stays_if_that_is_configured() {
    let world = World::start("keep_authorization = true").await;
    for own in [Some("Basic b3du"), None] {
        let mut request = world.sidecar.request(Method::GET, "/");
        if let Some(own) = own {
            request = request.header(header::AUTHORIZATION, own);
        }
        client(false).request(request.body(full("")).unwrap()).await.unwrap();
    }
    assert_eq!(world.server.authorizations(), ["Basic b3du", "Bearer token-1"]);
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_not_replayed() {
    for (limit, status) in [(4, 200), (3, 401)] {
        let world = World::start(&format!("replay_limit = {limit}")).await;
        world.server.reject_next(1);
        let request = world.sidecar.request(Method::POST, "/").body(full("four")).unwrap();
        let response = client(true).request(request).await.unwrap();
        assert_eq!(response.status(), status, "{limit}");
    }
}

#[tokio::test]
async fn a_caller_that_waits_for_a_token_gets_its_response_after_the_signal() {
    for http2 in [false, true] {
        let world = World::start("").await;
        world.server.token_endpoint().delay(Duration::from_millis(300));
        let request = world.sidecar.request(Method::POST, "/").body(full("hello")).unwrap();
        let waiting = tokio::spawn(client(http2).request(request));
        while world.server.token_requests() == 0 {
            tokio::task::yield_now().await;
        }
        world.sidecar.stop.send(()).unwrap();
        let response = waiting.await.unwrap().unwrap();
        assert_eq!(text(response).await.unwrap(), "hello");
        timeout(Duration::from_secs(5), world.sidecar.serving).await.unwrap().unwrap();
        assert!(TcpStream::connect(world.sidecar.addr).await.is_err());
    }
}

/// Half a head, half of HTTP/2's preface, and all of it and then nothing.
#[tokio::test]
async fn a_caller_that_has_sent_no_request_holds_the_end_up_for_half_a_minute_at_most() {
    for (sent, most) in
        [("GET /orders HTT", 30), ("PRI * HT", 0), ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 30)]
    {
        let world = World::start("").await;
        let mut socket = TcpStream::connect(world.sidecar.addr).await.unwrap();
        socket.write_all(sent.as_bytes()).await.unwrap();
        sleep(Duration::from_millis(100)).await;
        world.sidecar.stop.send(()).unwrap();
        tokio::time::pause();
        let start = Instant::now();
        timeout(Duration::from_secs(60), world.sidecar.serving).await.expect(sent).unwrap();
        assert!(start.elapsed() <= Duration::from_secs(most + 1), "{sent}: {:?}", start.elapsed());
        tokio::time::resume();
    }
}

#[tokio::test]
async fn without_a_token_nothing_is_sent_and_the_caller_learns_when_to_ask_again() {
    let world = World::start("").await;
    world
        .server
        .token_endpoint()
        .always(ResponseTemplate::status(StatusCode::BAD_GATEWAY).retry_after(7));
    let request = world.sidecar.request(Method::GET, "/orders").body(full("")).unwrap();
    let mut responses = vec![client(false).request(request).await.unwrap()];
    for path in ["/auth", "/auth/orders/1", "/readyz"] {
        responses.push(world.sidecar.ask(path).await);
    }
    for response in responses {
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[header::RETRY_AFTER], "7");
        assert!(!response.headers().contains_key(header::AUTHORIZATION));
    }
    assert_eq!((world.server.token_requests(), world.server.resource_requests()), (1, 0));
}

/// The log says why, with all causes. A caller that may only send requests learns no names of files or
/// hosts.
#[tokio::test]
async fn why_there_is_no_response_is_logged_and_not_told_to_callers() {
    let server = AuthorizationServer::new();
    let token_endpoint = server.listen().await.unwrap();
    for (secret, status, logged) in [
        ("'secret'", 502, "Connection refused"),
        ("{ file = '/no/such/secret' }", 503, "/no/such/secret"),
    ] {
        let log = Log::default();
        let _guard = log.capture();
        // Nobody listens at the upstream.
        let config = format!(
            "routes = {{ '/' = 'http://127.0.0.1:1' }}
            fetcher = {{ url = '{}', client_id = 'client', client_secret = {secret} }}",
            token_endpoint.uri("/token"),
        );
        let sidecar = Sidecar::with_config(&config).await.unwrap();
        let request = sidecar.request(Method::GET, "/orders").body(full("")).unwrap();
        let response = client(false).request(request).await.unwrap();
        assert_eq!(response.status(), status);
        let (body, log) = (text(response).await.unwrap(), log.text());
        for detail in [logged, "127.0.0.1"] {
            assert!(!body.contains(detail), "{body}");
        }
        assert_eq!(log.matches(logged).count(), 1, "{log}");
        assert!(!log.contains("/orders"), "a path may be a secret: {log}");
    }
}

/// As the rules of Prometheus' text format want it: each metric once, its lines together.
#[tokio::test]
async fn each_metric_says_what_it_is_before_its_lines() {
    let world = World::start("").await;
    let page = text(world.sidecar.ask("/metrics").await).await.unwrap();
    let (mut seen, mut typed) = (Vec::new(), "");
    for line in page.lines() {
        if let Some(line) = line.strip_prefix("# HELP ") {
            typed = line.split(' ').next().unwrap();
            assert!(!seen.contains(&typed), "{page}");
            seen.push(typed);
        } else if let Some(line) = line.strip_prefix("# TYPE ") {
            let kind = if typed.ends_with("_total") { "counter" } else { "gauge" };
            assert_eq!(line, format!("{typed} {kind}"));
        } else {
            assert!(line.starts_with(&format!("{typed}{{cache=\"sidecar\"")), "{line}");
        }
    }
    assert_eq!(seen.len(), 12, "{page}");
}

#[test]
fn the_longest_prefix_counts_and_ends_with_a_segment() {
    let routes = ["/", "/a", "/a/b", "/a/b/", "/ab"];
    let routes = routes.map(|prefix| (prefix.to_owned(), prefix.to_owned())).into();
    for (path, expected) in [
        ("/c", Some("/")),
        ("/a", Some("/a")),
        ("/a/c", Some("/a")),
        ("/a/bc", Some("/a")),
        ("/a/b", Some("/a/b")),
        ("/a/b/c", Some("/a/b/")),
        ("/abc", Some("/")),
        ("/ab/c", Some("/ab")),
        ("*", None),
    ] {
        let upstream = proxy::upstream(&routes, path);
        assert_eq!(upstream.map(String::as_str), expected, "{path}");
    }
}

#[test]
fn errors_in_the_configuration_say_where_and_not_the_line_itself() {
    let text = "[fetcher]\nurl = 'http://localhost/'\nclient_secret = 'hunter2' x\n";
    let why = Config::parse(text).err().unwrap();
    assert!(why.starts_with("line 3: ") && !why.contains("hunter2"), "{why}");

    for value in ["header = 'hunter2'", "param = 'hunter2'", "response_field = 'hunter2'"] {
        let text = format!("[fetcher]\nurl = 'http://localhost/'\n{value}\n");
        let why = Config::parse(&text).err().unwrap();
        assert!(!why.contains("hunter2"), "{why}");
    }

    let why = Config::parse("\nlisten = 'localhost:8080'").err().unwrap();
    assert!(why.starts_with("line 2: ") && why.contains("an IP address and a port"), "{why}");

    let fetcher = "fetcher = { url = 'http://localhost/', client_id = 'a', client_secret = 'b' }";
    for (route, expected) in [
        ("a = 'https://a.example'", "must start with a slash"),
        ("'/a' = 'https://a.example/v1'", "the upstream of \"/a\": "),
        ("'/a?b' = 'https://a.example'", "be only a path"),
        ("'/a b' = 'https://a.example'", "be only a path"),
        ("'/a#b' = 'https://a.example'", "be only a path"),
        ("'/ws' = 'wss://a.example'", "write http or https"),
        ("'/ws' = 'WS://a.example'", "write http or https"),
    ] {
        let config = Config::parse(&format!("routes = {{ {route} }}\n{fetcher}")).unwrap();
        let why = Proxy::new(config).err().unwrap().to_string();
        assert!(why.contains(expected), "{why}");
    }
}
