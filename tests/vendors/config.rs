//! The settings from files: the vendors', every key, and two APIs that nobody wrote code for.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use serde::Deserialize;
use tower::{ServiceExt, service_fn};
use tower_oauth::{
    ErrorKind, RefreshReason, TokenEndpoint, TokenRequest,
    cache::RefreshPolicy,
    token_endpoint::{
        ClientAuth, LifetimeUnit, ParamEncoding, Parameter, ResponseField, ResponseFormat, Secret,
        TokenEndpointBuilder,
    },
    vendor::{
        bright_pattern, dell_techdirect, dhl_ecommerce_sandbox, dqe, manageengine_ddi_central,
    },
};

use crate::server::{ID, SECRET, Server, fetch, json, leaks_nothing};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Endpoint {
    fetcher: TokenEndpointBuilder,
    #[serde(default)]
    refresh: RefreshPolicy,
}

/// The file that stands beside the vendor's constructor, and on its page.
macro_rules! vendor {
    ($name:literal) => {
        include_str!(concat!("../../src/vendor/", $name, ".toml"))
    };
}

const REFERENCE: &str = include_str!("../../src/token_endpoint/reference.toml");

fn fetcher(toml: &str) -> TokenEndpointBuilder {
    toml::from_str::<Endpoint>(toml).unwrap().fetcher
}

