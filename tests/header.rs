//! A token in another header than `Authorization`.

mod support;

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{AUTHORIZATION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, WWW_AUTHENTICATE},
};
use support::{Body, get};
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};
use tower_oauth::{
    OAuthLayer, RefreshReason, Token, TokenCache, fetch_fn, replay::Never,
    testing::AuthorizationServer,
};

const GATEWAY: HeaderName = HeaderName::from_static("x-gateway-authorization");
const API: &str = "https://api.example.com/";

type Seen = Arc<Mutex<Vec<HeaderMap>>>;

/// Keeps what it got, and responds with these, the last of them for ever.
fn resource(
    responses: &[Response<Body>],
) -> (
    impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + 'static,
    Seen,
) {
    let (seen, responses) = (Seen::default(), responses.to_vec());
    let log = Arc::clone(&seen);
    let service = service_fn(move |request: Request<Body>| {
        let mut log = log.lock().unwrap();
        let response = responses[log.len().min(responses.len() - 1)].clone();
        log.push(request.into_parts().0.headers);
        async { Ok(response) }
    });
    (service, seen)
}

fn response(status: StatusCode, challenge: Option<(HeaderName, &'static str)>) -> Response<Body> {
    let mut response = support::status(status);
    if let Some((name, challenge)) = challenge {
        response.headers_mut().insert(name, HeaderValue::from_static(challenge));
    }
    response
}

fn ok() -> Response<Body> {
    response(StatusCode::OK, None)
}

fn values(headers: &HeaderMap, name: HeaderName) -> Vec<&str> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
}

#[tokio::test]
async fn it_is_put_there_and_nowhere_else() {
    let (service, seen) = resource(&[ok()]);
    let layer = || OAuthLayer::with_source(Token::bearer("abc"));
    let api = layer().header(GATEWAY).layer(service.clone());
    api.clone().oneshot(get(API)).await.unwrap();
    // An `Authorization` is nobody's business here.
    let mut request = get(API);
    request.headers_mut().insert(AUTHORIZATION, HeaderValue::from_static("Basic own"));
    api.oneshot(request).await.unwrap();
    // The last call counts.
    layer().header(GATEWAY).header(AUTHORIZATION).layer(service).oneshot(get(API)).await.unwrap();
    let seen = seen.lock().unwrap();
    for (headers, gateway, authorization) in [
        (&seen[0], vec!["Bearer abc"], vec![]),
        (&seen[1], vec!["Bearer abc"], vec!["Basic own"]),
        (&seen[2], vec![], vec!["Bearer abc"]),
    ] {
        assert_eq!(values(headers, GATEWAY), gateway);
        assert_eq!(values(headers, AUTHORIZATION), authorization);
    }
    assert!(seen[0][GATEWAY].is_sensitive());
}

#[tokio::test]
async fn one_of_its_own_passes_untouched() {
    let (service, seen) = resource(&[response(StatusCode::UNAUTHORIZED, None)]);
    let asked = Arc::new(Mutex::new(0));
    let fetched = Arc::clone(&asked);
    let tokens = TokenCache::new(fetch_fn(move |_| {
        *fetched.lock().unwrap() += 1;
        async { Ok::<_, BoxError>(Token::bearer("abc")) }
    }));
    let api = OAuthLayer::with_source(tokens.clone()).header(GATEWAY).layer(service);
    let own = |values: &[&'static str]| {
        let mut request = get(API);
        for value in values {
            request.headers_mut().append(GATEWAY, HeaderValue::from_static(value));
        }
        request
    };
    // While there is no token nobody waits for one, and when there is one it stays out.
    for round in 0..2 {
        for own_values in [&["Own a"][..], &["Own a", "Own b"], &["Own a", "Own b", "Own c"], &[""]]
        {
            let response = api.clone().oneshot(own(own_values)).await.unwrap();
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
            let headers = seen.lock().unwrap().pop().unwrap();
            assert_eq!(values(&headers, GATEWAY), own_values);
            assert_eq!(headers.len(), own_values.len());
        }
        assert_eq!(*asked.lock().unwrap(), round);
        tokens.warm_up().await.unwrap();
    }
    // Not to an origin over plain HTTP either.
    let mut insecure = own(&["Own a"]);
    *insecure.uri_mut() = "http://api.example.com/".parse().unwrap();
    api.oneshot(insecure).await.unwrap();
}

