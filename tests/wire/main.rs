//! Lenient in, strict out: what `TokenEndpoint` sends, and what it makes of the responses.
#![cfg(feature = "token-endpoint")]

use std::{
    convert::Infallible,
    error::Error as _,
    io,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use proptest::prelude::*;
use tower::BoxError;
use tower::{ServiceExt, service_fn};
use tower_oauth::{
    Error, ErrorKind, RefreshReason, Token, TokenEndpoint, TokenRequest,
    token_endpoint::{
        ClientAuth, EndpointRequest, HttpTransport, LifetimeUnit, ParamEncoding, Parameter,
        ResponseField, ResponseFormat, Secret, TokenEndpointBuilder,
    },
};

#[cfg(any(feature = "client", feature = "client-ring"))]
mod connections;
mod derive;
mod errors;
#[cfg(any(feature = "client", feature = "client-ring"))]
mod identity;
mod lifetimes;
#[cfg(any(feature = "client", feature = "client-ring"))]
mod proxies;
mod retry;
mod secret;
#[cfg(any(feature = "client", feature = "client-ring"))]
mod server;
mod settings;
#[cfg(any(feature = "client", feature = "client-ring"))]
#[path = "../support/mod.rs"]
mod support;
mod withhold;

const URL: &str = "https://idp.example.com/oauth2/token";
/// Its longest run of letters and digits is long enough to be told from ordinary words.
const SECRET: &str = "s3cr3tkey/+ &=ü\"";
const OK: &str = r#"{"access_token":"tok","token_type":"Bearer","expires_in":3600}"#;

fn builder() -> TokenEndpointBuilder {
    TokenEndpoint::builder(URL).client_id("id").client_secret(SECRET)
}

type Sent = (Method, Uri, HeaderMap, String);

/// Fetches once and gives back what was sent.
async fn sent(builder: TokenEndpointBuilder) -> Sent {
    let seen = Arc::new(Mutex::new(None));
    let http = {
        let seen = Arc::clone(&seen);
        service_fn(move |request: Request<Full<Bytes>>| {
            let seen = Arc::clone(&seen);
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let body = String::from_utf8(body.to_vec()).unwrap();
                *seen.lock().unwrap() = Some((head.method, head.uri, head.headers, body));
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(OK))))
            }
        })
    };
    fetch(builder.build_with(http).unwrap()).await.unwrap();
    let sent = seen.lock().unwrap().take();
    sent.unwrap()
}

async fn fetch(fetcher: TokenEndpoint) -> Result<Token, Error> {
    fetcher.oneshot(TokenRequest::new(RefreshReason::Cold)).await
}

/// What becomes of a response.
async fn read(builder: TokenEndpointBuilder, response: Response<Bytes>) -> Result<Token, Error> {
    let http = service_fn(move |_: Request<Full<Bytes>>| {
        let response = response.clone().map(Full::new);
        async { Ok::<_, Infallible>(response) }
    });
    fetch(builder.build_with(http).unwrap()).await
}

fn response(status: u16, body: impl Into<Bytes>) -> Response<Bytes> {
    Response::builder().status(status).body(body.into()).unwrap()
}