/// What is sent, what becomes of a token, and what each error says to check.
async fn behaviour(builder: TokenEndpointBuilder) -> Vec<String> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let ok = r#"{"access_token":"tok","expires_in":3600}"#;
    let nested = r#"{"data":{"token":{"value":"tok","ttl":90}},"kind":"JWT"}"#;
    let form = "access_token=tok&expires_in=60";
    let responses = [ok, nested, form]
        .map(|body| (200, body.to_owned()))
        .into_iter()
        .chain([(400, String::new()), (401, String::new())])
        .chain([(500, String::new())])
        .chain(
            ["client", "request", "scope"]
                .map(|what| (400, format!(r#"{{"error":"invalid_{what}"}}"#))),
        )
        .chain(
            ["unauthorized_client", "unsupported_grant_type"]
                .map(|code| (400, format!(r#"{{"error":"{code}"}}"#))),
        );
    for (status, body) in responses {
        let http = {
            let seen = Arc::clone(&seen);
            service_fn(move |request: Request<Full<Bytes>>| {
                let (seen, body) = (Arc::clone(&seen), body.clone());
                async move {
                    let (head, sent) = request.into_parts();
                    let sent = sent.collect().await.unwrap().to_bytes();
                    let mut params: Vec<_> = form_urlencoded::parse(&sent).collect();
                    params.sort_unstable();
                    // Not as `Debug` has them: that hides what may be secret.
                    let headers: Vec<_> =
                        head.headers.iter().map(|(name, value)| (name, value.as_bytes())).collect();
                    seen.lock()
                        .unwrap()
                        .push(format!("{} {} {headers:?} {params:?}", head.method, head.uri));
                    let response = Response::builder().status(status);
                    Ok::<_, Infallible>(response.body(Full::new(Bytes::from(body))).unwrap())
                }
            })
        };
        let fetcher = builder.clone().build_with(http).unwrap();
        let outcome = match fetcher.oneshot(TokenRequest::new(RefreshReason::Cold)).await {
            Ok(token) => format!("{:?} {:?}", token.lifetime(), token.refresh_after()),
            Err(error) => error.to_string(),
        };
        seen.lock().unwrap().push(outcome);
    }
    std::mem::take(&mut *seen.lock().unwrap())
}

#[tokio::test]
async fn the_vendors_files_are_what_the_vendors_functions_are() {
    for (toml, function) in [
        (vendor!("dell_techdirect"), dell_techdirect(ID, SECRET)),
        (vendor!("dhl_ecommerce"), dhl_ecommerce_sandbox(ID, SECRET)),
        (
            vendor!("manageengine_ddi_central"),
            manageengine_ddi_central("ddi.example.com:9443", ID, SECRET),
        ),
        (vendor!("dqe"), dqe("server.example.com", ID, SECRET, "client_address")),
        (vendor!("bright_pattern"), bright_pattern("tenant.example.com", ID, SECRET)),
    ] {
        let file = fetcher(toml).client_id(ID).client_secret(SECRET);
        assert_eq!(behaviour(file).await, behaviour(function).await);
    }
}

#[test]
fn every_key() {
    let toml = REFERENCE;
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

/// What `toml` says is what the setters say.
#[tokio::test]
async fn every_key_does_what_its_setter_does() {
    let reference = REFERENCE
        .replace("https://idp.example.com/oauth2", "http://idp.example.com/oauth2")
        .replace("insecure_allow_http = false", "insecure_allow_http = true")
        .replace("{ file = \"/run/secrets/idp\" }", "\"the secret\"")
        .replace("auth = \"basic\"", "auth = \"basic_raw\"")
        .replace("grant_type = \"client_credentials\"", "grant_type = \"other\"");
    let setters = TokenEndpoint::builder("http://idp.example.com/oauth2/token")
        .insecure_allow_http()
        .client_id("client-id")
        .client_secret("the secret")
        .auth(ClientAuth::BasicRaw)
        .grant_type("other")
        .scope("read write")
        .audience("https://api.example.com")
        .resource("https://api.example.com/")
        .resource("urn:example:files")
        .refresh_after(Duration::from_secs(1200))
        .user_agent("billing/1.4")
        .param("feature", "a")
        .param("feature", "b")
        .param("tenant", "blue")
        .header("X-Api-Key", Secret::value("0123456789abcdef"))
        .rename_param(Parameter::Scope, "scopes")
        .response_field(ResponseField::AccessToken, "/data/token/value")
        .response_field(ResponseField::ExpiresIn, "/data/token/ttl")
        .response_field(ResponseField::TokenType, "kind")
        .token_type("JWT", "Bearer")
        .hint("invalid_scope", "ask the platform team for the scope")
        .hint("500", "check the names of the parameters");
    let seen = behaviour(fetcher(&reference)).await;
    assert_eq!(seen, behaviour(setters.clone()).await);
    let all = seen.join("\n");
    for part in ["other", "audience", "urn:example:files", "scopes", "Some(90s) Some(1200s)"] {
        assert!(all.contains(part), "{part} in {all}");
    }
    assert!(all.contains("ask the platform team") && all.contains("names of the parameters"));

    // What the file's own values leave out, one by one.
    let changed = [
        (
            "param_encoding = \"form\"",
            "param_encoding = \"json\"",
            setters.clone().param_encoding(ParamEncoding::Json),
        ),
        (
            "param_encoding = \"form\"",
            "param_encoding = \"query\"",
            setters.clone().param_encoding(ParamEncoding::Query),
        ),
        (
            "method = \"POST\"\n# \"form\", \"json\" or \"query\".\nparam_encoding = \"form\"",
            "method = \"get\"",
            setters.clone().method(Method::GET),
        ),
        (
            "response_format = \"json\"",
            "response_format = \"form\"",
            setters.clone().response_format(ResponseFormat::Form),
        ),
        (
            "lifetime_unit = \"seconds\"",
            "lifetime_unit = \"milliseconds\"",
            setters.clone().lifetime_unit(LifetimeUnit::Milliseconds),
        ),
        (
            "lifetime_unit = \"seconds\"",
            "lifetime_unit = \"unix_seconds\"",
            setters.clone().lifetime_unit(LifetimeUnit::UnixSeconds),
        ),
        (
            "lifetime_unit = \"seconds\"",
            "lifetime_unit = \"rfc3339\"",
            setters.clone().lifetime_unit(LifetimeUnit::Rfc3339),
        ),
        ("grant_type = \"other\"", "grant_type = false", setters.clone().no_grant_type()),
        (
            "grant_type = \"other\"",
            "grant_type = true",
            setters.clone().grant_type("client_credentials"),
        ),
        ("auth = \"basic_raw\"", "auth = \"basic\"", setters.clone().auth(ClientAuth::Basic)),
        ("auth = \"basic_raw\"", "auth = \"body\"", setters.clone().auth(ClientAuth::Body)),
        ("auth = \"basic_raw\"", "auth = \"query\"", setters.clone().auth(ClientAuth::Query)),
        ("auth = \"basic_raw\"", "auth = \"none\"", setters.clone().auth(ClientAuth::None)),
        (
            "user_agent = \"billing/1.4\"",
            "user_agent = \"program/1\"",
            setters.clone().user_agent("program/1"),
        ),
        (
            "auth = \"basic_raw\"",
            "auth = { headers = { client_id = \"X-Id\", client_secret = \"X-Secret\" } }",
            setters.clone().auth(ClientAuth::Headers {
                client_id: Some("X-Id".into()),
                client_secret: "X-Secret".into(),
            }),
        ),
    ];
    for (from, to, setters) in changed {
        assert!(reference.contains(from), "{from}");
        let changed = behaviour(fetcher(&reference.replace(from, to))).await;
        assert_eq!(changed, behaviour(setters).await, "{to}");
        assert!(changed != seen, "{to}");
    }
    let insecure = reference.replace("insecure_allow_http = true", "");
    assert_eq!(fetcher(&insecure).build().unwrap_err().field(), Some("url"));
}

/// The names that OpenID Connect and RFC 8705 registered (`token_endpoint_auth_method`).
#[tokio::test]
async fn the_registered_names_of_authentication() {
    let with = |auth: &str| {
        fetcher(&format!(
            "[fetcher]\nurl = \"https://h/\"\nclient_id = \"i\"\nclient_secret = \"s\"\nauth = \"{auth}\"\n"
        ))
    };
    for (registered, ours, auth) in [
        ("client_secret_basic", "basic", ClientAuth::Basic),
        ("client_secret_post", "body", ClientAuth::Body),
        ("none", "none", ClientAuth::None),
        // The certificate is the HTTP client's.
        ("tls_client_auth", "none", ClientAuth::TlsClientAuth),
        ("self_signed_tls_client_auth", "tls_client_auth", ClientAuth::TlsClientAuth),
    ] {
        let named = behaviour(with(registered)).await;
        assert_eq!(named, behaviour(with(ours)).await, "{registered}");
        assert_eq!(named, behaviour(with("basic").auth(auth)).await, "{registered}");
    }
}

#[tokio::test]
async fn lists_as_text_and_as_lists() {
    let of = |lines: &str| {
        let toml = format!("[fetcher]\nurl = \"https://h/\"\nauth = \"none\"\n{lines}\n");
        async move { behaviour(fetcher(&toml)).await.remove(0) }
    };
    let two = of("scope = \"a b\"").await;
    assert!(two.contains(r#"("scope", "a b")"#), "{two}");
    assert_eq!(of("scope = [\"a\", \"b\"]").await, two);
    let none = of("").await;
    assert_eq!(of("scope = []").await, none);
    let audiences = of("audience = [\"x\", \"y\"]").await;
    assert!(audiences.contains(r#"("audience", "x"), ("audience", "y")"#), "{audiences}");
}

/// They are for the client that `build` makes, which says what is wrong with them.
#[tokio::test]
async fn the_client_s_own_settings() {
    let base = "[fetcher]\nurl = \"https://h/\"\nclient_id = \"i\"\nclient_secret = \"s\"\n";
    for (line, field) in [
        ("proxy = \"nonsense nonsense\"", "proxy"),
        ("proxy = { secret = \"ftp://me:hunter2key@h\" }", "proxy"),
        ("ca_certificate = \"hunter2key\"", "ca_certificate"),
        ("ca_certificate = [{ file = \"/no/such/hunter\" }]", "ca_certificate"),
        ("client_identity = \"hunter2key\"", "client_identity"),
        ("client_identity = [{ file = \"/no/such/hunter\" }]", "client_identity"),
        ("auth = \"self_signed_tls_client_auth\"", "client_identity"),
    ] {
        let builder = fetcher(&format!("{base}{line}\n"));
        leaks_nothing(None, &[&builder]);
        let error = builder.build().unwrap_err();
        assert_eq!(error.field().unwrap_or_default(), field, "{line}: {error}");
        leaks_nothing(Some(&error), &[]);
    }
    for line in ["proxy = \"http://proxy.example.com:3128\"", "proxy = { secret = \"http://h\" }"] {
        fetcher(&format!("{base}{line}\n")).build().unwrap();
    }
}

/// The secret that a fetch sends, of which there is one.
async fn secret_sent(builder: &TokenEndpointBuilder) -> String {
    let seen = Arc::new(Mutex::new(String::new()));
    let http = {
        let seen = Arc::clone(&seen);
        service_fn(move |request: Request<Full<Bytes>>| {
            let seen = Arc::clone(&seen);
            async move {
                let sent = request.into_body().collect().await.unwrap().to_bytes();
                let secret =
                    form_urlencoded::parse(&sent).find(|(name, _)| name == "client_secret");
                *seen.lock().unwrap() = secret.unwrap().1.into_owned();
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(
                    r#"{"access_token":"t"}"#,
                ))))
            }
        })
    };
    let fetcher = builder.clone().build_with(http).unwrap();
    fetcher.oneshot(TokenRequest::new(RefreshReason::Cold)).await.unwrap();
    std::mem::take(&mut *seen.lock().unwrap())
}

#[tokio::test]
async fn a_secret_is_read_where_the_file_says() {
    let with = |secret: String| {
        fetcher(&format!(
            "[fetcher]\nurl = \"https://h/\"\nclient_id = \"i\"\nauth = \"body\"\nclient_secret = {secret}\n"
        ))
    };
    assert_eq!(secret_sent(&with("\"/a/file\"".to_owned())).await, "/a/file");

    let path = std::env::temp_dir().join(format!("tower-oauth-config-{}", std::process::id()));
    let from_file = with(format!("{{ file = {path:?} }}"));
    for secret in ["before", "after"] {
        std::fs::write(&path, format!("{secret}\n")).unwrap();
        assert_eq!(secret_sent(&from_file).await, secret);
    }

    // So are parameters and headers, and lists of them.
    let file = format!("[{{ file = {path:?} }}, \"b\"]");
    std::fs::write(&path, "a").unwrap();
    let builder = with(format!("\"s\"\nparam = {{ p = {file} }}\nheader = {{ X-H = {file} }}"));
    let seen = behaviour(builder).await;
    assert!(seen[0].contains(r#"("p", "a"), ("p", "b")"#), "{}", seen[0]);
    assert!(seen[0].contains(r#"("x-h", [97]), ("x-h", [98])"#), "{}", seen[0]);
    std::fs::remove_file(&path).unwrap();

    // One that is there wherever this runs.
    let there = std::env::var("PATH").unwrap();
    assert_eq!(secret_sent(&with("{ env = \"PATH\" }".to_owned())).await, there);
}

#[test]
fn a_secret_without_quotes_is_not_printed() {
    let base = "[fetcher]\nurl = \"https://h/\"\nauth = \"body\"\n";
    let values = ["8675309", "-8675309", "86753.09", "[8675309]", "{ env = 8675309 }"];
    for key in ["client_secret", "client_id", "param.key", "header.key"] {
        for value in values {
            let toml = format!("{base}{key} = {value}\n");
            let error = toml::from_str::<Endpoint>(&toml).unwrap_err();
            assert!(!error.message().replace('.', "").contains("8675309"), "{toml}: {error}");
            if !value.starts_with(['[', '{']) {
                assert!(error.message().contains("a string in quotes"), "{toml}: {error}");
            }
        }
        for value in ["18446744073709551615", "867530986753098675309", "true"] {
            let yaml = match key.split_once('.') {
                Some((key, name)) => format!("{key}: {{ {name}: {value} }}"),
                None => format!("{key}: {value}"),
            };
            let yaml = format!("fetcher:\n  url: https://h/\n  {yaml}\n");
            let Err(error) = serde_yaml_ng::from_str::<Endpoint>(&yaml) else {
                panic!("{yaml}");
            };
            assert!(!error.to_string().contains(value), "{yaml}: {error}");
        }
    }
}

#[test]
fn what_is_wrong_is_said() {
    let base = "[fetcher]\nurl = \"https://h/\"\nclient_id = \"i\"\n";
    for (lines, says) in [
        ("client_secrt = \"hunter2\"", "unknown field `client_secrt`"),
        ("client_secret = { evn = \"hunter2\" }", "{ env = \"NAME\" }"),
        ("client_secret = { env = \"X\", file = \"Y\" }", "{ file = \"path\" }"),
        ("client_secret = {}", "{ env = \"NAME\" }"),
        ("client_secret = 7", "a string in quotes"),
        ("client_secret = []", "a string in quotes"),
        ("scope = 7", "expected a string or a list of strings"),
        ("client_secret = \"s\"\ngrant_type = 1", "expected a grant type"),
        ("auth = \"digest\"", "unknown variant `digest`"),
        ("auth = { headers = { client_scret = \"X\" } }", "client_scret"),
        ("method = \"a b\"", "`method` is not an HTTP method"),
        ("param_encoding = \"cookie\"", "unknown variant `cookie`"),
        ("refresh_after = \"twenty\"", "expected a duration"),
        ("refresh_after = 20", "expected a duration"),
        ("[fetcher.rename_param]\nclient = \"x\"", "unknown variant `client`"),
        ("[fetcher.response_field]\nscope = \"x\"", "unknown variant `scope`"),
        ("[refresh]\njitter = 1.5", "1.5 is not between 0 and 1"),
        ("[refresh]\nfetch_timeout = \"0s\"", "no fetch can end in no time"),
        ("[refresh]\nmax_agee = \"1m\"", "unknown field `max_agee`"),
    ] {
        let error = toml::from_str::<Endpoint>(&format!("{base}{lines}\n")).unwrap_err();
        assert!(error.message().contains(says), "{lines}: {error}");
        assert!(!error.message().contains("hunter2"));
    }
    let null = serde_json::json!({ "url": "https://h/", "grant_type": null });
    let error = serde_json::from_value::<TokenEndpointBuilder>(null).unwrap_err();
    assert!(error.to_string().contains("expected a grant type"), "{error}");
    // What a parser cannot know is said when it is built.
    for (lines, field) in [
        ("", "client_secret"),
        ("client_secret = \"\"", "client_secret"),
        ("client_secret = \"s\"\nscope = \"\"", "scope"),
        ("client_secret = \"s\"\nrefresh_after = \"0s\"", "refresh_after"),
        ("client_secret = \"s\"\nmethod = \"HEAD\"", "method"),
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
        param_encoding = "json"
        resource = ["a:1", "a:2"]
        lifetime_unit = "milliseconds"
        rename_param = {{ client_id = "licence_code", client_secret = "passphrase", resource = "aud" }}
        response_field = {{ access_token = "/data/token/value", expires_in = "/data/token/ttl", token_type = "kind" }}
        header = {{ X-Tenant = "blue" }}
        token_type = {{ JWT = "Bearer" }}
        "#,
        server.base_url()
    );
    leaks_nothing(None, &[&toml::from_str::<Endpoint>(&toml).unwrap()]);
    let token = fetch(fetcher(&toml)).await.unwrap();
    assert_eq!(token.expose_secret(), "tok");
    assert_eq!(token.lifetime(), Some(Duration::from_secs(90)));
    let tokens = server.cache(fetcher(&toml), 0.0);
    let mut resource = server.client(&tokens);
    assert_eq!(resource.get().await, 200);
    server.clock().advance(90);
    assert_eq!(resource.get().await, 200);
    assert_eq!(server.token_requests(), 3);
}

/// Basic as it is, a grant for API keys, a response that is a form.
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
            response_format = "form"
            param = {{ apikey = {{ secret = "{key}" }} }}
            "#,
            server.base_url()
        )
    };
    let token = fetch(fetcher(&toml("key 1"))).await.unwrap();
    assert_eq!(token.expose_secret(), "tok");
    assert_eq!(token.lifetime(), Some(Duration::from_secs(60)));
    let error = fetch(fetcher(&toml("hunter2key"))).await.unwrap_err();
    assert_eq!(error.oauth_code(), Some("invalid_grant"));
    assert_eq!(error.description(), Some("no such key"));
    leaks_nothing(Some(&error), &[&fetcher(&toml("hunter2key"))]);
}
