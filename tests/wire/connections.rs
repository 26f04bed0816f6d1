//! What becomes of a token request when its connection does not hold, over the ready-made client.

use std::time::Duration;

use tokio::time::timeout;
use tower::{Layer, timeout::TimeoutLayer};
use tower_oauth::{ErrorKind, TokenCache, cache::RefreshPolicy};

use crate::{
    fetch,
    server::{Act, Certificate, Server},
    support::capture_log,
};

/// Of a server that says nothing any more, nobody need wait for the next one.
const SOON: Duration = Duration::from_millis(300);

const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;

#[tokio::test]
async fn a_connection_that_went_silent_is_not_used_again() {
    for server in
        [Server::h2(&[Act::Silent, Act::Ok]).await, Server::plain(&[Act::Silent, Act::Ok]).await]
    {
        let policy = RefreshPolicy::default().fetch_timeout(SOON).unwrap();
        let tokens = TokenCache::builder(server.builder().build().unwrap()).refresh(policy).build();
        assert_eq!(tokens.token().await.unwrap_err().kind(), ErrorKind::Timeout);
        // The next attempt heals it, as soon as there may be one.
        let healed = async {
            loop {
                match tokens.token().await {
                    Ok(token) => return token,
                    Err(error) => tokio::time::sleep(error.retry_after().unwrap()).await,
                }
            }
        };
        let token = timeout(Duration::from_secs(10), healed).await.unwrap();
        assert_eq!(token.expose_secret(), "tok");
        assert_eq!(server.accepted(), 2);
        // The silent one is not left open.
        while server.closed() == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test]
async fn each_request_has_a_connection_of_its_own() {
    for server in [Server::h2(&[Act::Ok]).await, Server::plain(&[Act::Ok]).await] {
        let endpoint = server.builder().build().unwrap();
        for requests in 1..=3 {
            fetch(endpoint.clone()).await.unwrap();
            assert_eq!((server.accepted(), server.requests().len()), (requests, requests));
        }
        while server.closed() < 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// A connection belongs to the runtime that it was made on, which may rest for ever.
#[test]
fn a_runtime_that_nobody_drives_any_more() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let servers = runtime();
    let server = servers.block_on(Server::h2(&[Act::Ok]));
    let _serving = std::thread::spawn(move || servers.block_on(std::future::pending::<()>()));
    let endpoint = server.builder().build().unwrap();
    let first = runtime();
    first.block_on(fetch(endpoint.clone())).unwrap();
    let second = runtime().block_on(async { timeout(SOON * 10, fetch(endpoint)).await });
    second.expect("the connection of a runtime that rests").unwrap();
    drop(first);
}

#[tokio::test]
async fn one_more_attempt_at_once_if_a_connection_ends_before_a_response() {
    for act in [Act::CloseAtOnce, Act::ResetAtOnce, Act::Close, Act::Reset, Act::BreakOff] {
        heals(act, Server::plain(&[act, Act::Ok]).await).await;
        heals(act, Server::tls(&[act, Act::Ok], Certificate::of(|_| {})).await).await;
        fails(act, Server::plain(&[act]).await).await;
    }
    for act in [
        Act::CloseAtOnce,
        Act::ResetAtOnce,
        Act::Close,
        Act::Reset,
        Act::ResetStream(REFUSED_STREAM),
        Act::ResetStream(CANCEL),
        Act::GoAway(0),
        Act::GoAway(2),
    ] {
        heals(act, Server::h2(&[act, Act::Ok]).await).await;
        fails(act, Server::h2(&[act]).await).await;
    }
}

/// A hundred callers, and none of them notices.
async fn heals(act: Act, server: Server) {
    let tokens = TokenCache::new(server.builder().build().unwrap());
    let callers = (0..100).map(|_| {
        let tokens = tokens.clone();
        tokio::spawn(async move { tokens.token().await })
    });
    for caller in callers.collect::<Vec<_>>() {
        let token = caller.await.unwrap();
        assert!(token.is_ok(), "{act:?}: {}", token.unwrap_err());
    }
    assert_eq!(server.accepted(), 2, "{act:?}");
}

/// Once is enough.
async fn fails(act: Act, server: Server) {
    let error = fetch(server.builder().build().unwrap()).await.unwrap_err();
    assert_eq!(server.accepted(), 2, "{act:?}");
    assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Unavailable, true), "{act:?}");
    let said = error.to_string();
    assert!(said.contains(server.url().split('/').nth(2).unwrap()), "{act:?}: {said}");
    assert!(said.contains("closed") || said.contains("reset") || said.contains("file"), "{said}");
}

