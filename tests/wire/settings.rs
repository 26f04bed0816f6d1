//! Ids, secrets and lists as people write them down.

use tower_oauth::{
    ErrorKind, TokenEndpoint,
    token_endpoint::{ClientAuth, ParamEncoding, Secret},
};

use crate::{OK, URL, builder, form, read, response, sent, shows_no_secret};

#[tokio::test]
async fn control_characters_are_refused_when_built() {
    let http = tower::service_fn(|_: http::Request<bytes::Bytes>| async {
        Ok::<_, std::convert::Infallible>(http::Response::new(OK.to_owned()))
    });
    for bad in ["a\n", "a\r\n", "\na", "a\tb", "a\0", "a\u{7f}", "a\u{85}b", "\u{1b}[31m"] {
        for auth in [ClientAuth::Basic, ClientAuth::BasicRaw, ClientAuth::Body, ClientAuth::Query] {
            let of = || builder().auth(auth.clone());
            for (field, builder) in [
                ("client_id", of().client_id(bad)),
                ("client_id", of().client_id(Secret::value(bad))),
                ("client_secret", of().client_secret(bad)),
                ("scope", of().scope("read").scope(bad)),
                ("audience", of().audience(bad)),
                ("resource", of().resource(bad)),
                ("grant_type", of().grant_type(bad)),
                ("param", of().param("key", bad)),
                ("param", of().param("key", Secret::value(bad))),
                ("header", of().header("x-key", bad)),
            ] {
                let error = builder.build_with(http).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Config, "{bad:?}: {error}");
                assert_eq!(error.field(), Some(field), "{bad:?}: {error}");
                assert!(!error.to_string().contains(bad), "{error:?}");
            }
        }
    }
    let error = builder().client_secret("s3cr3tkey\n").build_with(http).unwrap_err();
    assert!(error.to_string().contains("line break"), "{error}");
    shows_no_secret(&format!("{error} {error:?}"));
    // Letters of any language are no control characters.
    builder().client_id("ïd").client_secret("sécrét 🔑").build_with(http).unwrap();
}

/// A file of two lines is not the secret, and one with a line break at its end is.
#[tokio::test]
async fn what_is_read_is_trimmed_and_then_refused() {
    let path = std::env::temp_dir().join(format!("tower-oauth-settings-{}", std::process::id()));
    let file = || Secret::file(&path);
    let of_id = || builder().client_id(file()).auth(ClientAuth::Body);
    let of_secret = || builder().client_secret(file()).auth(ClientAuth::Body);
    let of_param = || builder().param("key", file());
    for content in ["value", "value\n", "value\r\n", "value\n\n", "\u{feff}value\n"] {
        std::fs::write(&path, content).unwrap();
        for (builder, shows) in [
            (of_id(), "client_id=value"),
            (of_secret(), "client_secret=value"),
            (of_param(), "key=value"),
        ] {
            let (.., body) = sent(builder).await;
            assert!(body.ends_with(shows) || body.contains(&format!("{shows}&")), "{body}");
        }
    }
    std::fs::write(&path, "one\ntwo\n").unwrap();
    for (builder, field) in
        [(of_id(), "client_id"), (of_secret(), "client_secret"), (of_param(), "param")]
    {
        let error = read(builder, response(200, OK)).await.unwrap_err();
        assert_eq!(error.field(), Some(field), "{error}");
        assert!(!error.to_string().contains("two"), "{error}");
    }
    std::fs::remove_file(&path).unwrap();
}

#[tokio::test]
async fn scopes_and_audiences_add_up() {
    let grant = ("grant_type", "client_credentials");
    let (.., body) = sent(builder().scope("a").scope("b c").scope("d")).await;
    assert_eq!(body, form(&[grant, ("scope", "a b c d")]));
    let two = builder().audience("https://a.example.com").audience("https://b.example.com");
    let (.., body) = sent(two.clone()).await;
    let audiences = [("audience", "https://a.example.com"), ("audience", "https://b.example.com")];
    assert_eq!(body, form(&[grant, audiences[0], audiences[1]]));
    let (.., body) = sent(two.param_encoding(ParamEncoding::Json)).await;
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        body["audience"],
        serde_json::json!(["https://a.example.com", "https://b.example.com"])
    );
}

/// Servers put blanks and line breaks around a token, which no header carries.
#[tokio::test]
async fn blanks_around_a_token() {
    for token in [" tok", "tok ", "tok\\n", "\\r\\ntok\\r\\n", "\\ttok", "\\u00a0tok"] {
        let body = format!(r#"{{"access_token":"{token}"}}"#);
        let token = read(builder(), response(200, body)).await.unwrap();
        assert_eq!(token.expose_secret(), "tok");
        assert_eq!(token.header_value().unwrap(), "Bearer tok");
    }
    for token in ["", " ", "\\n", "t k", "t\\nk"] {
        let body = format!(r#"{{"access_token":"{token}"}}"#);
        let error = read(builder(), response(200, body)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidResponse, "{token:?}");
    }
}

#[tokio::test]
async fn who_asks_says_so() {
    let version = format!("tower-oauth/{}", env!("CARGO_PKG_VERSION"));
    let agent = |headers: http::HeaderMap| {
        headers
            .get_all("user-agent")
            .iter()
            .map(|value| value.to_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let (_, _, headers, _) = sent(builder()).await;
    assert_eq!(agent(headers), [version]);
    let (_, _, headers, _) = sent(builder().header("User-Agent", "program/1")).await;
    assert_eq!(agent(headers), ["program/1"]);
    let (_, _, headers, _) = sent(builder().user_agent("program/2")).await;
    assert_eq!(agent(headers), ["program/2"]);
    let none = tower::service_fn(|_: http::Request<bytes::Bytes>| async {
        Ok::<_, std::convert::Infallible>(http::Response::new(OK.to_owned()))
    });
    for bad in ["", "a\nb"] {
        let error = builder().user_agent(bad).build_with(none).unwrap_err();
        assert_eq!(error.field(), Some("user_agent"), "{bad:?}: {error}");
    }
}

/// Google and LinkedIn answer 411 to a POST that does not say how long it is.
#[tokio::test]
async fn a_post_without_a_body_says_so() {
    let query = || builder().param_encoding(ParamEncoding::Query);
    let (.., headers, body) = sent(query()).await;
    assert_eq!((headers["content-length"].as_bytes(), &*body), (&b"0"[..], ""));
    let nothing = TokenEndpoint::builder(URL).auth(ClientAuth::None).no_grant_type();
    let (.., headers, _) = sent(nothing).await;
    assert_eq!(headers["content-length"], "0");
    // The HTTP client knows how long a body is, and a GET has none.
    for builder in [builder(), query().method(http::Method::GET)] {
        let (.., headers, _) = sent(builder).await;
        assert!(!headers.contains_key("content-length"));
    }
}
