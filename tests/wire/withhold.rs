//! A server's words that hold a secret are withheld; all others are shown.

use std::time::{Duration, Instant};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD},
};
use tower_oauth::{
    TokenEndpoint,
    token_endpoint::{ClientAuth, ParamEncoding, Parameter, Secret, TokenEndpointBuilder},
};

use crate::{OK, SECRET, URL, builder, form_value, printed, read, response, shows_no_secret};

const ID: &str = "the-client";

fn with(secret: &str) -> TokenEndpointBuilder {
    TokenEndpoint::builder(URL).client_id(ID).client_secret(secret)
}

/// Replaces each character other than ASCII letters and digits.
fn escaped(secret: &str, escape: impl Fn(char) -> String) -> String {
    let of = |char: char| match char.is_ascii_alphanumeric() {
        true => char.to_string(),
        false => escape(char),
    };
    secret.chars().map(of).collect()
}

/// How servers, proxies and logs repeat a secret.
fn echoes(secret: &str) -> Vec<String> {
    let form = form_value(secret);
    let json = |text: &str| serde_json::to_string(text).unwrap().trim_matches('"').to_owned();
    let percent = |char: char| {
        let mut utf8 = [0; 4];
        char.encode_utf8(&mut utf8).bytes().map(|byte| format!("%{byte:02X}")).collect::<String>()
    };
    let unicode = |char: char| {
        let mut utf16 = [0; 2];
        char.encode_utf16(&mut utf16)
            .iter()
            .map(|unit| format!("\\u{unit:04x}"))
            .collect::<String>()
    };
    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    vec![
        secret.to_owned(),
        secret.to_uppercase(),
        form.clone(),
        form.replace('+', "%20"),
        form.to_lowercase(),
        form.replace('%', "%25"),
        form.replace('%', "%2525"),
        escaped(secret, percent),
        json(secret),
        json(&json(secret)),
        escaped(secret, unicode),
        json(&escaped(secret, unicode)),
        escaped(secret, |char| format!("&#{};", u32::from(char))),
        escaped(secret, |char| format!("&#x{:X};", u32::from(char))),
        escaped(secret, |char| format!("&amp;#{};", u32::from(char))),
        STANDARD.encode(secret),
        STANDARD_NO_PAD.encode(secret),
        URL_SAFE_NO_PAD.encode(secret),
        form_value(&STANDARD.encode(secret)),
        hex(secret),
        hex(secret).to_uppercase(),
        format!("{ID}:{secret}"),
        STANDARD.encode(format!("{ID}:{secret}")),
        URL_SAFE.encode(format!("{ID}:{secret}")),
        hex(&format!("{ID}:{secret}")),
        STANDARD.encode(format!("{}:{form}", form_value(ID))),
    ]
}

