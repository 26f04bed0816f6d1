//! Bright Pattern, from its page.

use std::time::Duration;

use tower_oauth::{ErrorKind, vendor::bright_pattern};

use crate::server::{
    ID, Received, Response, SECRET, Server, fetch, json, leaks_nothing, names_are, only,
};

const TOKEN: &str = "eyJhbGciOiJSUzI1NiI5q9Jgt...6HznsvPWy7UP3MINA";

/// The page's sample, byte for byte, with its comma at the end.
const SAMPLE: &str = r#"{
"access_token":"eyJhbGciOiJSUzI1NiI5q9Jgt...6HznsvPWy7UP3MINA",
"token_type":"Bearer",
"expires_in":"3599",
}"#;

fn token_endpoint(request: &Received, token: &str) -> Response {
    if request.path != "/configapi/v2/oauth/token" || request.method != "POST" {
        return json(404, "");
    }
    // The page shows no errors. "JSON OAuth 2.0" is what it calls its responses, so they are those
    // of RFC 6749 §5.2.
    let refuse = |code: &str| json(400, format!(r#"{{"error":"{code}"}}"#));
    let form = request.form();
    if request.content_type() != "application/x-www-form-urlencoded"
        || !request.query.is_empty()
        || request.headers.contains_key("authorization")
        || !names_are(&form, &["grant_type", "client_id", "client_secret", "scope"])
    {
        return refuse("invalid_request");
    }
    if only(&form, "grant_type") != Some("client_credentials") {
        return refuse("unsupported_grant_type");
    }
    if only(&form, "scope") != Some("example.com") {
        return refuse("invalid_scope");
    }
    if (only(&form, "client_id"), only(&form, "client_secret")) != (Some(ID), Some(SECRET)) {
        return refuse("invalid_client");
    }
    json(200, SAMPLE.replace(TOKEN, token))
}

async fn server() -> Server {
    // RFC 6750, which the page names for the use of tokens.
    let expired = json(401, "");
    Server::start(TOKEN, 3599, expired, token_endpoint).await
}

#[tokio::test]
async fn the_sample() {
    let server = server().await;
    for host in ["example.com", "https://example.com", "http://example.com/"] {
        let builder = bright_pattern(host, ID, SECRET);
        leaks_nothing(None, &[&builder]);
        let token = fetch(builder.base_url(server.base_url())).await.unwrap();
        assert!(token.expose_secret().starts_with(TOKEN));
        assert_eq!(token.lifetime(), Some(Duration::from_secs(3599)));
    }
}

#[tokio::test]
async fn errors() {
    let server = server().await;
    let api = |host: &str, id: &str, secret: &str| {
        bright_pattern(host, id, secret).base_url(server.base_url())
    };
    for (builder, code, check) in [
        (api("other.example.com", ID, SECRET), "invalid_scope", "the tenant's host"),
        // The scope has the port that was given.
        (api("example.com:8443", ID, SECRET), "invalid_scope", "the tenant's host"),
        (api("example.com", "other", SECRET), "invalid_client", "not the password"),
        (api("example.com", ID, "hunter2 no"), "invalid_client", "not the password"),
        (api("example.com", ID, SECRET).param("x", "y"), "invalid_request", "check"),
        (api("example.com", ID, SECRET).grant_type("password"), "unsupported_grant_type", "check"),
    ] {
        let error = fetch(builder).await.unwrap_err();
        assert_eq!((error.kind(), error.oauth_code()), (ErrorKind::Denied, Some(code)));
        assert!(error.to_string().contains(check), "{error}");
        leaks_nothing(Some(&error), &[]);
    }
}

#[tokio::test]
async fn through_the_whole_stack() {
    let server = server().await;
    let tokens = server.cache(bright_pattern("example.com", ID, SECRET), 0.5);
    let mut resource = server.client(&tokens);
    for hour in 1..4 {
        assert_eq!(resource.get().await, 200);
        assert_eq!(server.token_requests(), hour);
        server.clock().advance(3599);
    }
    leaks_nothing(None, &[&tokens]);
}
