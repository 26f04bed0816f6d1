//! The settings from files: the vendors', every key, and two APIs that nobody wrote code for.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use serde::Deserialize;
use tower::{ServiceExt, service_fn};
use tower_oauth::{
    ClientCredentialsBuilder, ErrorKind, Reason, RefreshPolicy, TokenRequest,
    vendor::{
        bright_pattern, dell_techdirect, dhl_ecommerce_sandbox, dqe, manageengine_ddi_central,
    },
};

use crate::server::{ID, SECRET, Server, fetch, json, leaks_nothing};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Endpoint {
    fetcher: ClientCredentialsBuilder,
    #[serde(default)]
    refresh: RefreshPolicy,
}

macro_rules! endpoint {
    ($name:literal) => {
        include_str!(concat!("../../examples/endpoints/", $name, ".toml"))
    };
}

/// A package ends where another one begins: what is under `examples/` is not published, so the
/// documentation has copies.
#[test]
fn the_documentation_shows_the_examples() {
    macro_rules! same {
        ($($folder:literal $name:literal),*) => {$(
            assert_eq!(
                include_str!(concat!("../../src/", $folder, "/", $name, ".toml")),
                endpoint!($name),
            );
        )*};
    }
    same!(
        "vendor" "bright_pattern",
        "vendor" "dell_techdirect",
        "vendor" "dhl_ecommerce",
        "vendor" "dqe",
        "vendor" "manageengine_ddi_central",
        "client_credentials" "reference"
    );
}

fn fetcher(toml: &str) -> ClientCredentialsBuilder {
    toml::from_str::<Endpoint>(toml).unwrap().fetcher
}