#[tokio::test]
async fn a_replay_has_another_token_there_and_all_the_rest_as_it_was() {
    let invalid = Some((WWW_AUTHENTICATE, "Bearer error=\"invalid_token\""));
    let (service, seen) = resource(&[response(StatusCode::UNAUTHORIZED, invalid), ok()]);
    let server = AuthorizationServer::new();
    let api = OAuthLayer::new(server.fetcher()).header(GATEWAY).layer(service);
    let mut request = get(API);
    request.headers_mut().insert("x-before", HeaderValue::from_static("1"));
    request.headers_mut().insert(AUTHORIZATION, HeaderValue::from_static("Basic own"));
    assert_eq!(api.oneshot(request).await.unwrap().status(), 200);
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 2);
    for (headers, token) in [(&seen[0], "Bearer token-1"), (&seen[1], "Bearer token-2")] {
        assert_eq!(values(headers, GATEWAY), [token]);
        assert_eq!(values(headers, AUTHORIZATION), ["Basic own"]);
        assert_eq!((headers.len(), &headers["x-before"]), (3, &HeaderValue::from_static("1")));
    }
    assert_eq!(server.fetches()[1].reason, RefreshReason::Rejected);
}

/// One for the gateway and one for the API behind it.
#[tokio::test]
async fn two_layers() {
    let (service, seen) = resource(&[response(StatusCode::UNAUTHORIZED, None), ok()]);
    let (api, gateway) = (AuthorizationServer::new(), AuthorizationServer::new());
    gateway.token_prefix("gateway-");
    let service = OAuthLayer::new(api.fetcher()).replay(Never).layer(service);
    let service = OAuthLayer::new(gateway.fetcher()).header(GATEWAY).layer(service);
    assert_eq!(service.oneshot(get(API)).await.unwrap().status(), 200);
    let seen = seen.lock().unwrap();
    assert_eq!(values(&seen[0], GATEWAY), ["Bearer gateway-1"]);
    assert_eq!(values(&seen[0], AUTHORIZATION), ["Bearer token-1"]);
    assert_eq!(values(&seen[1], GATEWAY), ["Bearer gateway-2"]);
    assert_eq!(values(&seen[1], AUTHORIZATION).len(), 1);
}

#[tokio::test]
async fn what_is_no_rejection_by_the_standards_is_none_here() {
    for (status, challenge, rejected) in [
        (StatusCode::UNAUTHORIZED, None, true),
        (
            StatusCode::UNAUTHORIZED,
            Some((WWW_AUTHENTICATE, "Bearer error=\"insufficient_scope\"")),
            false,
        ),
        (StatusCode::FORBIDDEN, None, false),
        (StatusCode::PROXY_AUTHENTICATION_REQUIRED, None, false),
    ] {
        let (service, seen) = resource(&[response(status, challenge.clone()), ok()]);
        let server = AuthorizationServer::new();
        let api = OAuthLayer::new(server.fetcher()).header(GATEWAY).layer(service);
        api.oneshot(get(API)).await.unwrap();
        assert_eq!(
            seen.lock().unwrap().len(),
            if rejected { 2 } else { 1 },
            "{status}: {challenge:?}"
        );
    }
}

fn connect() -> Request<Body> {
    let mut request = get("api.example.com:443");
    *request.method_mut() = Method::CONNECT;
    request
}

#[tokio::test]
async fn a_connect_gets_one_for_the_proxy() {
    let (service, seen) = resource(&[ok()]);
    let layer = || OAuthLayer::with_source(Token::bearer("abc"));
    let to_proxy = || layer().header(PROXY_AUTHORIZATION);
    let mut own = connect();
    own.headers_mut().insert(PROXY_AUTHORIZATION, HeaderValue::from_static("Basic own"));
    for (layer, request, expected) in [
        (to_proxy(), connect(), vec!["Bearer abc"]),
        // The URI says where the proxy is to go, and not where the token goes.
        (to_proxy().origin("https://proxy.example.com").unwrap(), connect(), vec!["Bearer abc"]),
        (to_proxy(), own, vec!["Basic own"]),
        (layer(), connect(), vec![]),
        (layer().header(GATEWAY), connect(), vec![]),
    ] {
        layer.layer(service.clone()).oneshot(request).await.unwrap();
        let headers = seen.lock().unwrap().pop().unwrap();
        assert_eq!(values(&headers, PROXY_AUTHORIZATION), expected);
        assert_eq!(headers.len(), expected.len());
    }
    // Every other request goes by the origins.
    let elsewhere = to_proxy().origin("https://proxy.example.com").unwrap().layer(service.clone());
    elsewhere.oneshot(get(API)).await.unwrap();
    assert!(seen.lock().unwrap().pop().unwrap().is_empty());
    to_proxy().layer(service).oneshot(get("http://api.example.com/")).await.unwrap_err();
}

