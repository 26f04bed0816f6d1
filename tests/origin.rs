//! Where a token may go.

mod support;

use std::sync::{Arc, Mutex};

use http::{
    HeaderMap, HeaderValue, Method, Request, StatusCode,
    header::{AUTHORIZATION, LOCATION},
};
use support::{Body, get, ours, resource};
use tower::BoxError;
use tower::{Layer, Service, ServiceBuilder, ServiceExt};
use tower_oauth::{Error, ErrorKind, OAuthLayer, Token, replay::Never};

fn layer() -> OAuthLayer<Token> {
    OAuthLayer::with_source(Token::bearer("abc"))
}

/// Whether the request got the token; or the error that it got instead of being sent.
async fn sent(layer: OAuthLayer<Token>, request: Request<Body>) -> Result<bool, ErrorKind> {
    let resource = resource();
    let service = layer.layer(resource.clone());
    match service.oneshot(request).await {
        Ok(_) => Ok(!resource.authorizations()[0].is_empty()),
        Err(error) => {
            assert_eq!(resource.resource_requests(), 0, "sent, and failed");
            Err(ours(&error).kind())
        }
    }
}

#[tokio::test]
async fn without_an_origin_it_goes_where_nobody_listens() {
    for uri in [
        "https://api.example.com/",
        "https://api.example.com:8443/path?query",
        "https://192.0.2.1/",
        "http://localhost/",
        "http://LOCALHOST:8080/",
        "http://127.0.0.1/",
        "http://127.255.255.254:80/",
        "http://[::1]/",
        "http://[::1]:8080/",
        // The host is what comes after the at sign.
        "http://user@localhost/",
        // WebSockets are HTTP in other words.
        "wss://api.example.com/",
        "WSS://api.example.com/socket",
        "ws://localhost/",
        "ws://127.0.0.1:8080/",
    ] {
        assert_eq!(sent(layer(), get(uri)).await, Ok(true), "{uri}");
    }
    for uri in [
        "http://api.example.com/",
        "http://localhost.evil.example/",
        "http://localhost@evil.example/",
        "http://127.0.0.1@evil.example/",
        "http://localhost:80@evil.example/",
        "http://evil.example#@localhost/",
        "http://localhost./",
        "http://127.0.0.1.evil.example/",
        "http://127.1/",
        "http://128.0.0.1/",
        "http://2130706433/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::2]/",
        "ftp://localhost/",
        "ws://api.example.com/",
        "wsss://api.example.com/",
    ] {
        assert_eq!(sent(layer(), get(uri)).await, Err(ErrorKind::InsecureOrigin), "{uri}");
    }
}

#[tokio::test]
async fn with_origins_it_goes_there_and_nowhere_else() {
    let layer = || {
        layer()
            .origin("https://api.example.com")
            .and_then(|layer| layer.origin("http://mesh.internal:8080"))
            .and_then(|layer| layer.origin("https://[2001:db8::1]:443/"))
            .and_then(|layer| layer.origin("https://x"))
            .unwrap()
    };
    for uri in [
        "https://api.example.com/",
        "https://api.example.com:443/path",
        "https://API.example.COM/",
        "HTTPS://api.example.com/",
        "https://user:password@api.example.com/",
        "http://mesh.internal:8080/",
        "https://[2001:db8::1]/",
        "wss://api.example.com/socket",
        "wss://api.example.com:443/socket",
        "ws://mesh.internal:8080/socket",
        "https://api.example.com./",
        "https://API.example.com.:443/",
        "wss://api.example.com.:443/",
        "http://mesh.internal.:8080/",
    ] {
        assert_eq!(sent(layer(), get(uri)).await, Ok(true), "{uri}");
    }
    for uri in [
        "https://api.example.com:8443/",
        "http://api.example.com/",
        "http://api.example.com:443/",
        "https://mesh.internal:8080/",
        "http://mesh.internal/",
        "https://evil.example/",
        "https://api.example.com@evil.example/",
        "https://api.example.com.evil.example/",
        "https://api.example.com../",
        "https://.api.example.com/",
        "https://api.example.com.evil.example./",
        "ws://api.example.com/",
        "ws://api.example.com:443/",
        "wss://mesh.internal:8080/",
        "https://api.example.com:0443x/",
        "https://x:0443x/",
        "https://api.example.com:/",
        "http://localhost/",
        "ftp://api.example.com/",
    ] {
        assert_eq!(sent(layer(), get(uri)).await, Ok(false), "{uri}");
    }
}