#[tokio::test]
async fn no_form_of_a_secret_is_shown() {
    for secret in [
        "p@ss w/r~d+\"1\"'ü😀&",
        "s3cr3tkey/+ &=ü\"",
        "550e8400-e29b-41d4-a716-446655440000",
        "8c7f2eb1609125d43e945cee63501dff80c461166ccfe15291",
        "\\\\qkDwDJlDfig2IpeuUZYKH1Wb8q1V0ju6sILxQQqhJ",
        "x",
    ] {
        // What is left of a response without any words.
        let silent = read(with(secret), response(400, r#"{"error":"invalid_scope"}"#)).await;
        let silent = printed(&silent.unwrap_err());
        let no_code = printed(&read(with(secret), response(400, "")).await.unwrap_err());
        for echo in echoes(secret) {
            let said = format!("got <{echo}>!");
            let body = serde_json::json!({"error": "invalid_scope", "error_description": said});
            let error = read(with(secret), response(400, body.to_string())).await.unwrap_err();
            assert_eq!(printed(&error), silent, "{secret}: {echo}");
            let error = read(with(secret), response(400, said.clone())).await.unwrap_err();
            assert_eq!(printed(&error), no_code, "{secret}: {echo}");
            let body = serde_json::json!({"access_token": "tok", "token_type": said});
            let error = read(with(secret), response(200, body.to_string())).await.unwrap_err();
            assert_eq!(error.description(), Some("the token type is unknown"), "{secret}: {echo}");
        }
    }
}

#[tokio::test]
async fn ordinary_words_are_shown() {
    let builder = builder()
        .param("resource", "https://graph.microsoft.com")
        .param("format", "json")
        .header("User-Agent", "program/1");
    for words in [
        "The resource https://graph.microsoft.com does not exist",
        "unknown format json of program/1",
        "the client id is not known",
        // Parts of the secret, not long enough to be one.
        "s3cr3t key",
    ] {
        let error = read(builder.clone(), response(400, words)).await.unwrap_err();
        assert_eq!(error.description(), Some(words));
    }
}

/// Only what was given as a secret is one, and what was given as one is, whatever it is.
#[tokio::test]
async fn a_key_is_a_secret_if_it_is_given_as_one() {
    let key = "0123456789abcdef";
    let alone = || TokenEndpoint::builder(URL).auth(ClientAuth::None);
    let said = format!("{key} is unknown");
    for builder in [
        builder().param("apikey", Secret::value(key)),
        builder().param("apikey", Secret::value(key)).param_encoding(ParamEncoding::Query),
        builder().header("X-Key", Secret::value(key)),
        builder().client_id(Secret::value(key)),
        alone().client_id(Secret::value(key)).rename_param(Parameter::ClientId, "apikey"),
    ] {
        let error = read(builder, response(400, said.clone())).await.unwrap_err();
        assert_eq!(error.description(), None);
        assert!(!printed(&error).contains(key));
    }
    for builder in [
        builder().param("tenant", key),
        builder().header("X-Tenant", key),
        builder().client_id(key),
        builder().url(format!("{URL}?tenant={key}")),
        alone().client_id(key),
    ] {
        let error = read(builder, response(400, said.clone())).await.unwrap_err();
        assert_eq!(error.description(), Some(&*said));
    }
}

#[tokio::test]
async fn a_short_secret_withholds_every_text() {
    let short = || builder().param("pin", Secret::value("pin-1234567"));
    let error = read(short(), response(400, "nothing secret in here")).await.unwrap_err();
    assert_eq!(error.description(), None);
    // Status, code and what we say ourselves are left.
    let error = read(short(), response(401, r#"{"error":"invalid_client"}"#)).await.unwrap_err();
    assert_eq!(error.oauth_code(), Some("invalid_client"));
    assert!(error.to_string().contains("401") && error.hint().is_some());
    let error = read(short(), response(503, "<html>")).await.unwrap_err();
    assert_eq!(error.description(), Some("it is an HTML page"));
    // One letter or digit more.
    let long = builder().param("pin", Secret::value("pin-12345678"));
    let error = read(long, response(400, "nothing secret in here")).await.unwrap_err();
    assert_eq!(error.description(), Some("nothing secret in here"));
}

#[tokio::test]
async fn a_code_that_is_the_secret() {
    for secret in ["invalid_client", "InvalidClient", "client"] {
        let body = r#"{"error":"invalid_client"}"#;
        let error = read(with(secret), response(400, body)).await.unwrap_err();
        assert_eq!((error.oauth_code(), error.description()), (None, None), "{secret}");
    }
}

/// A code of a server's own is shown where its words are withheld, unless the secret is in it.
#[tokio::test]
async fn a_code_of_the_server_s_own() {
    let short = "pin-1234567";
    for (secret, code, is_shown) in [
        (short, "other_error", true),
        (short, "E-40013", true),
        (short, "pin-1234567", false),
        (short, "no.1234567", false),
        ("550e8400-e29b-41d4-a716-446655440000", "446655440000", false),
        ("550e8400-e29b-41d4-a716-446655440000", "446655440001", true),
        (SECRET, "s3cr3tkey", false),
        (SECRET, "S3CR3T-KEY", false),
        ("client-of-billing", "Y2xpZW50LW9mLWJpbGxpbmc=", false),
    ] {
        let body = serde_json::json!({ "errorCode": code, "message": secret }).to_string();
        let error = read(with(secret), response(400, body)).await.unwrap_err();
        assert_eq!(error.oauth_code(), is_shown.then_some(code), "{secret}: {error}");
        assert!(!printed(&error).contains(secret), "{error}");
    }
}

#[tokio::test]
async fn what_cannot_be_printed_is_escaped_and_the_rest_is_cut() {
    let shown = |words: String| async move {
        let error = read(builder(), response(400, words)).await.unwrap_err();
        error.description().unwrap().to_owned()
    };
    assert_eq!(shown("ungültig\u{202e}\r\n\"x\"".to_owned()).await, "ungültig\\u{202e}\\r\\n\"x\"");
    assert_eq!(shown("é".repeat(1000)).await.chars().count(), 256);
    // An escape is shown as a whole or not at all.
    assert_eq!(shown(format!("{}\u{1b}", "x".repeat(255))).await, "x".repeat(255));
    // A secret behind what is shown withholds that too: it may be what led there.
    let error = read(builder(), response(400, format!("{}{SECRET}", "x".repeat(1000)))).await;
    assert_eq!(error.unwrap_err().description(), None);
}

/// The work is linear in the text, whatever secret and text have in common.
#[tokio::test]
async fn a_text_that_looks_like_the_secret_all_the_way() {
    for secret in ["\\\\\\\\\\\\abcdefgh", "yyyyyyyyyyyyyyyyyyyyyyyz", "%25%25%25abcdefgh"] {
        let start = &secret[..1];
        for size in [4 * 1024, 1024 * 1024] {
            let started = Instant::now();
            let error = read(with(secret), response(400, start.repeat(size))).await.unwrap_err();
            assert!(error.description().unwrap().starts_with(start));
            // Quadratic work would take minutes.
            assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
        }
    }
}

#[tokio::test]
async fn a_response_that_echoes_the_secret() {
    for echo in echoes(SECRET) {
        let said = format!("\u{1b}[31mbad <{echo}>{}", "!".repeat(1000));
        let refusal = serde_json::json!({"error": "no", "error_description": said});
        let mac = serde_json::json!({"access_token": "tok", "token_type": said});
        for (status, body) in [(401, refusal.to_string()), (401, said), (200, mac.to_string())] {
            let error = read(builder(), response(status, body)).await.unwrap_err();
            shows_no_secret(&printed(&error));
            assert!(!error.to_string().contains('\u{1b}'));
        }
    }
    assert!(read(builder(), response(200, OK)).await.is_ok());
}