#[tokio::test]
async fn no_second_attempt_after_a_response_or_a_timeout() {
    for act in [Act::BreakOffInBody, Act::Status(503), Act::Status(400), Act::Status(302)] {
        let server = Server::plain(&[act, Act::Ok]).await;
        fetch(server.builder().build().unwrap()).await.unwrap_err();
        assert_eq!(server.accepted(), 1, "{act:?}");
    }
    for server in [Server::plain(&[Act::Silent]).await, Server::h2(&[Act::Silent]).await] {
        let mut builder = server.builder();
        let http = TimeoutLayer::new(SOON).layer(builder.http_client().unwrap());
        let error = fetch(builder.build_with(http).unwrap()).await.unwrap_err();
        assert!(error.to_string().contains(": request timed out"), "{error}");
        assert_eq!(server.accepted(), 1);
    }
}

/// The URL's host and the cause, in words, for the caller and for the log, and nothing of the query.
#[tokio::test]
async fn why_there_is_no_response() {
    let plain = Server::plain(&[Act::Status(400)]).await;
    let closing = Server::plain(&[Act::CloseAtOnce]).await;
    let secure = Server::tls(&[Act::Ok], Certificate::of(|_| {})).await;
    let elsewhere = Server::tls(
        &[Act::Ok],
        Certificate::of(|params| {
            params.subject_alt_names = vec![rcgen::SanType::DnsName("other".try_into().unwrap())];
        }),
    )
    .await;
    let old = Server::tls(
        &[Act::Ok],
        Certificate::of(|params| params.not_after = rcgen::date_time_ymd(2020, 1, 1)),
    )
    .await;
    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/token", listener.local_addr().unwrap())
    };
    let https = |url: &str| url.replace("http://", "https://");
    let http = |url: &str| url.replace("https://", "http://");
    let unknown = "https://no-such-host.invalid/token".to_owned();
    for (trusted, url, host, cause, hint) in [
        (&plain, nobody, "127.0.0.1", "connection refused", "host and the port"),
        (&plain, unknown, "no-such-host.invalid", "cannot be resolved (DNS)", "the host in `url`"),
        (&plain, https(plain.url()), "127.0.0.1", "does not speak TLS", "scheme and the port"),
        (&plain, http(secure.url()), "127.0.0.1", "does not speak HTTP", "scheme and the port"),
        (&plain, secure.url().into(), "127.0.0.1", "not trusted", "`ca_certificate`"),
        (
            &elsewhere,
            elsewhere.url().into(),
            "127.0.0.1",
            "does not name the host",
            "subjectAltName",
        ),
        (&old, old.url().into(), "127.0.0.1", "has expired", "clock"),
        (&closing, closing.url().into(), "127.0.0.1", "closed before a response", ""),
    ] {
        for query in ["", "?key=s3cr3tkey"] {
            let builder = trusted.builder().url(format!("{url}{query}"));
            let tokens = TokenCache::new(builder.build().unwrap());
            let mut said = None;
            let log = capture_log(async { said = tokens.token().await.err() }).await;
            let error = said.unwrap();
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{url}: {error}");
            for shown in [error.to_string(), log] {
                for part in [host, cause, hint] {
                    assert!(shown.contains(part), "{url}: {part} in {shown}");
                }
                assert!(!shown.contains("s3cr3t") && !shown.contains("key="), "{shown}");
            }
            assert!(!crate::printed(&error).contains("s3cr3t"));
        }
    }
}

#[tokio::test]
async fn what_is_sent_over_the_wire() {
    let server = Server::plain(&[Act::Ok]).await;
    let query = tower_oauth::token_endpoint::ParamEncoding::Query;
    fetch(server.builder().param_encoding(query).build().unwrap()).await.unwrap();
    fetch(server.builder().user_agent("program/1").build().unwrap()).await.unwrap();
    let requests: Vec<_> =
        server.requests().iter().map(|request| request.to_ascii_lowercase()).collect();
    assert!(requests[0].starts_with("post /token?grant_type=client_credentials http/1.1\r\n"));
    assert!(requests[0].contains("\r\ncontent-length: 0\r\n"), "{}", requests[0]);
    assert!(!requests[0].contains("transfer-encoding"), "{}", requests[0]);
    assert!(requests[0].contains("\r\nuser-agent: tower-oauth/"), "{}", requests[0]);
    assert_eq!(requests[1].matches("user-agent: program/1\r\n").count(), 1);
    assert_eq!(requests[1].matches("user-agent").count(), 1);
    assert_eq!(requests[1].matches("content-length: 29\r\n").count(), 1);
    assert_eq!(requests[1].matches("content-length").count(), 1);
}