#[tokio::test]
async fn a_uri_without_a_host_goes_to_the_first_origin() {
    assert_eq!(sent(layer(), get("/path")).await, Ok(true));
    let named = layer().origin("https://api.example.com").unwrap();
    assert_eq!(sent(named, get("/path")).await, Ok(true));
}

/// An origin may be written with its final dot, and as that of WebSockets.
#[tokio::test]
async fn origins_in_other_words() {
    for origin in
        ["https://api.example.com.", "wss://api.example.com", "https://api.example.com:443"]
    {
        for (uri, gets) in [
            ("https://api.example.com/", true),
            ("https://api.example.com./", true),
            ("wss://api.example.com/", true),
            ("https://api.example.com.:443/", true),
            ("http://api.example.com/", false),
            ("ws://api.example.com/", false),
            ("https://example.com/", false),
        ] {
            let layer = layer().origin(origin).unwrap();
            assert_eq!(sent(layer, get(uri)).await, Ok(gets), "{origin}: {uri}");
        }
    }
}

fn connect(uri: &str) -> Request<Body> {
    let mut request = get(uri);
    *request.method_mut() = Method::CONNECT;
    request
}

/// One with a path is a request like any other, such as that for a WebSocket over HTTP/2 (RFC 8441).
#[tokio::test]
async fn an_extended_connect() {
    let named = || layer().origin("https://api.example.com").unwrap();
    for uri in
        ["https://api.example.com/socket", "wss://api.example.com/", "https://api.example.com"]
    {
        assert_eq!(sent(layer(), connect(uri)).await, Ok(true), "{uri}");
        assert_eq!(sent(named(), connect(uri)).await, Ok(true), "{uri}");
    }
    assert_eq!(sent(named(), connect("https://evil.example/socket")).await, Ok(false));
    let insecure = connect("http://api.example.com/socket");
    assert_eq!(sent(layer(), insecure).await, Err(ErrorKind::InsecureOrigin));
}

#[tokio::test]
async fn connect_to_an_authority_is_left_alone() {
    for uri in ["api.example.com:443", "evil.example:80", "localhost:443"] {
        assert_eq!(sent(layer(), connect(uri)).await, Ok(false), "{uri}");
        let named = layer().origin("https://api.example.com").unwrap();
        assert_eq!(sent(named, connect(uri)).await, Ok(false), "{uri}");
    }
    // A URI that names a host and no scheme says nothing about the way there.
    let request = get("api.example.com:443");
    assert_eq!(sent(layer(), request).await, Err(ErrorKind::InsecureOrigin));
}

#[tokio::test]
async fn a_request_to_another_origin_never_waits_for_a_token() {
    let fetcher =
        tower_oauth::fetch_fn(|_| async { Err::<Token, BoxError>("nobody may ask".into()) });
    let resource = resource();
    let service =
        OAuthLayer::new(fetcher).origin("https://api.example.com").unwrap().layer(resource.clone());
    service.oneshot(get("https://cdn.example.com/")).await.unwrap();
    assert_eq!(resource.authorizations(), [""]);
}

/// A redirect that is followed above the layer comes through it again.
#[tokio::test]
async fn a_redirect_to_another_host_carries_no_token() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let inner = tower::service_fn(move |request: Request<Body>| {
        let token = support::authorization(request.headers());
        log.lock().unwrap().push((request.uri().to_string(), token));
        let mut response = support::status(StatusCode::OK);
        if request.uri().path() == "/redirect" {
            *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
            let elsewhere = "https://evil.example/".parse().unwrap();
            response.headers_mut().insert(LOCATION, elsewhere);
        }
        async { Ok::<_, BoxError>(response) }
    });
    let mut service = ServiceBuilder::new()
        .layer(tower_http::follow_redirect::FollowRedirectLayer::new())
        .layer(layer().origin("https://api.example.com").unwrap())
        .service(inner);
    let request = get("https://api.example.com/redirect");
    service.ready().await.unwrap().call(request).await.unwrap();
    assert_eq!(
        *seen.lock().unwrap(),
        [
            ("https://api.example.com/redirect".to_owned(), Some("Bearer abc".to_owned())),
            ("https://evil.example/".to_owned(), None),
        ]
    );
}

