//! DQE, from its page.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tower::{ServiceBuilder, ServiceExt};
use tower_oauth::{
    Error, ErrorKind, RefreshReason, TokenRequest,
    token_endpoint::{ClientAuth, EndpointRequest, HttpTransport, TokenEndpointBuilder},
    vendor::{dqe, dqe_get},
};

use crate::server::{ID, Received, Response, SECRET, Server, fetch, json, leaks_nothing, only};

const TOKEN: &str = "TK948869a6f873adb622enhoaGeVY2iRaptqlmpplGeWZA";

/// The page's sample, byte for byte.
const SAMPLE: &str = r#"{
"access_token": "TK948869a6f873adb622enhoaGeVY2iRaptqlmpplGeWZA",
"token_type": "Bearer",
"expires_in": "300",
"refresh_token": "*TK9bdd05f8e9d3c905834bdeqaUlGFll2iRaplll29mZmtkZQ"
}"#;

/// The page says "400 Error (Invalid Client)" and shows no body, so every form that it may come in
/// is served.
#[derive(Clone, Copy, Debug)]
enum Form {
    Text,
    Json,
    Problem,
}

fn token_endpoint(form: Form, request: &Received, token: &str) -> Response {
    let error = |name: &str| match form {
        Form::Text => (400, "text/plain", format!("400 Error ({name})")),
        Form::Json => json(400, format!(r#"{{"error": "{name}"}}"#)),
        Form::Problem => json(400, format!(r#"{{"title": "{name}", "status": 400}}"#)),
    };
    if request.path != "/oauth/access_token/" {
        return (404, "text/plain", String::new());
    }
    let params = match request.method.as_str() {
        "GET" if request.body.is_empty() => request.query.clone(),
        "POST"
            if request.content_type() == "application/x-www-form-urlencoded"
                && request.query.is_empty() =>
        {
            request.form()
        }
        _ => return (405, "text/plain", String::new()),
    };
    // The page's typo leaves `client_secret` missing as well, and is a 500 all the same: names
    // come first. An `Authorization` header is a place that the page does not have.
    let known = ["client_id", "client_secret", "scope"];
    if params.iter().any(|(name, _)| !known.contains(&&**name))
        || request.headers.contains_key("authorization")
    {
        return (500, "text/plain", "500 Error".to_owned());
    }
    let given = |name| only(&params, name).filter(|value| !value.is_empty());
    let (Some(id), Some(secret), Some(scope)) =
        (given("client_id"), given("client_secret"), given("scope"))
    else {
        return error("Invalid Request");
    };
    // No row for a wrong secret: it is taken as the wrong client that it is.
    match (id, secret, scope) {
        ("LICENCE_CODE_NOT_AUTHORIZED", SECRET, "client_address") => error("Unauthorized Client"),
        (ID, SECRET, "client_address") => json(200, SAMPLE.replace(TOKEN, token)),
        (ID, SECRET, _) => error("Unsupported Grant Type"),
        _ => error("Invalid Client"),
    }
}

async fn server(form: Form) -> Server {
    // The page does not say how a resource responds to an expired token: RFC 6750 §3.1.
    let expired = json(401, "");
    Server::start(TOKEN, 300, expired, move |request, token| token_endpoint(form, request, token))
        .await
}

/// Sends what the builder would refuse to: the request as a layer below it bent it.
async fn fetch_bent(
    builder: TokenEndpointBuilder,
    bend: impl Fn(&mut tower_oauth::token_endpoint::Params) + Clone + Send + 'static,
) -> Error {
    let http = Client::builder(TokioExecutor::new()).build::<_, Full<Bytes>>(HttpConnector::new());
    let bent = ServiceBuilder::new()
        .map_request(move |mut request: EndpointRequest| {
            bend(&mut request.params);
            request
        })
        .service(HttpTransport::new(http));
    let fetcher = builder.build_with_transport(bent).unwrap();
    fetcher.oneshot(TokenRequest::new(RefreshReason::Cold)).await.unwrap_err()
}

#[tokio::test]
async fn the_sample_by_post_and_by_get() {
    let server = server(Form::Text).await;
    for builder in [
        dqe(server.base_url(), ID, SECRET, "client_address"),
        dqe_get(server.base_url(), ID, SECRET, "client_address"),
        dqe("server.example.com", ID, SECRET, "client_address").base_url(server.base_url()),
        // As it is pasted from somewhere.
        dqe(
            format!(" {}/oauth/access_token/?a=b ", server.base_url()),
            ID,
            SECRET,
            "client_address",
        ),
        dqe("h", ID, SECRET, "client_address").base_url(format!("{}/x/?y", server.base_url())),
    ] {
        leaks_nothing(None, &[&builder]);
        let token = fetch(builder).await.unwrap();
        assert!(token.expose_secret().starts_with(TOKEN));
        assert_eq!(token.lifetime(), Some(Duration::from_secs(300)));
    }
    assert!(server.last_request().query.is_empty());
    leaks_nothing(None, &[]);
}

#[tokio::test]
async fn the_error_table() {
    type Bend = fn(&mut tower_oauth::token_endpoint::Params);
    // Licence code, scope, what is done to the request; the standard code and what to check.
    let same: Bend = |_| {};
    let request = (Some("invalid_request"), "licence code, secret and scope");
    let rows: [(&str, &str, Bend, (Option<&str>, &str)); 10] = [
        (ID, "client_address", |params| params.remove("client_id"), request),
        (
            ID,
            "client_address",
            |params| {
                params.remove("client_id");
                params.push("client_id", "");
            },
            request,
        ),
        ("INCORRECT", "client_address", same, (Some("invalid_client"), "the licence code")),
        (
            "LICENCE_CODE_NOT_AUTHORIZED",
            "client_address",
            same,
            (Some("unauthorized_client"), "covers the scope"),
        ),
        (ID, "client", same, (Some("unsupported_grant_type"), "check the scope")),
        (ID, "client_address", |params| params.remove("client_secret"), request),
        (
            ID,
            "client_address",
            |params| {
                params.remove("client_secret");
                params.push("client_secret", "");
            },
            request,
        ),
        (ID, "client_address", |params| params.remove("scope"), request),
        (
            ID,
            "client_address",
            |params| {
                params.remove("scope");
                params.push("scope", "");
            },
            request,
        ),
        (
            ID,
            "client_address",
            |params| {
                let secret = params.get("client_secret").unwrap().to_owned();
                params.remove("client_secret");
                params.push("client_scret", secret);
            },
            (None, "check the names of the parameters"),
        ),
    ];
    for form in [Form::Text, Form::Json, Form::Problem] {
        let server = server(form).await;
        for by_get in [false, true] {
            for (row, (id, scope, bend, (code, check))) in rows.into_iter().enumerate() {
                let builder = match by_get {
                    false => dqe(server.base_url(), id, SECRET, scope),
                    true => dqe_get(server.base_url(), id, SECRET, scope),
                };
                let error = fetch_bent(builder, bend).await;
                let (status, kind) = match code {
                    Some(_) => (400, ErrorKind::Denied),
                    None => (500, ErrorKind::Unavailable),
                };
                assert_eq!(error.status().unwrap(), status, "{form:?} {row}: {error}");
                assert_eq!(error.kind(), kind, "{form:?} {row}: {error}");
                assert_eq!(error.oauth_code(), code, "{form:?} {row}: {error}");
                assert!(error.to_string().contains(check), "{form:?} {row}: {error}");
                leaks_nothing(Some(&error), &[]);
            }
        }
        assert_eq!(server.token_requests(), 20);
    }
}

#[tokio::test]
async fn what_the_page_does_not_have_is_refused() {
    let server = server(Form::Text).await;
    let api = || dqe(server.base_url(), ID, SECRET, "client_address");
    for builder in [
        api().grant_type("client_credentials"),
        api().param("x", "y"),
        api().auth(ClientAuth::Basic),
    ] {
        let error = fetch(builder).await.unwrap_err();
        assert_eq!(error.status().unwrap(), 500);
        assert!(error.to_string().contains("check the names"), "{error}");
        leaks_nothing(Some(&error), &[]);
    }
}

#[tokio::test]
async fn a_server_that_is_not_there() {
    // Bound and closed again: nobody listens there.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let closed = format!("http://{closed}");
    let error = fetch(dqe_get(&closed, ID, SECRET, "client_address")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    // The secret is in the URL: what the client said is not kept, only what kind of thing it was.
    assert!(std::error::Error::source(&error).is_none());
    let authority = closed.trim_start_matches("http://");
    assert_eq!(error.description(), Some(&*format!("{authority}: connection refused")));
    leaks_nothing(Some(&error), &[]);
    for (url, description) in [
        ("https://no-such-host.invalid", "the host name cannot be resolved (DNS)"),
        (
            &server(Form::Text).await.base_url().replace("http:", "https:"),
            "the server does not speak TLS",
        ),
    ] {
        let error = fetch(dqe_get(url, ID, SECRET, "client_address")).await.unwrap_err();
        let authority = url.split('/').nth(2).unwrap();
        assert_eq!(error.description(), Some(&*format!("{authority}: {description}")));
        leaks_nothing(Some(&error), &[]);
    }
    let error = fetch(dqe(&closed, ID, SECRET, "client_address")).await.unwrap_err();
    assert!(std::error::Error::source(&error).is_some());
    leaks_nothing(Some(&error), &[]);
}

#[tokio::test]
async fn through_the_whole_stack() {
    let server = server(Form::Text).await;
    for (round, builder) in [
        dqe("server.example.com", ID, SECRET, "client_address"),
        dqe_get("server.example.com", ID, SECRET, "client_address"),
    ]
    .into_iter()
    .enumerate()
    {
        let tokens = server.cache(builder, 0.5);
        let mut resource = server.client(&tokens);
        for five_minutes in 1..4 {
            assert_eq!(resource.get().await, 200);
            assert_eq!(server.token_requests(), round * 3 + five_minutes);
            server.clock().advance(300);
        }
        leaks_nothing(None, &[&tokens]);
    }
}
