//! The server to test against, tested.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Request, Response, StatusCode, Version,
    header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, Empty, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use tokio::{
    task::JoinSet,
    time::{Instant, advance, sleep, timeout},
};
use tower::BoxError;
use tower::{Service, ServiceExt};
use tower_oauth::{
    Error, ErrorKind, RefreshReason, TokenCache, TokenRequest,
    cache::Clock,
    testing::{AuthorizationServer, Body, Fetcher, ResponseTemplate, TokioClock},
};

const FORM: &str = "application/x-www-form-urlencoded";
const GRANT: &str = "grant_type=client_credentials&client_id=client&client_secret=secret";
const SECOND: Duration = Duration::from_secs(1);

/// `client:secret`
const BASIC: &str = "Basic Y2xpZW50OnNlY3JldA==";

fn token_request(form: &str) -> Request<Full<Bytes>> {
    Request::post("/token").header(CONTENT_TYPE, FORM).body(Full::from(form.to_owned())).unwrap()
}

fn with(mut request: Request<Full<Bytes>>, authorization: &str) -> Request<Full<Bytes>> {
    let value = HeaderValue::from_str(authorization).unwrap();
    request.headers_mut().append(AUTHORIZATION, value);
    request
}

fn resource_request() -> Request<Full<Bytes>> {
    Request::get("http://api.test/resource").body(Full::default()).unwrap()
}

async fn send(server: &AuthorizationServer, request: Request<Full<Bytes>>) -> Response<Body> {
    server.clone().oneshot(request).await.unwrap()
}

async fn get(server: &AuthorizationServer, secret: &str) -> StatusCode {
    send(server, with(resource_request(), &format!("Bearer {secret}"))).await.status()
}