#[tokio::test]
async fn another_origin_is_logged_once_without_secrets() {
    let log = support::capture_log(async {
        let service = layer().origin("https://api.example.com").unwrap().layer(resource());
        for _ in 0..3 {
            let service = service.clone();
            service.oneshot(get("https://me:hunter2@cdn.example.com/a?key=k")).await.unwrap();
        }
    })
    .await;
    assert_eq!(log.matches("WARN").count(), 1, "{log}");
    assert!(log.contains("https://cdn.example.com"), "{log}");
    assert!(!log.contains("hunter2") && !log.contains("key"), "{log}");
}

#[tokio::test]
async fn the_response_to_what_passes_untouched_is_judged_by_nobody() {
    let service = layer()
        .origin("https://api.example.com")
        .unwrap()
        .rejected_when(|_| panic!("this was not our token"))
        .layer(resource());
    let mut own = get("https://api.example.com/");
    own.headers_mut().insert(AUTHORIZATION, HeaderValue::from_static("Basic abc"));
    for request in [own, get("https://cdn.example.com/")] {
        service.clone().oneshot(request).await.unwrap();
    }
}

#[tokio::test]
async fn the_error_names_the_origin_without_secrets() {
    let service = layer().layer(resource());
    let request = get("http://me:hunter2@api.example.com:8080/a?key=k");
    let error = service.oneshot(request).await.unwrap_err().to_string();
    assert!(error.ends_with(": http://api.example.com:8080"), "{error}");
}

#[test]
fn what_is_no_origin_is_an_error_that_says_so() {
    for origin in [
        "",
        "api.example.com",
        "//api.example.com",
        "/path",
        "https://",
        "https://api.example.com/path",
        "https://api.example.com?query",
        "https://api.example.com/?query",
        "https://api.example.com#fragment",
        "https://user@api.example.com",
        "https://api.example.com:",
        "https://api.example.com:port",
        "https://.",
        "https://api.example.com:99999",
        "ftp://api.example.com",
        "https://api example.com",
    ] {
        let error: Error = layer().replay(Never).origin(origin).expect_err(origin);
        assert_eq!(error.kind(), ErrorKind::Config, "{origin}");
        assert_eq!(error.field(), Some("origin"), "{origin}");
    }
}

#[tokio::test]
async fn a_request_with_its_own_authorization_stays_as_it_is() {
    let names = |headers: &HeaderMap| headers.keys().cloned().collect::<Vec<_>>();
    let seen: Arc<Mutex<Vec<HeaderMap>>> = Arc::default();
    let sink = Arc::clone(&seen);
    let inner = tower::service_fn(move |request: Request<Body>| {
        sink.lock().unwrap().push(request.headers().clone());
        async { Ok::<_, BoxError>(http::Response::new(Body::new())) }
    });
    for values in [
        &["Basic abc"][..],
        &["Basic abc", "Digest def"],
        &["Basic abc", "Digest def", "Basic abc"],
    ] {
        let mut request = get("https://api.example.com/");
        request.headers_mut().insert("accept", HeaderValue::from_static("*/*"));
        for value in values {
            request.headers_mut().append(AUTHORIZATION, HeaderValue::from_static(value));
        }
        request.headers_mut().insert("via", HeaderValue::from_static("1.1 proxy"));
        let sent = request.headers().clone();
        layer().layer(inner.clone()).oneshot(request).await.unwrap();
        let got = seen.lock().unwrap().pop().unwrap();
        assert_eq!(names(&got), names(&sent));
        assert_eq!(got.get_all(AUTHORIZATION).iter().collect::<Vec<_>>(), values);
    }
}
