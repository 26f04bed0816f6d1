//! Dell `TechDirect`, sections 2 to 5 of its page.

use base64::{Engine, engine::general_purpose::STANDARD};
use tower_oauth::{
    ErrorKind,
    token_endpoint::ClientAuth,
    vendor::{dell_techdirect, dell_techdirect_sandbox},
};

use crate::server::{
    ID, Received, Response, SECRET, Server, fetch, json, leaks_nothing, names_are, only,
};

// The page has no sample of a token; it says how long one lives.
const TOKEN: &str = "dell-token";

/// The page gives its errors as statuses with descriptions; that the description is the body, as
/// text, is decided here, because the page shows no body.
fn error(status: u16, description: &str) -> Response {
    (status, "text/plain", description.to_owned())
}

fn token_endpoint(request: &Received, token: &str) -> Response {
    const BAD: &str = "Missing/Invalid OAuth2.0 token request parameters";
    if request.path != "/auth/oauth/v2/token" || request.method != "POST" {
        return error(404, "no such endpoint");
    }
    if request.content_type() != "application/x-www-form-urlencoded" || !request.query.is_empty() {
        return error(400, BAD);
    }
    let form = request.form();
    if only(&form, "grant_type") != Some("client_credentials") {
        return error(400, BAD);
    }
    // The page shows tools, which send the secret in either place, and does not say which is
    // right. Both are, but never both at once (RFC 6749 §2.3).
    let (id, secret) = match request.headers.get("authorization") {
        Some(basic) => {
            let Some(pair) = basic.to_str().unwrap().strip_prefix("Basic ") else {
                return error(401, "Invalid authentication type");
            };
            if !names_are(&form, &["grant_type"]) {
                return error(400, BAD);
            }
            let pair = String::from_utf8(STANDARD.decode(pair).unwrap()).unwrap();
            let pairs = pair.replacen(':', "&", 1);
            let mut decoded =
                form_urlencoded::parse(pairs.as_bytes()).map(|(text, _)| text.into_owned());
            (decoded.next().unwrap(), decoded.next().unwrap())
        }
        None => {
            if !names_are(&form, &["grant_type", "client_id", "client_secret"]) {
                return error(400, BAD);
            }
            let of = |name| only(&form, name).unwrap().to_owned();
            (of("client_id"), of("client_secret"))
        }
    };
    match (&*id, &*secret) {
        (ID, SECRET) => json(
            200,
            format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":3600}}"#),
        ),
        ("busy", _) => error(500, "Internal Server Error"),
        _ => error(400, BAD),
    }
}

async fn server() -> Server {
    // Section 4.2 says what, and not with which status; 401 is what RFC 6750 §3.1 says.
    let expired = error(401, "Invalid Authentication");
    Server::start(TOKEN, 3600, expired, token_endpoint).await
}

#[tokio::test]
async fn the_secret_goes_into_the_form_or_into_the_header() {
    let server = server().await;
    for builder in [
        dell_techdirect(ID, SECRET),
        dell_techdirect_sandbox(ID, SECRET),
        dell_techdirect(ID, SECRET).auth(ClientAuth::Basic),
    ] {
        leaks_nothing(None, &[&builder]);
        let token = fetch(builder.base_url(server.base_url())).await.unwrap();
        assert_eq!(token.lifetime().unwrap().as_secs(), 3600);
    }
    leaks_nothing(None, &[]);
}

/// The page's two tables, byte for byte.
#[tokio::test]
async fn the_urls() {
    for (builder, url) in [
        (dell_techdirect(ID, SECRET), "https://apigtwb2c.us.dell.com/auth/oauth/v2/token"),
        (
            dell_techdirect_sandbox(ID, SECRET),
            "https://apigtwb2cnp.us.dell.com/auth/oauth/v2/token",
        ),
    ] {
        let http = tower::service_fn(move |request: http::Request<bytes::Bytes>| async move {
            assert_eq!(request.uri(), url);
            let response = http::Response::new(r#"{"access_token":"t"}"#.to_owned());
            Ok::<_, std::convert::Infallible>(response)
        });
        let fetcher = builder.build_with(http).unwrap();
        let request = tower_oauth::TokenRequest::new(tower_oauth::RefreshReason::Cold);
        tower::ServiceExt::oneshot(fetcher, request).await.unwrap();
    }
}

#[tokio::test]
async fn the_error_table() {
    let server = server().await;
    let dell = |id: &str, secret: &str| dell_techdirect(id, secret).base_url(server.base_url());
    for (builder, status, kind, check) in [
        (dell(ID, "hunter2-no"), 400, ErrorKind::Denied, "check Client ID"),
        (dell("no", SECRET), 400, ErrorKind::Denied, "check Client ID"),
        (dell(ID, SECRET).param("x", "y"), 400, ErrorKind::Denied, "check Client ID"),
        (
            dell(ID, SECRET).header("Authorization", "Bearer x"),
            401,
            ErrorKind::Denied,
            "check where the secret is sent",
        ),
        (dell("busy", SECRET), 500, ErrorKind::Unavailable, "APIs_TechDirect@Dell.com"),
    ] {
        let error = fetch(builder).await.unwrap_err();
        assert_eq!((error.status().unwrap().as_u16(), error.kind()), (status, kind), "{error}");
        assert_eq!(error.is_transient(), status == 500);
        assert!(error.to_string().contains(check), "{error}");
        leaks_nothing(Some(&error), &[]);
    }
}

#[tokio::test]
async fn one_token_is_used_for_its_hour() {
    for chance in [0.0, 0.5, 1.0] {
        let server = server().await;
        let tokens = server.cache(dell_techdirect(ID, SECRET), chance);
        let mut resource = server.client(&tokens);
        for _ in 0..49 {
            assert_eq!(resource.get().await, 200);
            server.clock().advance(60);
        }
        assert_eq!(server.token_requests(), 1);
        let refreshed_in = tokens.status().refresh_in.unwrap().as_secs();
        assert!((0..=6 * 60).contains(&refreshed_in), "{refreshed_in}");
        // It never costs a request that the token was used so long.
        for _ in 0..6 {
            server.clock().advance(60);
            assert_eq!(resource.get().await, 200);
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        assert_eq!(resource.get().await, 200);
        assert_eq!(server.token_requests(), 2);
    }
}

#[tokio::test]
async fn an_expired_token_is_replaced() {
    let server = server().await;
    let tokens = server.cache(dell_techdirect(ID, SECRET), 0.0);
    let mut resource = server.client(&tokens);
    assert_eq!(resource.get().await, 200);
    server.clock().advance(3601);
    assert_eq!(resource.get().await, 200);
    assert_eq!(server.token_requests(), 2);
}