#[tokio::test]
async fn a_proxy_rejects_in_its_own_words() {
    let proxy = StatusCode::PROXY_AUTHENTICATION_REQUIRED;
    let invalid = (PROXY_AUTHENTICATE, "Bearer error=\"invalid_token\"");
    let scope = (PROXY_AUTHENTICATE, "Bearer error=\"insufficient_scope\"");
    for (status, challenge, rejected) in [
        (proxy, None, true),
        (proxy, Some(invalid.clone()), true),
        (proxy, Some(scope), false),
        // Of a gateway that reads this header and speaks for itself.
        (StatusCode::UNAUTHORIZED, None, true),
        (StatusCode::BAD_GATEWAY, None, false),
    ] {
        let (service, seen) = resource(&[response(status, challenge.clone()), ok()]);
        let server = AuthorizationServer::new();
        let api = OAuthLayer::new(server.fetcher()).header(PROXY_AUTHORIZATION).layer(service);
        api.oneshot(connect()).await.unwrap();
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), if rejected { 2 } else { 1 }, "{status}: {challenge:?}");
        if rejected {
            assert_eq!(values(&seen[1], PROXY_AUTHORIZATION), ["Bearer token-2"]);
        }
    }
    // A rule of one's own is the only one, whichever is set first.
    for rule_first in [true, false] {
        let (service, seen) = resource(&[response(proxy, None), ok()]);
        let layer = OAuthLayer::with_source(TokenCache::new(AuthorizationServer::new().fetcher()));
        let layer = match rule_first {
            true => layer.rejected_when(|_| false).header(PROXY_AUTHORIZATION),
            false => layer.header(PROXY_AUTHORIZATION).rejected_when(|_| false),
        };
        layer.layer(service).oneshot(connect()).await.unwrap();
        assert_eq!(seen.lock().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn the_secret_alone() {
    let token = Token::new("", "abc");
    assert_eq!((token.scheme(), token.expose_secret()), ("", "abc"));
    assert_eq!(token.header_value().unwrap(), "abc");
    assert!(!format!("{token:?}").contains("abc"));
    let (service, seen) = resource(&[ok()]);
    let layer = OAuthLayer::with_source(token).header(HeaderName::from_static("x-vault-token"));
    layer.layer(service).oneshot(get(API)).await.unwrap();
    assert_eq!(seen.lock().unwrap()[0]["x-vault-token"], "abc");
    for unusable in [Token::new("", ""), Token::new("", "a b"), Token::new(" ", "abc")] {
        assert!(unusable.header_value().is_err());
    }
}

/// A client of an API with a header of its own is tested like any other.
#[tokio::test]
async fn the_test_server_looks_where_it_is_told_to() {
    let server = AuthorizationServer::new();
    server.header(GATEWAY);
    for alone in [false, true] {
        let fetcher = server.fetcher().map_response(move |token| match alone {
            true => Token::new("", token.expose_secret()),
            false => token,
        });
        let api = OAuthLayer::new(fetcher).header(GATEWAY).layer(server.clone());
        let send = || api.clone().oneshot(get(API));
        assert_eq!(send().await.unwrap().status(), StatusCode::OK);
        server.revoke_all();
        assert_eq!(send().await.unwrap().status(), StatusCode::OK, "replayed");
    }
    let elsewhere = OAuthLayer::new(server.fetcher()).layer(server.clone());
    assert_eq!(elsewhere.oneshot(get(API)).await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let (bearer, alone) = ("Bearer token-2", "token-4");
    let seen = server.authorizations();
    assert!(seen.iter().any(|it| it == bearer) && seen.iter().any(|it| it == alone), "{seen:?}");
}