async fn json(response: Response<Body>) -> Value {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

async fn fetch(mut fetcher: Fetcher) -> Result<tower_oauth::Token, Error> {
    fetcher.ready().await?.call(TokenRequest::new(RefreshReason::Cold)).await
}

fn challenge(response: &Response<Body>) -> &str {
    response.headers().get(WWW_AUTHENTICATE).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_token_for_either_client_authentication() {
    let server = AuthorizationServer::new();
    server.client("id: ä", "p+ %&");
    let grant = "grant_type=client_credentials&scope=read%20write";
    // `id%3A+%C3%A4:p%2B+%25%26`
    let encoded = "basic aWQlM0ErJUMzJUE0OnAlMkIrJTI1JTI2";
    for request in [
        token_request(GRANT),
        with(token_request(grant), BASIC),
        with(token_request(&format!("{grant}&client_id=client")), BASIC),
        with(token_request(grant), encoded),
        token_request(&format!("{grant}&client_id=id:+%C3%A4&client_secret=p%2B+%25%26")),
    ] {
        let response = send(&server, request).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
        let granted = json(response).await;
        assert_eq!(granted["token_type"], "Bearer");
        assert_eq!(granted["expires_in"], 3600);
        assert_eq!(get(&server, granted["access_token"].as_str().unwrap()).await, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_token_request_that_is_wrong() {
    let server = AuthorizationServer::new();
    let grant = "grant_type=client_credentials";
    let json_body =
        Request::post("/token").header(CONTENT_TYPE, "application/json").body(Full::from("{}"));
    let large = format!("{GRANT}&padding={}", "x".repeat(64 * 1024));
    for (request, status, code, scheme) in [
        (token_request(&GRANT.replace("=secret", "=wrong")), 400, "invalid_client", ""),
        (token_request(&GRANT.replace("=client&", "=nobody&")), 400, "invalid_client", ""),
        (token_request(grant), 400, "invalid_client", ""),
        (with(token_request(grant), "Basic Y2xpZW50Ondyb25n"), 401, "invalid_client", "Basic "),
        (with(token_request(grant), "Basic %%%"), 401, "invalid_client", "Basic "),
        (with(token_request(grant), "Bearer token"), 401, "invalid_client", "Basic "),
        // `client:secret=x`, which was not encoded before
        (with(token_request(grant), "Basic Y2xpZW50OnNlY3JldD14"), 401, "invalid_client", "Basic "),
        (with(token_request(GRANT), BASIC), 400, "invalid_request", ""),
        (with(with(token_request(grant), BASIC), BASIC), 400, "invalid_request", ""),
        (
            with(token_request(&format!("{grant}&client_id=nobody")), BASIC),
            400,
            "invalid_request",
            "",
        ),
        (with(token_request(""), BASIC), 400, "invalid_request", ""),
        (with(token_request("grant_type="), BASIC), 400, "invalid_request", ""),
        (with(token_request(&format!("{grant}&{grant}")), BASIC), 400, "invalid_request", ""),
        (
            with(token_request(&format!("{grant}&scope=a&scope=b")), BASIC),
            400,
            "invalid_request",
            "",
        ),
        (with(token_request("grant_type=password"), BASIC), 400, "unsupported_grant_type", ""),
        (json_body.unwrap(), 400, "invalid_request", ""),
        (token_request(&large), 400, "invalid_request", ""),
    ] {
        let sent = format!("{request:?}");
        let response = send(&server, request).await;
        assert_eq!(response.status().as_u16(), status, "{sent}");
        assert!(challenge(&response).starts_with(scheme), "{sent}");
        assert_eq!(challenge(&response).is_empty(), scheme.is_empty(), "{sent}");
        assert_eq!(json(response).await["error"], code, "{sent}");
    }
    let get = Request::get("/token").body(Full::default()).unwrap();
    assert_eq!(send(&server, get).await.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(server.token_requests(), 18);
}

#[tokio::test]
async fn the_resource_wants_one_bearer_token() {
    let server = AuthorizationServer::new();
    let token = server.issue();
    let other = AuthorizationServer::new().token_prefix("other-").issue();
    let bearer = |token: &str| with(resource_request(), &format!("Bearer {token}"));
    let good = bearer(token.expose_secret());
    for (request, status, error) in [
        (good.clone(), 200, ""),
        (with(resource_request(), &format!("bearer {}", token.expose_secret())), 200, ""),
        (resource_request(), 401, ""),
        (with(resource_request(), BASIC), 401, ""),
        (bearer("unknown"), 401, "invalid_token"),
        (bearer(other.expose_secret()), 401, "invalid_token"),
        (bearer(""), 400, "invalid_request"),
        (bearer("two words"), 400, "invalid_request"),
        (with(good, "Bearer again"), 400, "invalid_request"),
    ] {
        let sent = format!("{request:?}");
        let response = send(&server, request).await;
        assert_eq!(response.status(), status, "{sent}");
        let challenge = challenge(&response);
        assert_eq!(challenge.starts_with("Bearer realm="), status != 200, "{sent}");
        match error {
            "" => assert!(!challenge.contains("error"), "{sent}"),
            _ => assert!(challenge.contains(&format!("error=\"{error}\"")), "{sent}"),
        }
    }
    assert_eq!((server.resource_requests(), server.rejected_requests()), (9, 7));
    assert_eq!(
        server.authorizations(),
        [
            "Bearer token-1",
            "bearer token-1",
            "",
            BASIC,
            "Bearer unknown",
            "Bearer other-1",
            "Bearer ",
            "Bearer two words",
            "Bearer token-1, Bearer again",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn tokens_expire_on_tokios_clock() {
    let server = AuthorizationServer::new();
    let long = server.issue();
    server.lifetime(2 * SECOND);
    let short = server.issue();
    server.lifetime(None);
    let endless = server.issue();
    assert_eq!(long.lifetime(), Some(3600 * SECOND));
    assert_eq!(endless.lifetime(), None);
    assert!(json(send(&server, token_request(GRANT)).await).await.get("expires_in").is_none());

    advance(2 * SECOND - Duration::from_millis(1)).await;
    assert_eq!(get(&server, short.expose_secret()).await, StatusCode::OK);
    advance(Duration::from_millis(1)).await;
    assert_eq!(get(&server, short.expose_secret()).await, StatusCode::UNAUTHORIZED);
    assert_eq!(get(&server, long.expose_secret()).await, StatusCode::OK);
    advance(3598 * SECOND).await;
    assert_eq!(get(&server, long.expose_secret()).await, StatusCode::UNAUTHORIZED);
    assert_eq!(get(&server, endless.expose_secret()).await, StatusCode::OK);

    // Neither a lifetime nor a moment that no clock can hold is a panic.
    server.lifetime(Duration::MAX);
    let longest = server.issue();
    server.revoke_after(longest.expose_secret(), Duration::MAX).revoke_all_after(Duration::MAX);
    assert_eq!(get(&server, longest.expose_secret()).await, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn tokens_are_revoked_now_or_at_a_moment() {
    let server = AuthorizationServer::new();
    let (first, second) = (server.issue(), server.issue());
    let (first, second) = (first.expose_secret(), second.expose_secret());

    server.revoke(first);
    assert_eq!(get(&server, first).await, StatusCode::UNAUTHORIZED);
    assert_eq!(get(&server, second).await, StatusCode::OK);

    server.revoke_after(second, SECOND);
    assert_eq!(get(&server, second).await, StatusCode::OK);
    advance(SECOND).await;
    assert_eq!(get(&server, second).await, StatusCode::UNAUTHORIZED);

    // Time stands still between these three.
    let old = server.issue();
    server.revoke_all();
    let new = server.issue();
    assert_eq!(get(&server, old.expose_secret()).await, StatusCode::UNAUTHORIZED);
    assert_eq!(get(&server, new.expose_secret()).await, StatusCode::OK);

    server.revoke_all_after(2 * SECOND);
    advance(SECOND).await;
    let between = server.issue();
    assert_eq!(get(&server, new.expose_secret()).await, StatusCode::OK);
    advance(SECOND).await;
    let after = server.issue();
    assert_eq!(get(&server, new.expose_secret()).await, StatusCode::UNAUTHORIZED);
    assert_eq!(get(&server, between.expose_secret()).await, StatusCode::UNAUTHORIZED);
    assert_eq!(get(&server, after.expose_secret()).await, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn tokens_are_called_by_their_number() {
    let server = AuthorizationServer::new();
    let secret = |token: tower_oauth::Token| token.expose_secret().to_owned();
    assert_eq!(secret(server.issue()), "token-1");
    assert_eq!(secret(fetch(server.fetcher()).await.unwrap()), "token-2");
    // A request that is not granted takes no number.
    server.token_endpoint().next(ResponseTemplate::status(StatusCode::BAD_GATEWAY));
    fetch(server.fetcher()).await.unwrap_err();
    server.token_prefix("orders-");
    assert_eq!(secret(server.issue()), "orders-3");
    assert_eq!(get(&server, "token-2").await, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn tokens_can_be_handed_out_again_until_they_expire() {
    let server = AuthorizationServer::new();
    server.lifetime(10 * SECOND).reuse_tokens(true);
    let granted = async || {
        let token = fetch(server.fetcher()).await.unwrap();
        (token.expose_secret().to_owned(), token.lifetime())
    };
    let expected = |secret: &str, seconds| (secret.to_owned(), Some(seconds * SECOND));
    assert_eq!(granted().await, expected("token-1", 10));
    advance(4 * SECOND).await;
    assert_eq!(granted().await, expected("token-1", 6));
    // Revoked or not: what is in front of an issuer does not know.
    server.revoke("token-1");
    advance(5 * SECOND).await;
    assert_eq!(granted().await, expected("token-1", 1));
    assert_eq!(get(&server, "token-1").await, StatusCode::UNAUTHORIZED);
    advance(SECOND).await;
    assert_eq!(granted().await, expected("token-2", 10));

    // What is given out without a request is always new, and then handed out.
    assert_eq!(server.issue().expose_secret(), "token-3");
    assert_eq!(granted().await, expected("token-3", 10));
    server.reuse_tokens(false);
    assert_eq!(granted().await, expected("token-4", 10));
    server.reuse_tokens(true).lifetime(None).issue();
    advance(1_000_000 * SECOND).await;
    assert_eq!(granted().await, ("token-5".to_owned(), None));
}

#[tokio::test(start_paused = true)]
async fn a_token_can_end_the_one_before() {
    let server = AuthorizationServer::new();
    server.issue();
    server.revoke_on_issue(true);
    assert_eq!(get(&server, "token-1").await, StatusCode::OK);
    fetch(server.fetcher()).await.unwrap();
    assert_eq!(get(&server, "token-1").await, StatusCode::UNAUTHORIZED);
    assert_eq!(get(&server, "token-2").await, StatusCode::OK);
    server.revoke_on_issue(false).issue();
    assert_eq!(get(&server, "token-2").await, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_token_can_be_accepted_late() {
    let server = AuthorizationServer::new();
    server.accept_after(5 * SECOND).issue();
    server.accept_after(Duration::ZERO).issue();
    assert_eq!(get(&server, "token-2").await, StatusCode::OK);
    advance(5 * SECOND - Duration::from_millis(1)).await;
    assert_eq!(get(&server, "token-1").await, StatusCode::UNAUTHORIZED);
    advance(Duration::from_millis(1)).await;
    assert_eq!(get(&server, "token-1").await, StatusCode::OK);
}

#[tokio::test]
async fn responses_come_in_the_order_of_the_script() {
    let server = AuthorizationServer::new();
    let status = |code| ResponseTemplate::status(StatusCode::from_u16(code).unwrap());
    server
        .token_endpoint()
        .always(status(503).retry_after(30))
        .next(status(500))
        .next(ResponseTemplate::usual())
        .next_times(2, status(429).header(RETRY_AFTER, HeaderValue::from_static("soon")));
    let mut statuses = Vec::new();
    for _ in 0..6 {
        let response = send(&server, token_request(GRANT)).await;
        let retry_after = response.headers().get(RETRY_AFTER).cloned();
        statuses.push((response.status().as_u16(), retry_after));
    }
    let [soon, later] = ["soon", "30"].map(|value| Some(HeaderValue::from_static(value)));
    let expected = [
        (500, None),
        (200, None),
        (429, soon.clone()),
        (429, soon),
        (503, later.clone()),
        (503, later),
    ];
    assert_eq!(statuses, expected);

    // The two halves have a script each, and the resource was told nothing.
    assert_eq!(send(&server, resource_request()).await.status(), StatusCode::UNAUTHORIZED);
    server.resource().next(status(419));
    assert_eq!(get(&server, server.issue().expose_secret()).await.as_u16(), 419);
    server.token_endpoint().always(ResponseTemplate::usual());
    assert_eq!(send(&server, token_request(GRANT)).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn down_and_up_again() {
    let server = AuthorizationServer::new();
    server.down(true);
    for _ in 0..2 {
        let response = send(&server, token_request("whatever")).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
    assert_eq!(get(&server, server.issue().expose_secret()).await, StatusCode::OK);
    server.down(false);
    assert_eq!(send(&server, token_request(GRANT)).await.status(), StatusCode::OK);
    assert_eq!((server.token_requests(), server.resource_requests()), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn responses_can_take_their_time() {
    let server = AuthorizationServer::new();
    server.lifetime(3 * SECOND).token_endpoint().delay(2 * SECOND);
    server.token_endpoint().next(ResponseTemplate::usual().after(SECOND));
    let start = Instant::now();
    let granted = json(send(&server, token_request(GRANT)).await).await;
    assert_eq!(start.elapsed(), 3 * SECOND);
    // It was given out when the request came, and took its whole life to get here.
    assert_eq!(get(&server, granted["access_token"].as_str().unwrap()).await, 401);

    send(&server, token_request("refused")).await;
    assert_eq!(start.elapsed(), 5 * SECOND);

    server.resource().next(ResponseTemplate::usual().after(SECOND));
    let token = server.issue();
    server.revoke_after(token.expose_secret(), SECOND / 2);
    assert_eq!(get(&server, token.expose_secret()).await, StatusCode::OK);
    assert_eq!(start.elapsed(), 6 * SECOND);

    server.token_endpoint().next(ResponseTemplate::never());
    let never = server.clone().oneshot(token_request(GRANT));
    assert!(timeout(1_000_000 * SECOND, never).await.is_err());

    // The resource's delay is that of all its responses, and comes on top of their own.
    server.lifetime(3600 * SECOND).resource().delay(SECOND);
    let start = Instant::now();
    let token = server.issue();
    assert_eq!(get(&server, token.expose_secret()).await, StatusCode::OK);
    assert_eq!(get(&server, "unknown").await, StatusCode::UNAUTHORIZED);
    server.resource().next(ResponseTemplate::status(StatusCode::OK).after(SECOND));
    assert_eq!(get(&server, "unknown").await, StatusCode::OK);
    server.reject_next(1).reject_with(ResponseTemplate::usual().after(SECOND));
    assert_eq!(get(&server, token.expose_secret()).await, StatusCode::UNAUTHORIZED);
    assert_eq!(start.elapsed(), 6 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn token_requests_under_way_are_counted() {
    let server = AuthorizationServer::new();
    server.token_endpoint().delay(SECOND);
    for at_once in [1, 3, 2] {
        let mut requests = JoinSet::new();
        for _ in 0..at_once {
            requests.spawn(fetch(server.fetcher()));
        }
        requests.join_all().await;
    }
    assert_eq!((server.token_requests(), server.most_token_requests_at_once()), (6, 3));

    // Who gives up is no longer under way.
    for _ in 0..5 {
        timeout(SECOND / 2, fetch(server.fetcher())).await.unwrap_err();
    }
    assert_eq!((server.token_requests(), server.most_token_requests_at_once()), (11, 3));
}

#[tokio::test(start_paused = true)]
async fn responses_can_break_off() {
    let server = AuthorizationServer::new();
    server
        .token_endpoint()
        .next(ResponseTemplate::connection_dropped())
        .next(ResponseTemplate::json("{\"acc").cut_off())
        .next(ResponseTemplate::json("{\"acc").never_ends())
        .next(ResponseTemplate::json("{\"access_token\": \"raw\",}"));

    let error = server.clone().oneshot(token_request(GRANT)).await.unwrap_err();
    assert_eq!(error.downcast_ref::<io::Error>().unwrap().kind(), io::ErrorKind::ConnectionReset);

    let mut body = send(&server, token_request(GRANT)).await.into_body();
    assert_eq!(body.size_hint().exact(), None);
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "{\"acc");
    assert!(body.frame().await.unwrap().is_err());

    let mut body = send(&server, token_request(GRANT)).await.into_body();
    assert!(body.frame().await.unwrap().unwrap().is_data());
    assert!(!body.is_end_stream());
    assert!(timeout(1_000_000 * SECOND, body.frame()).await.is_err());

    let response = send(&server, token_request(GRANT)).await;
    assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "{\"access_token\": \"raw\",}");
}

#[tokio::test]
async fn the_resource_rejects_as_it_is_told() {
    let server = AuthorizationServer::new();
    let token = server.issue();
    let request = || with(resource_request(), &format!("Bearer {}", token.expose_secret()));

    server.reject_next(2);
    for _ in 0..2 {
        let response = send(&server, request()).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert!(challenge(&response).contains("error=\"invalid_token\""));
    }
    assert_eq!(send(&server, request()).await.status(), StatusCode::OK);

    let odd = HeaderValue::from_static("Negotiate, Bearer error=invalid_token");
    server.resource().next(
        ResponseTemplate::unauthorized(odd.clone())
            .header(WWW_AUTHENTICATE, HeaderValue::from_static("Basic"))
            .body("who?"),
    );
    let response = send(&server, request()).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let challenges: Vec<_> = response.headers().get_all(WWW_AUTHENTICATE).iter().collect();
    assert_eq!(challenges, [&odd, &HeaderValue::from_static("Basic")]);
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "who?");

    server.revoke(token.expose_secret()).reject_with(ResponseTemplate::grpc_status(16));
    let response = send(&server, request()).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[CONTENT_TYPE], "application/grpc");
    assert_eq!(response.headers()[HeaderName::from_static("grpc-status")], "16");
    assert!(response.body().is_end_stream());
    // No token at all is still RFC 6750's.
    assert_eq!(send(&server, resource_request()).await.status(), StatusCode::UNAUTHORIZED);

    server.reject_with(ResponseTemplate::usual());
    assert!(challenge(&send(&server, request()).await).contains("error=\"invalid_token\""));
    // Two, gRPC's, the one without a token, and the last; what the script said is not its doing.
    assert_eq!((server.resource_requests(), server.rejected_requests()), (7, 5));
}

#[tokio::test]
async fn the_resource_rejects_one_request_in_so_many() {
    let server = AuthorizationServer::new();
    let token = server.issue();
    let statuses = async |requests: u64| {
        let mut statuses = Vec::new();
        for _ in 0..requests {
            statuses.push(get(&server, token.expose_secret()).await.as_u16());
        }
        statuses
    };
    server.reject_every(3);
    assert_eq!(statuses(7).await, [200, 200, 401, 200, 200, 401, 200]);
    server.reject_every(1);
    assert_eq!(statuses(2).await, [401, 401]);
    server.reject_every(0);
    assert_eq!(statuses(3).await, [200, 200, 200]);
    assert_eq!((server.resource_requests(), server.rejected_requests()), (12, 4));
}

/// A body of which nothing comes, and that fails or never ends.
struct Stuck(Poll<()>);

impl http_body::Body for Stuck {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0.map(|()| Some(Err("broken".into())))
    }
}

#[tokio::test(start_paused = true)]
async fn request_bodies_are_read_if_the_token_is_good() {
    let server = AuthorizationServer::new();
    let token = server.issue();
    let authorization = format!("Bearer {}", token.expose_secret());
    let upload = |body| {
        let request = Request::put("/files/1").header(AUTHORIZATION, &authorization).body(body);
        timeout(SECOND, server.clone().oneshot(request.unwrap()))
    };

    let full = Request::put("/files/1").header(AUTHORIZATION, &authorization);
    let response = send(&server, full.body(Full::from("12345")).unwrap()).await;
    let text = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(text, "received 5 bytes\n");

    assert!(upload(Stuck(Poll::Pending)).await.is_err(), "it waits for the rest");
    let broken = upload(Stuck(Poll::Ready(()))).await.unwrap();
    assert_eq!(broken.unwrap_err().to_string(), "broken");
    server.revoke_all();
    let rejected = upload(Stuck(Poll::Pending)).await.unwrap().unwrap();
    assert_eq!(rejected.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_token_path_can_be_another() {
    let server = AuthorizationServer::new();
    server.token_path("/oauth2/token/");
    assert_eq!(send(&server, token_request(GRANT)).await.status(), StatusCode::UNAUTHORIZED);
    fetch(server.fetcher()).await.unwrap();
    assert_eq!((server.token_requests(), server.resource_requests()), (1, 1));
}

#[test]
fn the_service_needs_no_runtime() {
    let server = AuthorizationServer::new();
    let mut response = tokio_test::task::spawn(server.oneshot(token_request(GRANT)));
    tokio_test::assert_ready_ok!(response.poll());
}

#[tokio::test(start_paused = true)]
async fn the_fetcher_sends_token_requests() {
    let server = AuthorizationServer::new();
    let fetcher = server.lifetime(90 * SECOND).fetcher();
    server.token_endpoint().delay(SECOND);
    let start = Instant::now();
    let token = fetch(fetcher.clone()).await.unwrap();
    assert_eq!((token.lifetime(), start.elapsed()), (Some(90 * SECOND), SECOND));
    assert_eq!(get(&server, token.expose_secret()).await, StatusCode::OK);
    server.lifetime(None);
    assert_eq!(fetch(fetcher.clone()).await.unwrap().lifetime(), None);

    server.client("client", "changed");
    let error = fetch(fetcher.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert_eq!(error.status(), Some(StatusCode::BAD_REQUEST));
    assert_eq!(error.oauth_code(), Some("invalid_client"));
    fetch(server.fetcher()).await.unwrap();

    let fails = |code| ResponseTemplate::status(StatusCode::from_u16(code).unwrap()).retry_after(7);
    for (template, status, kind, retry_after) in [
        (fails(503), Some(503), ErrorKind::Unavailable, Some(7 * SECOND)),
        (fails(429), Some(429), ErrorKind::Unavailable, Some(7 * SECOND)),
        (fails(404), Some(404), ErrorKind::Unavailable, Some(7 * SECOND)),
        (fails(403), Some(403), ErrorKind::Denied, Some(7 * SECOND)),
        (ResponseTemplate::connection_dropped(), None, ErrorKind::Unavailable, None),
        (ResponseTemplate::json("{").cut_off(), None, ErrorKind::Unavailable, None),
        (ResponseTemplate::json("<html>"), Some(200), ErrorKind::InvalidResponse, None),
    ] {
        server.token_endpoint().next(template);
        let error = fetch(fetcher.clone()).await.unwrap_err();
        assert_eq!(error.kind(), kind);
        assert_eq!(error.status().map(|status| status.as_u16()), status);
        assert_eq!(error.retry_after(), retry_after);
    }
    assert_eq!(server.token_requests(), 11);
}

#[tokio::test(start_paused = true)]
async fn what_the_fetchers_were_called_with_is_kept() {
    let server = AuthorizationServer::new();
    let cache = TokenCache::builder(server.fetcher()).clock(TokioClock::new()).build();
    cache.warm_up().await.unwrap();
    advance(3600 * SECOND).await;
    cache.warm_up().await.unwrap();
    fetch(server.fetcher()).await.unwrap();
    // A token request that is no fetcher's has no reason.
    send(&server, token_request(GRANT)).await;
    let fetches = server.fetches();
    let previous = |fetch: &TokenRequest| Some(fetch.previous.as_ref()?.expose_secret().to_owned());
    assert_eq!(
        fetches.iter().map(|fetch| (fetch.reason, previous(fetch))).collect::<Vec<_>>(),
        [
            (RefreshReason::Cold, None),
            (RefreshReason::Expired, Some("token-1".to_owned())),
            (RefreshReason::Cold, None),
        ]
    );
    assert_eq!(server.token_requests(), 4);
}

fn client(http2: bool) -> Client<HttpConnector, Empty<Bytes>> {
    Client::builder(TokioExecutor::new()).http2_only(http2).build_http()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_listens_to_both_versions_until_it_is_dropped() {
    let server = AuthorizationServer::new();
    let listening = server.listen().await.unwrap();
    assert!(listening.addr().ip().is_loopback());
    let uri: http::Uri = listening.uri("/resource?page=1").parse().unwrap();
    assert_eq!(uri.port_u16(), Some(listening.addr().port()));

    for (http2, version) in [(false, Version::HTTP_11), (true, Version::HTTP_2)] {
        let client = client(http2);
        let response = client.get(uri.clone()).await.unwrap();
        assert_eq!((response.version(), response.status()), (version, StatusCode::UNAUTHORIZED));

        server.resource().next(ResponseTemplate::connection_dropped());
        assert!(client.get(uri.clone()).await.is_err());

        server.resource().next(ResponseTemplate::json("half of it").cut_off());
        let response = client.get(uri.clone()).await.unwrap();
        assert!(response.into_body().collect().await.is_err());

        server.resource().next(ResponseTemplate::grpc_status(16));
        let response = client.get(uri.clone()).await.unwrap();
        assert!(response.into_body().is_end_stream(), "{version:?}");
    }
    assert_eq!(server.resource_requests(), 8);

    // A connection that waits for its response is closed with all the others.
    server.resource().always(ResponseTemplate::never());
    let waiting = tokio::spawn(client(false).get(uri.clone()));
    while server.resource_requests() < 9 {
        sleep(Duration::from_millis(1)).await;
    }
    drop(listening);
    let ended = timeout(10 * SECOND, waiting).await.expect("its connection is closed");
    assert!(ended.unwrap().is_err());
    assert!(client(false).get(uri).await.is_err());
}

#[test]
fn the_clock_follows_paused_time_of_one_runtime_after_the_other() {
    let clock = TokioClock::new();
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
    };
    let ahead = runtime().block_on(async {
        advance(3600 * SECOND).await;
        clock.now()
    });
    // Out here an hour less has gone by, and what the clock calls zero is still ahead.
    let outside = clock.now();
    assert!(outside < ahead);
    runtime().block_on(async {
        let start = clock.now();
        advance(SECOND).await;
        assert_eq!(clock.now() - start, SECOND);
    });
    assert!(clock.now() >= outside);
}

#[tokio::test(start_paused = true)]
async fn the_clock_counts_what_the_machine_slept() {
    let clock = TokioClock::new();
    let (start, tokios) = (clock.now(), Instant::now());
    clock.clone().suspend(1800 * SECOND);
    clock.suspend(1800 * SECOND);
    assert_eq!(clock.now() - start, 3600 * SECOND);
    advance(SECOND).await;
    assert_eq!(clock.now() - start, 3601 * SECOND);
    assert_eq!(tokios.elapsed(), SECOND);
    // Another clock is of another machine.
    assert!(TokioClock::new().now() < clock.now());
    clock.suspend(Duration::MAX);
    assert_eq!(clock.now(), Duration::MAX);
}

#[test]
fn nothing_of_it_prints_a_secret() {
    let server = AuthorizationServer::new();
    let token = server.token_prefix("hunter-").issue();
    let printed = format!("{server:#?} {:#?} {:#?}", server.fetcher(), server.resource());
    assert!(!printed.contains(token.expose_secret()) && !printed.contains("secret"), "{printed}");
}

#[test]
fn its_handles_are_send_and_sync() {
    static_assertions::assert_impl_all!(AuthorizationServer: Clone, Send, Sync);
    static_assertions::assert_impl_all!(Fetcher: Clone, Send, Sync, tower_oauth::FetchToken);
    static_assertions::assert_impl_all!(ResponseTemplate: Clone, Send, Sync);
}