fn form(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

fn form_value(value: &str) -> String {
    form_urlencoded::byte_serialize(value.as_bytes()).collect()
}

fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

/// Everything about an error that anybody could print.
fn printed(error: &Error) -> String {
    let mut all = format!("{error} {error:?} {error:#?}");
    let mut next = error.source();
    while let Some(cause) = next {
        all += &format!(" {cause} {cause:?}");
        next = cause.source();
    }
    all
}

fn shows_no_secret(printed: &str) {
    let encoded = form_value(SECRET);
    for form in [
        SECRET,
        "s3cr3t",
        &encoded,
        &encoded.replace('+', "%20"),
        &STANDARD.encode(SECRET),
        &basic("id", SECRET)["Basic ".len()..],
        &basic("id", &encoded)["Basic ".len()..],
    ] {
        assert!(!printed.contains(form), "{form} in {printed}");
    }
}

// Out.

#[tokio::test]
async fn the_standard_request() {
    let (method, uri, headers, body) = sent(builder().scope("read write")).await;
    assert_eq!(method, "POST");
    assert_eq!(uri, URL);
    assert_eq!(body, "grant_type=client_credentials&scope=read+write");
    assert_eq!(headers["content-type"], "application/x-www-form-urlencoded");
    assert_eq!(headers["accept"], "application/json");
    assert_eq!(headers["cache-control"], "no-store");
    // RFC 6749 §2.3.1: encoded as a form, then as Basic.
    assert_eq!(headers["authorization"], basic("id", "s3cr3tkey%2F%2B+%26%3D%C3%BC%22"));
    assert!(headers["authorization"].is_sensitive());
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(headers["user-agent"], format!("tower-oauth/{version}"));
    assert_eq!(headers.len(), 5);
}

#[tokio::test]
async fn each_way_of_authentication() {
    const GRANT: (&str, &str) = ("grant_type", "client_credentials");
    let both = [("client_id", "id"), ("client_secret", SECRET)];

    let (_, _, headers, body) = sent(builder().auth(ClientAuth::BasicRaw)).await;
    assert_eq!(headers["authorization"], basic("id", SECRET));
    assert_eq!(body, form(&[GRANT]));

    let (_, uri, headers, body) = sent(builder().auth(ClientAuth::Body)).await;
    assert!(!headers.contains_key("authorization"));
    assert_eq!(uri, URL);
    assert_eq!(body, form(&[GRANT, both[0], both[1]]));

    let (_, uri, headers, body) = sent(builder().auth(ClientAuth::Query)).await;
    assert!(!headers.contains_key("authorization"));
    assert_eq!(uri.query().unwrap(), form(&both).replace('+', "%20"));
    assert_eq!(body, form(&[GRANT]));

    let auth = |client_id: Option<&str>| ClientAuth::Headers {
        client_id: client_id.map(str::to_owned),
        client_secret: "X-Secret".to_owned(),
    };
    let plain = || builder().client_secret("plain");
    let (_, _, headers, body) = sent(plain().auth(auth(Some("x-id")))).await;
    assert_eq!(headers["x-id"], "id");
    assert_eq!(headers["x-secret"], "plain");
    assert!(headers["x-secret"].is_sensitive());
    assert_eq!(body, form(&[GRANT]));
    let (_, _, headers, body) = sent(plain().auth(auth(None))).await;
    assert_eq!(headers["x-secret"], "plain");
    assert_eq!(body, form(&[GRANT, both[0]]));

    let none = TokenEndpoint::builder(URL).client_id("id").auth(ClientAuth::None);
    let (_, _, headers, body) = sent(none).await;
    assert!(!headers.contains_key("authorization"));
    assert_eq!(body, form(&[GRANT, both[0]]));
}

#[tokio::test]
async fn parameters_and_headers() {
    let url = "http://127.0.0.1:8080/token?tenant=a%20b&x";
    let (_, uri, headers, body) = sent(
        builder()
            .url(url)
            .audience("https://api.example.com")
            .resource("https://a.example.com/")
            .resource("urn:b")
            .param("extra", "1")
            .param("extra", "2&3")
            .header("X-Api-Key", Secret::value("key"))
            .header("User-Agent", "program/1")
            .header("accept", "*/*"),
    )
    .await;
    assert_eq!(uri, url);
    assert_eq!(
        body,
        form(&[
            ("grant_type", "client_credentials"),
            ("audience", "https://api.example.com"),
            ("resource", "https://a.example.com/"),
            ("resource", "urn:b"),
            ("extra", "1"),
            ("extra", "2&3"),
        ])
    );
    assert_eq!(headers["x-api-key"], "key");
    assert!(headers["x-api-key"].is_sensitive());
    assert_eq!(headers["user-agent"], "program/1");
    assert!(!headers["user-agent"].is_sensitive());
    assert_eq!(headers.get_all("accept").iter().collect::<Vec<_>>(), ["*/*"]);
}

#[tokio::test]
async fn json_and_query() {
    let odd = builder()
        .auth(ClientAuth::Body)
        .no_grant_type()
        .rename_param(Parameter::ClientId, "licence_code")
        .param("n", "1")
        .param("n", "\"2\"");
    let (_, _, headers, body) = sent(odd.clone().param_encoding(ParamEncoding::Json)).await;
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&body).unwrap(),
        serde_json::json!({"n": ["1", "\"2\""], "licence_code": "id", "client_secret": SECRET})
    );

    let odd = odd.url(format!("{URL}?v=4")).method(Method::GET);
    let (method, uri, headers, body) = sent(odd).await;
    assert_eq!((method, body.as_str()), (Method::GET, ""));
    assert!(!headers.contains_key("content-type"));
    let query = form(&[
        ("v", "4"),
        ("n", "1"),
        ("n", "\"2\""),
        ("licence_code", "id"),
        ("client_secret", SECRET),
    ]);
    assert_eq!(uri.query().unwrap(), query.replace('+', "%20"));
    assert_eq!(uri.path(), "/oauth2/token");

    let moved = builder().url("https://h:1/t/?v=4").base_url("http://127.0.0.1:80/");
    assert_eq!(sent(moved).await.1, "http://127.0.0.1:80/t/?v=4");

    let apikey = builder().grant_type("apikey").rename_param(Parameter::GrantType, "g");
    assert_eq!(sent(apikey).await.3, "g=apikey");
}

// In: tokens.