/// What is sent, what becomes of a token, and what each error says to check.
async fn behaviour(builder: ClientCredentialsBuilder) -> Vec<String> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let ok = r#"{"access_token":"tok","expires_in":3600}"#;
    let answers = [(200, ok.to_owned()), (400, String::new()), (401, String::new())]
        .into_iter()
        .chain([(500, String::new())])
        .chain(
            ["client", "request", "scope"]
                .map(|what| (400, format!(r#"{{"error":"invalid_{what}"}}"#))),
        )
        .chain(
            ["unauthorized_client", "unsupported_grant_type"]
                .map(|code| (400, format!(r#"{{"error":"{code}"}}"#))),
        );
    for (status, body) in answers {
        let http = {
            let seen = Arc::clone(&seen);
            service_fn(move |request: Request<Full<Bytes>>| {
                let (seen, body) = (Arc::clone(&seen), body.clone());
                async move {
                    let (head, sent) = request.into_parts();
                    let sent = sent.collect().await.unwrap().to_bytes();
                    let mut params: Vec<_> = form_urlencoded::parse(&sent).collect();
                    params.sort_unstable();
                    seen.lock().unwrap().push(format!(
                        "{} {} {:?} {params:?}",
                        head.method, head.uri, head.headers
                    ));
                    let answer = Response::builder().status(status);
                    Ok::<_, Infallible>(answer.body(Full::new(Bytes::from(body))).unwrap())
                }
            })
        };
        let fetcher = builder.clone().build_with(http).unwrap();
        let outcome = match fetcher.oneshot(TokenRequest::new(Reason::Cold)).await {
            Ok(token) => format!("{:?} {:?}", token.get_lifetime(), token.get_renew_after()),
            Err(error) => error.to_string(),
        };
        seen.lock().unwrap().push(outcome);
    }
    std::mem::take(&mut *seen.lock().unwrap())
}

#[tokio::test]
async fn the_vendors_files_are_what_the_vendors_functions_are() {
    for (toml, function) in [
        (endpoint!("dell_techdirect"), dell_techdirect(ID, SECRET)),
        (endpoint!("dhl_ecommerce"), dhl_ecommerce_sandbox(ID, SECRET)),
        (
            endpoint!("manageengine_ddi_central"),
            manageengine_ddi_central("ddi.example.com:9443", ID, SECRET),
        ),
        (endpoint!("dqe"), dqe("server.example.com", ID, SECRET, "client_address")),
        (endpoint!("bright_pattern"), bright_pattern("tenant.example.com", ID, SECRET)),
    ] {
        let file = fetcher(toml).client_id(ID).client_secret(SECRET);
        assert_eq!(behaviour(file).await, behaviour(function).await);
    }
}

#[test]
fn every_key() {
    let toml = endpoint!("reference");
    let from_toml: Endpoint = toml::from_str(toml).unwrap();
    from_toml.fetcher.clone().build().unwrap();
    let expected = RefreshPolicy::default()
        .max_age(Duration::from_secs(3600))
        .default_lifetime(Duration::from_secs(300))
        .jitter(0.1)
        .unwrap()
        .fetch_timeout(Duration::from_secs(30))
        .unwrap();
    assert_eq!(from_toml.refresh, expected);

    let value: serde_json::Value = toml::from_str(toml).unwrap();
    let from_json: Endpoint = serde_json::from_value(value.clone()).unwrap();
    assert_eq!(format!("{from_json:?}"), format!("{from_toml:?}"));
    let yaml = serde_yaml_ng::to_string(&value).unwrap();
    let from_yaml: Endpoint = serde_yaml_ng::from_str(&yaml).unwrap();
    assert_eq!(format!("{from_yaml:?}"), format!("{from_toml:?}"));
    assert_eq!(from_yaml.refresh, expected);

    // The example has a comment in front of every key that there is, so a new key is missed here.
    let error = toml::from_str::<Endpoint>("[fetcher]\nno_such_key = 1").unwrap_err();
    let keys: Vec<_> = error.message().split('`').skip(3).step_by(2).collect();
    assert!(keys.len() > 15, "{error}");
    for key in keys {
        assert!(
            toml.contains(&format!("{key} =")) || toml.contains(&format!("[fetcher.{key}]")),
            "{key}"
        );
    }
}

#[test]
fn what_is_wrong_is_said() {
    let base = "[fetcher]\nurl = \"https://h/\"\nclient_id = \"i\"\n";
    for (lines, says) in [
        ("client_secrt = \"hunter2\"", "unknown field `client_secrt`"),
        ("client_secret = { evn = \"X\" }", "unknown field `evn`"),
        ("client_secret = { env = \"X\", file = \"Y\" }", "one place"),
        ("client_secret = {}", "one place"),
        ("client_secret = 7", "expected a secret, { env"),
        ("auth = \"digest\"", "unknown variant `digest`"),
        ("auth = { headers = { client_scret = \"X\" } }", "client_scret"),
        ("method = \"a b\"", "`method` is no HTTP method"),
        ("placement = \"cookie\"", "unknown variant `cookie`"),
        ("renew_after = \"twenty\"", "expected a duration"),
        ("renew_after = 20", "expected a duration"),
        ("[fetcher.name]\nclient = \"x\"", "unknown variant `client`"),
        ("[fetcher.member]\nscope = \"x\"", "unknown variant `scope`"),
        ("[refresh]\njitter = 1.5", "1.5 is not between 0 and 1"),
        ("[refresh]\nfetch_timeout = \"0s\"", "no fetch can end in no time"),
        ("[refresh]\nmax_agee = \"1m\"", "unknown field `max_agee`"),
    ] {
        let error = toml::from_str::<Endpoint>(&format!("{base}{lines}\n")).unwrap_err();
        assert!(error.message().contains(says), "{lines}: {error}");
        assert!(!error.message().contains("hunter2"));
    }
    // What a parser cannot know is said when it is built.
    for (lines, field) in [
        ("", "client_secret"),
        ("client_secret = \"\"", "client_secret"),
        ("client_secret = \"s\"\nscope = \"\"", "scope"),
        ("client_secret = \"s\"\n[fetcher.param]\nclient_id = \"x\"", "param"),
    ] {
        let error = fetcher(&format!("{base}{lines}\n")).build().unwrap_err();
        assert_eq!((error.kind(), error.field()), (ErrorKind::Config, Some(field)));
    }
}

/// Token in `data.token.value`, lifetime in milliseconds, parameters with names of their own.
#[tokio::test]
async fn a_sixth_api() {
    let server = Server::start("tok", 90, json(401, ""), |request, token| {
        let form = serde_json::from_str::<serde_json::Value>(&request.body).unwrap();
        let right = request.path == "/v7/session"
            && request.headers["x-tenant"] == "blue"
            && form == serde_json::json!({"licence_code": ID, "passphrase": SECRET, "aud": ["a:1", "a:2"]});
        match right {
            true => json(
                200,
                format!(r#"{{"data": {{"token": {{"value": "{token}", "ttl": 90000}}}}, "kind": "JWT"}}"#),
            ),
            false => json(400, r#"{"error": {"message": "no"}}"#),
        }
    })
    .await;
    let toml = format!(
        r#"
        [fetcher]
        url = "{}/v7/session"
        client_id = "{ID}"
        client_secret = "{SECRET}"
        auth = "body"
        grant_type = false
        placement = "json"
        resource = ["a:1", "a:2"]
        lifetime_unit = "milliseconds"
        name = {{ client_id = "licence_code", client_secret = "passphrase", resource = "aud" }}
        member = {{ access_token = "/data/token/value", expires_in = "/data/token/ttl", token_type = "kind" }}
        header = {{ X-Tenant = "blue" }}
        token_type = {{ JWT = "Bearer" }}
        "#,
        server.base_url()
    );
    leaks_nothing(None, &[&toml::from_str::<Endpoint>(&toml).unwrap()]);
    let token = fetch(fetcher(&toml)).await.unwrap();
    assert_eq!(token.expose_secret(), "tok");
    assert_eq!(token.get_lifetime(), Some(Duration::from_secs(90)));
    let tokens = server.cache(fetcher(&toml), 0.0);
    let mut resource = server.client(&tokens);
    assert_eq!(resource.get().await, 200);
    server.clock().advance(90);
    assert_eq!(resource.get().await, 200);
    assert_eq!(server.token_requests(), 3);
}

/// Basic as it is, a grant for API keys, an answer that is a form.
#[tokio::test]
async fn a_seventh_api() {
    let server = Server::start("tok", 60, json(401, ""), |request, token| {
        let right = request.headers.get("authorization").is_some_and(|value| {
            *value == format!("Basic {}", STANDARD.encode(format!("{ID}:{SECRET}")))
        }) && request.body == "grant_type=apikey&apikey=key+1"
            && request.query == [("v".to_owned(), "2".to_owned())];
        let form = "application/x-www-form-urlencoded";
        match right {
            true => (200, form, format!("access_token={token}&token_type=bearer&expires_in=60")),
            false => (400, form, "error=invalid_grant&error_description=no+such+key".to_owned()),
        }
    })
    .await;
    let toml = |key: &str| {
        format!(
            r#"
            [fetcher]
            url = "{}/token?v=2"
            client_id = "{ID}"
            client_secret = "{SECRET}"
            auth = "basic_raw"
            grant_type = "apikey"
            answer_format = "form"
            param = {{ apikey = "{key}" }}
            "#,
            server.base_url()
        )
    };
    let token = fetch(fetcher(&toml("key 1"))).await.unwrap();
    assert_eq!(token.expose_secret(), "tok");
    assert_eq!(token.get_lifetime(), Some(Duration::from_secs(60)));
    let error = fetch(fetcher(&toml("hunter2"))).await.unwrap_err();
    assert_eq!(error.oauth_code(), Some("invalid_grant"));
    assert_eq!(error.description(), Some("no such key"));
    leaks_nothing(Some(&error), &[&fetcher(&toml("hunter2"))]);
}