#[tokio::test]
async fn what_is_taken_for_a_token() {
    const YEAR: u64 = 31_536_000;
    let token_with = |members: &str| format!(r#"{{"access_token":"tok"{members}}}"#);
    let lifetimes = [
        ("", None),
        ("null", None),
        ("3599", Some(3599)),
        (r#""3599""#, Some(3599)),
        (r#"" 3599 ""#, Some(3599)),
        ("3599.0", Some(3599)),
        (r#""3.599e3""#, Some(3599)),
        ("0", Some(0)),
        ("-1", Some(0)),
        (r#""-1""#, Some(0)),
        ("1e999", Some(YEAR)),
        ("-1e999", Some(0)),
        (r#""inf""#, Some(YEAR)),
        ("9223372036854775807", Some(YEAR)),
        ("18446744073709551616", Some(YEAR)),
        (r#""soon""#, None),
        (r#""NaN""#, None),
        (r#""""#, None),
        ("true", None),
        (r#"{"s":1}"#, None),
    ];
    let mut cases: Vec<(u16, String, Option<u64>)> = lifetimes
        .map(|(written, read)| match written {
            "" => (200, token_with(""), read),
            _ => (200, token_with(&format!(r#","expires_in":{written}"#)), read),
        })
        .into();
    for token_type in ["bearer", "Bearer", "BEARER", "BearerToken", "bearertoken", " Bearer ", ""] {
        cases.push((200, token_with(&format!(r#","token_type":"{token_type}""#)), None));
    }
    for members in [
        r#","token_type":null"#,
        r#","scope":"never asked for","refresh_token":"r","x":[{"y":1e999}]"#,
        r#","error":null"#,
        r#","error":"""#,
        r#","error":false"#,
        r#","x":"\ud800""#,
        ",",
        " , \r\n",
    ] {
        cases.push((200, token_with(members), None));
    }
    for status in [201, 203, 299] {
        cases.push((status, OK.to_owned(), Some(3600)));
    }
    let bright_pattern = "{\n\"access_token\":\"tok\",\n\"expires_in\":\"3599\",\n}";
    cases.push((200, bright_pattern.to_owned(), Some(3599)));
    cases.push((200, format!("\u{feff} {}\r\n", token_with("")), None));
    cases.push((200, r#"{"access_token":"\u0074ok"}"#.to_owned(), None));
    for (status, body, lifetime) in cases {
        let token = read(builder(), response(status, body.clone())).await;
        let token = token.unwrap_or_else(|error| panic!("{body}: {error}"));
        assert_eq!(token.expose_secret(), "tok", "{body}");
        assert_eq!(token.lifetime(), lifetime.map(Duration::from_secs), "{body}");
        assert!(token.age().is_some());
        assert_eq!(token.refresh_after(), None);
    }

    let long = "x".repeat(64 * 1024);
    let body = format!(r#"{{"access_token":"{long}"}}"#);
    assert_eq!(read(builder(), response(200, body)).await.unwrap().expose_secret(), long);
    // Bytes that are no UTF-8, where nobody looks.
    let latin1 = b"{\"access_token\":\"tok\",\"note\":\"\xfc\"}".to_vec();
    assert!(read(builder(), response(200, latin1)).await.is_ok());
}

#[tokio::test]
async fn what_is_no_token() {
    let too_long = format!(r#"{{"access_token":"{}"}}"#, "x".repeat(64 * 1024 + 1));
    let over_limit = format!("{OK}{}", " ".repeat(1024 * 1024));
    let deep = "[".repeat(1024 * 1024);
    for (status, body, says) in [
        (200, "", "it is empty"),
        (204, "", "it is empty"),
        (200, "   ", "it is empty"),
        (200, "<!DOCTYPE html><title>Sign in</title>", "it is an HTML page"),
        (200, "OK", "not a JSON object"),
        (200, "[]", "not a JSON object"),
        (200, r#""tok""#, "not a JSON object"),
        (200, r#"{"access_token":"tok""#, "not a JSON object"),
        (200, r#"{"access_token":"tok",,}"#, "not a JSON object"),
        (200, r#"{"access_token":"tok"} {}"#, "not a JSON object"),
        (200, &deep, "not a JSON object"),
        (200, "{}", "no `access_token`"),
        (200, r#"{"access_token":null}"#, "no `access_token`"),
        (200, r#"{"access_token":7}"#, "no `access_token`"),
        (200, r#"{"access_token":{"tok":1}}"#, "no `access_token`"),
        (200, r#"{"access_token":""}"#, "header cannot carry"),
        (200, r#"{"access_token":"t k"}"#, "header cannot carry"),
        (200, r#"{"access_token":"tök"}"#, "header cannot carry"),
        (200, r#"{"access_token":"tok","token_type":"mac"}"#, "token type \"mac\" is unknown"),
        (200, r#"{"access_token":"tok","token_type":7}"#, "is unknown"),
        (200, &too_long, "longer than 64 KiB"),
        (200, &over_limit, "longer than 1 MiB"),
        (302, "", "redirects are not followed"),
        (307, OK, "redirects are not followed"),
    ] {
        let error = read(builder(), response(status, body.to_owned())).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidResponse, "{body:.100}");
        assert!(error.is_transient());
        assert_eq!(error.status().unwrap(), status);
        assert!(error.to_string().contains(says), "{body:.100}: {error}");
        assert!(!printed(&error).contains("tok\""), "{error}");
    }
}

#[tokio::test]
async fn a_token_type_that_is_allowed() {
    let jwt = r#"{"access_token":"tok","token_type":"jwt"}"#;
    let dpop = r#"{"access_token":"tok","token_type":"DPoP"}"#;
    assert!(read(builder().token_type("JWT", "Bearer"), response(200, jwt)).await.is_ok());
    assert!(read(builder().token_type("JWT", "Bearer"), response(200, dpop)).await.is_err());
    assert!(read(builder().token_type("dpop", "DPoP"), response(200, dpop)).await.is_ok());
    // For a header that wants nothing else. What says no type is Bearer.
    let untyped = r#"{"access_token":"tok"}"#;
    let empty = r#"{"access_token":"tok","token_type":" "}"#;
    let long = r#"{"access_token":"tok","token_type":"BearerToken"}"#;
    for body in [OK, untyped, empty, long] {
        let token = read(builder().token_type("Bearer", ""), response(200, body)).await.unwrap();
        assert_eq!((token.scheme(), token.expose_secret()), ("", "tok"));
        assert_eq!(token.header_value().unwrap(), "tok");
    }
    // An SDK has the last word, whatever its user's configuration says.
    let twice = builder().token_type("bearer", "Token").token_type("Bearer", "");
    assert_eq!(read(twice, response(200, OK)).await.unwrap().scheme(), "");
}

#[tokio::test]
async fn responses_of_another_shape() {
    let odd = builder()
        .response_field(ResponseField::AccessToken, "/data/token/value")
        .response_field(ResponseField::ExpiresIn, "/data/ttl")
        .response_field(ResponseField::TokenType, "kind")
        .lifetime_unit(LifetimeUnit::Milliseconds)
        .refresh_after(Duration::from_secs(60));
    let body =
        r#"{"data":{"token":{"value":"tok"},"ttl":"90500"},"kind":"Bearer","token_type":"mac"}"#;
    let token = read(odd.clone(), response(200, body)).await.unwrap();
    assert_eq!(token.expose_secret(), "tok");
    assert_eq!(token.lifetime(), Some(Duration::from_millis(90_500)));
    assert_eq!(token.refresh_after(), Some(Duration::from_secs(60)));
    let error = read(odd, response(200, r#"{"data":{"token":[]}}"#)).await.unwrap_err();
    assert!(error.to_string().contains("no `/data/token/value`"), "{error}");

    let form = builder().response_format(ResponseFormat::Form);
    let body = "access_token=to%2Bk&expires_in=60&token_type=bearer";
    let token = read(form.clone(), response(200, body)).await.unwrap();
    assert_eq!(token.expose_secret(), "to+k");
    assert_eq!(token.lifetime(), Some(Duration::from_secs(60)));
    let body = "error=bad_verification_code&error_description=x+y";
    let error = read(form.clone(), response(200, body)).await.unwrap_err();
    assert_eq!(error.description(), Some("x y"));
    assert!(read(form, response(200, OK)).await.unwrap_err().to_string().contains("form-encoded"));
}

// In: errors.

#[tokio::test]
async fn how_errors_are_read() {
    use ErrorKind::{Denied, InvalidResponse, Unavailable};
    let html = "<html><body>Bad gateway for s3cr3t</body></html>";
    let is_html = Some("it is an HTML page");
    for (status, body, kind, code, description) in [
        (400, r#"{"error":"invalid_client"}"#, Denied, Some("invalid_client"), None),
        (
            401,
            r#"{"error":"invalid_client","error_description":"no"}"#,
            Denied,
            Some("invalid_client"),
            Some("no"),
        ),
        (400, r#"{"error":"Invalid Client"}"#, Denied, Some("invalid_client"), None),
        (400, r#"{"error":"InvalidClient"}"#, Denied, Some("invalid_client"), None),
        (400, r#"{"error":"INVALID-CLIENT"}"#, Denied, Some("invalid_client"), None),
        (
            400,
            r#"{"code":"invalid_scope","message":"m"}"#,
            Denied,
            Some("invalid_scope"),
            Some("m"),
        ),
        (400, r#"{"title":"Unauthorized Client"}"#, Denied, Some("unauthorized_client"), None),
        (400, r#"{"error":"invalid_grant"}"#, Denied, Some("invalid_grant"), None),
        (400, r#"{"error":"invalid_target"}"#, Denied, Some("invalid_target"), None),
        // Another code than the one that it starts with.
        (
            400,
            r#"{"error":"invalid_client_metadata"}"#,
            Denied,
            Some("invalid_client_metadata"),
            None,
        ),
        (
            400,
            "400 Error (Unsupported Grant Type)",
            Denied,
            Some("unsupported_grant_type"),
            Some("400 Error (Unsupported Grant Type)"),
        ),
        (
            400,
            "error=invalid_grant&error_description=a+b",
            Denied,
            Some("invalid_grant"),
            Some("a b"),
        ),
        (500, r#"{"error":"invalid_request"}"#, Denied, Some("invalid_request"), None),
        (200, r#"{"error":"invalid_client"}"#, Denied, Some("invalid_client"), None),
        (
            200,
            r#"{"access_token":"tok","error":"invalid_client"}"#,
            Denied,
            Some("invalid_client"),
            None,
        ),
        (200, r#"{"error":"no idea"}"#, Denied, None, Some("no idea")),
        (200, r#"{"error":{"message":"m"}}"#, Denied, None, Some("m")),
        (200, r#"{"error":17}"#, Denied, Some("17"), None),
        (
            400,
            r#"{"error":"temporarily_unavailable"}"#,
            Unavailable,
            Some("temporarily_unavailable"),
            None,
        ),
        (400, r#"{"error":"server_error"}"#, Unavailable, Some("server_error"), None),
        // DHL's, RFC 9457's.
        (
            400,
            r#"{"type":"https://example.com/400.5","title":"Invalid credentials"}"#,
            Denied,
            None,
            Some("Invalid credentials"),
        ),
        (403, r#"{"title":"t","detail":"d","status":403}"#, Denied, None, Some("d")),
        (400, "", Denied, None, None),
        (401, "", Denied, None, None),
        (403, "nope\r\n", Denied, None, Some("nope")),
        (404, "", Unavailable, None, None),
        (400, r#"{"access_token":"tok","broken"#, Denied, None, None),
        (400, r#"{"unknown":"tok"}"#, Denied, None, None),
        (400, "[\"tok\"]", Denied, None, None),
        (408, "", Unavailable, None, None),
        (429, "", Unavailable, None, None),
        (500, r#"{"message":"oops"}"#, Unavailable, None, Some("oops")),
        (502, html, Unavailable, None, is_html),
        (503, "", Unavailable, None, None),
        // Prose decides nothing over a status that says "later"; a code does.
        (503, "Access denied: too busy", Unavailable, None, Some("Access denied: too busy")),
        (429, r#"{"title":"Access Denied: slow"}"#, Unavailable, None, Some("Access Denied: slow")),
        (408, "invalid request: late", Unavailable, None, Some("invalid request: late")),
        (302, "invalid request: x", InvalidResponse, None, Some("invalid request: x")),
        (429, r#"{"error":"Invalid Request"}"#, Denied, Some("invalid_request"), None),
        (403, "Access denied: no", Denied, Some("access_denied"), Some("Access denied: no")),
        (599, "", Unavailable, None, None),
        (403, html, Denied, None, is_html),
        (407, html, Denied, None, is_html),
    ] {
        let error = read(builder(), response(status, body)).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{status} {body}");
        assert_eq!(error.is_transient(), kind != Denied, "{status} {body}");
        assert_eq!(error.status(), StatusCode::from_u16(status).ok());
        assert_eq!(error.oauth_code(), code, "{status} {body}");
        assert_eq!(error.description(), description, "{status} {body}");
        assert!(!printed(&error).contains("tok\""), "{error}");
        shows_no_secret(&printed(&error));
    }
    // JSON that calls itself HTML, and a page that does not look like one.
    let mut misnamed = response(400, r#"{"error":"invalid_client"}"#);
    misnamed.headers_mut().insert("content-type", "text/html".parse().unwrap());
    assert_eq!(read(builder(), misnamed).await.unwrap_err().oauth_code(), Some("invalid_client"));
    let mut misnamed = response(400, r#"{"title":"Invalid credentials"}"#);
    misnamed.headers_mut().insert("content-type", "text/html".parse().unwrap());
    let error = read(builder(), misnamed).await.unwrap_err();
    assert_eq!((error.kind(), error.description()), (Denied, Some("Invalid credentials")));
    let mut unnamed = response(503, "Sorry");
    unnamed.headers_mut().insert("content-type", "Text/HTML; charset=utf-8".parse().unwrap());
    assert_eq!(read(builder(), unnamed).await.unwrap_err().description(), is_html);
}

#[tokio::test]
async fn an_error_that_is_too_long_is_still_one() {
    let long = || "x".repeat(2 << 20);
    let mut busy = response(503, long());
    busy.headers_mut().insert("retry-after", "77".parse().unwrap());
    let error = read(builder(), busy).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.retry_after(), Some(Duration::from_secs(77)));
    let error = read(builder(), response(401, long())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.hint().unwrap().contains("id and secret"));
}

#[tokio::test]
async fn a_response_that_is_a_list() {
    let first = builder()
        .response_field(ResponseField::AccessToken, "/0/token")
        .response_field(ResponseField::ExpiresIn, "/1");
    let token = read(first.clone(), response(200, r#"[{"token":"tok"},60,]"#)).await.unwrap();
    assert_eq!(token.expose_secret(), "tok");
    assert_eq!(token.lifetime(), Some(Duration::from_secs(60)));
    let error = read(first, response(200, "[]")).await.unwrap_err();
    assert!(error.to_string().contains("no `/0/token`"), "{error}");
    let error = read(builder(), response(200, "[]")).await.unwrap_err();
    assert!(error.to_string().contains("not a JSON object"), "{error}");
}

#[tokio::test]
async fn a_response_that_is_written_otherwise() {
    let form = response(200, "access_token=tok&token_type=bearer");
    let error = read(builder(), form).await.unwrap_err();
    assert!(error.hint().unwrap().contains("`response_format`"), "{error}");
    let mut zipped = response(200, &b"\x1f\x8b\x08"[..]);
    zipped.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
    let error = read(builder(), zipped).await.unwrap_err();
    assert!(error.hint().unwrap().contains("Content-Encoding"), "{error}");
}

#[tokio::test]
async fn the_cause_without_the_url() {
    #[derive(Debug)]
    struct Said(&'static str);
    impl std::fmt::Display for Said {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.0)
        }
    }
    impl std::error::Error for Said {}
    for (kind, said, description) in [
        (
            io::ErrorKind::Other,
            "failed to lookup address information: s3cr3t",
            "the host name cannot be resolved (DNS)",
        ),
        (
            io::ErrorKind::InvalidData,
            "invalid peer certificate: UnknownIssuer",
            "the server's certificate is not trusted (UnknownIssuer)",
        ),
        (
            io::ErrorKind::InvalidData,
            "received corrupt message of type InvalidContentType",
            "the server does not speak TLS",
        ),
        (io::ErrorKind::ConnectionRefused, "s3cr3t", "connection refused"),
        (io::ErrorKind::TimedOut, "s3cr3t", "timed out"),
        (io::ErrorKind::Other, "s3cr3t", ""),
        (io::ErrorKind::Other, "https://certificate.dns/s3cr3t", ""),
    ] {
        let http = service_fn(move |_: Request<Full<Bytes>>| async move {
            let error: BoxError = Box::new(Unreachable(
                "https://h/?certificate=s3cr3t".to_owned(),
                io::Error::new(kind, Said(said)),
            ));
            Err::<Response<Full<Bytes>>, _>(error)
        });
        let by_get = builder().auth(ClientAuth::Query);
        let error = fetch(by_get.build_with(http).unwrap()).await.unwrap_err();
        let parts = ["idp.example.com", description].map(str::to_owned);
        let description = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
        assert_eq!(error.description(), Some(&*description.join(": ")), "{said}");
        assert!(error.source().is_none());
    }
}

#[tokio::test]
async fn a_client_that_a_layer_below_proves() {
    let (.., body) = sent(TokenEndpoint::builder(URL).auth(ClientAuth::None)).await;
    assert_eq!(body, "grant_type=client_credentials");
}

#[tokio::test]
async fn retry_after_in_both_forms() {
    let now = SystemTime::now();
    let at = |seconds| httpdate::fmt_http_date(now + Duration::from_secs(seconds));
    for (retry_after, date, from, to) in [
        ("120", None, 120, 120),
        (" 7 ", None, 7, 7),
        ("99999999999999999999999", None, 300, u64::MAX),
        (&at(60), None, 50, 60),
        // The server's clock is two hours ahead.
        (&at(7_260), Some(at(7_200)), 60, 60),
        (&at(0), Some(at(10)), 0, 0),
    ] {
        let mut busy = response(503, "");
        busy.headers_mut().insert("retry-after", retry_after.parse().unwrap());
        if let Some(date) = date {
            busy.headers_mut().insert("date", date.parse().unwrap());
        }
        let wait = read(builder(), busy).await.unwrap_err().retry_after().unwrap().as_secs();
        assert!((from..=to).contains(&wait), "{retry_after}: {wait}");
    }
    for nonsense in ["soon", "-1", "1.5", ""] {
        let mut busy = response(429, "");
        busy.headers_mut().insert("retry-after", nonsense.parse().unwrap());
        assert_eq!(read(builder(), busy).await.unwrap_err().retry_after(), None);
    }
}

/// Like reqwest's errors, which print the URL.
#[derive(Debug)]
struct Unreachable(String, io::Error);

impl std::fmt::Display for Unreachable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "error sending request for url ({})", self.0)
    }
}

impl std::error::Error for Unreachable {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.1)
    }
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_reached() {
    let http = service_fn(|request: Request<Full<Bytes>>| async move {
        let url = request.uri().to_string();
        let refused = io::Error::new(io::ErrorKind::ConnectionRefused, url.clone());
        Err::<Response<Full<Bytes>>, _>(Unreachable(url, refused))
    });
    let error = fetch(builder().build_with(http).unwrap()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Unavailable, true));
    assert!(error.source().unwrap().is::<Unreachable>());

    for in_the_url in [
        builder().auth(ClientAuth::Query),
        builder().auth(ClientAuth::Body).method(Method::GET),
        builder().url(format!("{URL}?key=s3cr3t")),
    ] {
        let error = fetch(in_the_url.build_with(http).unwrap()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.source().is_none());
        assert_eq!(error.description(), Some("idp.example.com: connection refused"));
        shows_no_secret(&printed(&error));
    }
}

// The seam below the grant.

#[tokio::test]
async fn layers_between_the_grant_and_the_wire() {
    let http = service_fn(|request: Request<Full<Bytes>>| async move {
        assert_eq!(request.headers()["dpop"], "proof");
        let body = request.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "grant_type=client_credentials&client_id=id&client_assertion=jwt");
        Ok::<_, BoxError>(Response::new(Full::new(Bytes::from(OK))))
    });
    let stack = tower::ServiceBuilder::new()
        .map_request(|mut request: EndpointRequest| {
            request.params.push("client_assertion", "jwt");
            request.headers.insert("dpop", "proof".parse().unwrap());
            request
        })
        .timeout(Duration::from_secs(1))
        .service(HttpTransport::new(http));
    let fetcher = TokenEndpoint::builder(URL).client_id("id").auth(ClientAuth::None);
    fetch(fetcher.build_with_transport(stack).unwrap()).await.unwrap();
}

/// What a layer leaves for the HTTP client, such as a deadline, arrives there.
#[tokio::test]
async fn extensions_reach_the_http_request() {
    #[derive(Clone, Debug, PartialEq)]
    struct Traced(u64);
    let http = service_fn(|request: Request<Bytes>| async move {
        assert_eq!(request.extensions().get(), Some(&Traced(7)));
        Ok::<_, Infallible>(Response::new(OK.to_owned()))
    });
    let stack = tower::ServiceBuilder::new()
        .map_request(|mut request: EndpointRequest| {
            request.extensions.insert(Traced(7));
            request
        })
        .service(HttpTransport::new(http));
    fetch(builder().build_with_transport(stack).unwrap()).await.unwrap();
}

/// Any body that is made from `Bytes`; a service that takes every body is told which.
#[tokio::test]
async fn bodies_of_other_types() {
    let owned = service_fn(|request: Request<Vec<u8>>| async move {
        assert_eq!(request.body(), b"grant_type=client_credentials");
        Ok::<_, Infallible>(Response::new(OK.to_owned()))
    });
    fetch(builder().build_with(owned).unwrap()).await.unwrap();

    #[derive(Clone)]
    struct Any;
    impl<B: Send + 'static> tower::Service<Request<B>> for Any {
        type Response = Response<String>;
        type Error = Infallible;
        type Future = std::future::Ready<Result<Response<String>, Infallible>>;

        fn poll_ready(
            &mut self,
            _cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), Infallible>> {
            std::task::Poll::Ready(Ok(()))
        }

        fn call(&mut self, _request: Request<B>) -> Self::Future {
            std::future::ready(Ok(Response::new(OK.to_owned())))
        }
    }
    fetch(builder().build_with::<_, Bytes, _>(Any).unwrap()).await.unwrap();
}

/// Scopes and audiences add up.
#[tokio::test]
async fn lists_that_are_built_call_by_call() {
    let (.., body) = sent(builder().scope("a b").scope("c").audience("x").audience("y")).await;
    let grant = ("grant_type", "client_credentials");
    assert_eq!(body, form(&[grant, ("scope", "a b c"), ("audience", "x"), ("audience", "y")]));
}

#[tokio::test]
async fn readiness_only_right_before_the_call() {
    let (http, mut server) =
        tower_test::mock::pair::<Request<Full<Bytes>>, Response<Full<Bytes>>>();
    server.allow(0);
    // The fetcher is ready while its HTTP service is not: it waits in its future, on a clone.
    let mut fetcher = builder().build_with(http).unwrap();
    fetcher.ready().await.unwrap();
    let fetching = tokio::spawn(fetcher.oneshot(TokenRequest::new(RefreshReason::Cold)));
    tokio::task::yield_now().await;
    assert!(!fetching.is_finished());
    server.allow(1);
    let (_, response) = server.next_request().await.unwrap();
    response.send_response(Response::new(Full::new(Bytes::from(OK))));
    assert!(fetching.await.unwrap().is_ok());
}

#[tokio::test]
async fn an_http_service_that_is_not_sync() {
    fn is_shared<T: Clone + Send + Sync + 'static>(_: &T) {}
    let counter = std::cell::Cell::new(0);
    let http = service_fn(move |_: Request<Full<Bytes>>| {
        counter.set(counter.get() + 1);
        async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(OK)))) }
    });
    let fetcher = builder().build_with(http).unwrap();
    is_shared(&fetcher);
    assert!(fetch(fetcher).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_token_is_as_old_as_its_request() {
    let http = service_fn(|_: Request<Full<Bytes>>| async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(OK))))
    });
    let http = tower::ServiceBuilder::new().concurrency_limit(1).service(http);
    let fetcher = builder().build_with(http).unwrap();
    let (one, two) = tokio::join!(fetch(fetcher.clone()), fetch(fetcher));
    for token in [one.unwrap(), two.unwrap()] {
        let age = token.age().unwrap().as_secs_f64();
        // Not the time that the second one waited for its turn.
        assert!((5.0..5.5).contains(&age), "{age}");
    }
}

// Bad configuration.

#[test]
fn bad_configuration_names_the_field() {
    let url = |url: &str| builder().url(url);
    let secret_in = |header: &str| {
        builder().auth(ClientAuth::Headers { client_id: None, client_secret: header.to_owned() })
    };
    let headers = (0..40_000).fold(builder(), |builder, n| builder.header(format!("x-{n}"), "1"));
    let cases: Vec<(&str, TokenEndpointBuilder)> = vec![
        ("client_id", TokenEndpoint::builder(URL).client_secret("s")),
        ("client_id", builder().client_id("")),
        ("client_id", builder().client_id("a:b").auth(ClientAuth::BasicRaw)),
        ("client_secret", TokenEndpoint::builder(URL).client_id("id")),
        ("client_secret", builder().client_secret("")),
        ("client_secret", builder().client_secret(Secret::env(""))),
        ("client_secret", builder().client_secret(Secret::file(""))),
        ("client_secret", secret_in("x-secret").client_secret("a\nb")),
        ("url", url("")),
        ("url", url("/oauth2/token")),
        ("url", url("idp.example.com")),
        ("url", url("https:///token")),
        ("url", url("https://:443/token")),
        ("url", url("https://idp.example.com:99999/token")),
        ("url", url("https://idp.example.com/token#fragment")),
        ("url", url("https://user:s3cr3t@idp.example.com/token")),
        ("url", url("https://user@idp.example.com/token")),
        ("url", url("ftp://idp.example.com/token")),
        ("url", url("https://idp.example.com/to ken")),
        ("url", url("http://idp.example.com/token")),
        ("url", url("http://localhost.example.com/token")),
        ("url", url("http://localhost@idp.example.com/token")),
        ("url", url("http://127.0.0.1.example.com/token")),
        ("scope", builder().scope("")),
        ("audience", builder().audience(" ")),
        ("grant_type", builder().grant_type("")),
        ("resource", builder().resource("")),
        ("param", builder().param("client_id", "x")),
        ("param", builder().param("client_secret", "x")),
        ("param", builder().param("grant_type", "x")),
        ("param", builder().param("scope", "x")),
        ("param", builder().param("", "x")),
        ("param", builder().rename_param(Parameter::ClientId, "apikey").param("apikey", "x")),
        ("response_field", builder().response_field(ResponseField::AccessToken, "")),
        ("token_type", builder().token_type("JWT", "Bea rer")),
        ("header", builder().header("no such", "x")),
        ("auth", secret_in("Content-Length")),
        ("auth", secret_in("transfer-encoding")),
        ("auth", secret_in("content-type")),
        (
            "auth",
            builder().auth(ClientAuth::Headers {
                client_id: Some("X-Key".into()),
                client_secret: "x-key".into(),
            }),
        ),
        ("method", builder().method(Method::PUT)),
        ("method", builder().method(Method::HEAD)),
        ("refresh_after", builder().refresh_after(Duration::ZERO)),
        ("header", builder().header("", "x")),
        ("header", builder().header("x", "a\nb")),
        ("header", builder().header("Authorization", "x")),
        ("header", secret_in("x-secret").header("X-Secret", "x")),
        ("header", builder().header("content-length", "1")),
        ("header", headers),
        ("auth", secret_in("no such")),
        ("param_encoding", builder().method(Method::GET).param_encoding(ParamEncoding::Form)),
    ];
    let http = service_fn(|_: Request<Full<Bytes>>| async {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
    });
    for (field, builder) in cases {
        let shown = format!("{builder:?}");
        let Err(error) = builder.build_with(http) else { panic!("{field}: {shown} is taken") };
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert_eq!(error.field(), Some(field), "{error}");
        assert!(error.to_string().contains(field), "{error}");
        shows_no_secret(&printed(&error));
    }
    let error = url("https://user@idp.example.com/").build_with(http).unwrap_err();
    assert!(error.to_string().contains("credentials do not belong in a URL"), "{error}");
    for good in [
        url("http://localhost/token"),
        url("http://LOCALHOST:8080/token"),
        url("http://127.9.9.9/token"),
        url("http://[::1]:8080/token"),
        url("http://idp.example.com/token").insecure_allow_http(),
        url("HTTPS://idp.example.com"),
        url("https://idp.example.com:443/token?a=b"),
        builder().resource("urn:x"),
        builder().header("Authorization", "x").auth(ClientAuth::Body),
    ] {
        good.build_with(http).unwrap();
    }
}

// Whatever comes.

fn json_like() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\\",
            "null",
            "\"access_token\":",
            "\"error\":",
            "\"expires_in\":",
            "\"token_type\":",
            "\u{feff}",
        ])
        .prop_map(str::to_owned),
        "\"[^\"]{0,4}\"",
        "-?[0-9]{1,25}(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,4})?",
        "\\PC{0,3}",
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn survives(status: u16, body: Vec<u8>, format: ResponseFormat) {
    let builder =
        builder().response_format(format).response_field(ResponseField::ExpiresIn, "/a/0/b");
    if let Err(error) = block_on(read(builder, response(status, body))) {
        let length = error.description().map_or(0, |text| text.chars().count());
        assert!(length <= 300, "{error}");
    }
}

proptest! {
    #[test]
    fn any_bytes(status in 200_u16..600, body in prop::collection::vec(any::<u8>(), 0..300)) {
        survives(status, body.clone(), ResponseFormat::Json);
        survives(status, body, ResponseFormat::Form);
    }

    #[test]
    fn anything_like_json(status in prop::sample::select(vec![200_u16, 400]), body in json_like()) {
        survives(status, body.clone().into_bytes(), ResponseFormat::Json);
        survives(status, body.into_bytes(), ResponseFormat::Form);
    }

    #[test]
    fn a_trailing_comma_changes_nothing(token in "[!-~&&[^\"\\\\]]{1,30}", lifetime: u16) {
        let body = format!(r#"{{"access_token":"{token}","expires_in":"{lifetime}" , }}"#);
        let read = block_on(read(builder(), response(200, body))).unwrap();
        prop_assert_eq!(read.expose_secret(), token);
        prop_assert_eq!(read.lifetime(), Some(Duration::from_secs(lifetime.into())));
    }
}
