//! The forms in which servers say that there is no token, and what each tells its reader to do.

use http::{HeaderValue, Response};
use tower_oauth::{
    Error, ErrorKind,
    token_endpoint::{ClientAuth, ResponseField, ResponseFormat, TokenEndpointBuilder},
};

use crate::{builder, read, response};

async fn error(status: u16, body: &str) -> Error {
    error_of(builder(), status, body).await
}

async fn error_of(builder: TokenEndpointBuilder, status: u16, body: &str) -> Error {
    read(builder, response(status, body.to_owned())).await.expect_err(body)
}

/// Code and words, wherever a server puts them.
#[tokio::test]
async fn each_form_of_an_error() {
    for (status, body, code, words) in [
        // Okta, IBM Cloud, WeChat, Keystone.
        (
            401,
            r#"{"errorCode":"E0000011","errorSummary":"Invalid token"}"#,
            "E0000011",
            "Invalid token",
        ),
        (
            400,
            r#"{"errorCode":"BXNIM0415E","errorMessage":"no such key","context":{"a":1}}"#,
            "BXNIM0415E",
            "no such key",
        ),
        (200, r#"{"errcode":40013,"errmsg":"invalid appid"}"#, "40013", "invalid appid"),
        (401, r#"{"error":"other_error","error_description":"gone"}"#, "other_error", "gone"),
        // Lark, Adobe, Baidu, Zoom, PayPal, Slack.
        (200, r#"{"code":10003,"msg":"invalid param"}"#, "10003", "invalid param"),
        (401, r#"{"error_code":"401013","message":"not valid"}"#, "401013", "not valid"),
        (400, r#"{"error_code":110,"error_msg":"invalid"}"#, "110", "invalid"),
        (
            400,
            r#"{"reason":"Invalid client_id","error":"invalid_client"}"#,
            "invalid_client",
            "Invalid client_id",
        ),
        (
            401,
            r#"{"name":"AUTHENTICATION_FAILURE","message":"no","debug_id":"x"}"#,
            "AUTHENTICATION_FAILURE",
            "no",
        ),
        (200, r#"{"ok":false,"error":"invalid_client_id"}"#, "invalid_client_id", ""),
        // Nested: Google, Facebook, Apigee, Alipay, JSON:API, Spring.
        (
            401,
            r#"{"error":{"code":401,"message":"m","status":"UNAUTHENTICATED"}}"#,
            "UNAUTHENTICATED",
            "m",
        ),
        (400, r#"{"error":{"message":"m","type":"OAuthException","code":190}}"#, "190", "m"),
        (
            401,
            r#"{"fault":{"faultstring":"Invalid ApiKey","detail":{"errorcode":"oauth.v2.InvalidApiKey"}}}"#,
            "oauth.v2.InvalidApiKey",
            "Invalid ApiKey",
        ),
        (
            200,
            r#"{"error_response":{"code":"40002","msg":"Invalid Arguments"}}"#,
            "40002",
            "Invalid Arguments",
        ),
        (
            400,
            r#"{"errors":[{"code":"invalid_scope","detail":"d"},{"code":"other"}]}"#,
            "invalid_scope",
            "d",
        ),
        (400, r#"{"errors":["invalid_grant"]}"#, "invalid_grant", ""),
        (400, r#"{"errors":"bad key"}"#, "", "bad key"),
        (
            401,
            r#"{"timestamp":"t","status":401,"error":"Unauthorized","path":"/p"}"#,
            "",
            "Unauthorized",
        ),
        (
            401,
            r#"{"error":"unauthorized","error_description":"Bad credentials"}"#,
            "unauthorized",
            "Bad credentials",
        ),
        // NetSuite's names have a prefix, Salesforce's list has no name at all.
        (
            401,
            r#"{"title":"Unauthorized","status":401,"o:errorDetails":[{"detail":"d","o:errorCode":"INVALID_LOGIN"}]}"#,
            "INVALID_LOGIN",
            "d",
        ),
        (
            401,
            r#"[{"message":"expired","errorCode":"INVALID_SESSION_ID"}]"#,
            "INVALID_SESSION_ID",
            "expired",
        ),
        // TikTok, and those that only say that it failed.
        (
            200,
            r#"{"data":{"error_code":10010,"description":"bad key","captcha":""},"message":"error"}"#,
            "10010",
            "bad key",
        ),
        (200, r#"{"success":false,"message":"bad key"}"#, "", "bad key"),
        (200, r#"{"ok":false,"description":"bad key"}"#, "", "bad key"),
        (200, r#"{"status":"error","message":"bad key"}"#, "", "bad key"),
        (200, r#"{"result":"FAILED","reason":"bad key"}"#, "", "bad key"),
        // In any case, and what the standard names goes first.
        (
            400,
            r#"{"ErrorCode":"invalid_client","Error":"ClientId is Invalid"}"#,
            "invalid_client",
            "ClientId is Invalid",
        ),
        (400, r#"{"ERROR":"invalid_scope","ERROR_DESCRIPTION":"no"}"#, "invalid_scope", "no"),
        (400, r#"{"Message":"nope"}"#, "", "nope"),
        (
            401,
            r#"{"code":"17","error":"invalid_client","error_codes":[7000215]}"#,
            "invalid_client",
            "",
        ),
        // XML, as AWS and WSO2 write it.
        (
            403,
            "<ErrorResponse xmlns=\"urn:x\"><Error><Type>Sender</Type><Code>InvalidClientTokenId</Code><Message>bad &amp; wrong</Message></Error></ErrorResponse>",
            "InvalidClientTokenId",
            "bad & wrong",
        ),
        (
            401,
            "<?xml version=\"1.0\"?>\n<ams:fault xmlns:ams=\"urn:y\"><ams:code>900901</ams:code><ams:message>Invalid Credentials</ams:message></ams:fault>",
            "900901",
            "Invalid Credentials",
        ),
        (
            400,
            "<oauth><error>invalid_client</error><error_description><![CDATA[a & b]]></error_description></oauth>",
            "invalid_client",
            "a & b",
        ),
        // A form, and text.
        (400, "Error=invalid_scope&Error_Description=no+such", "invalid_scope", "no such"),
        (400, "invalid_client", "invalid_client", ""),
        (400, "\"invalid_client\"", "invalid_client", ""),
    ] {
        let error = error(status, body).await;
        assert_eq!(error.oauth_code().unwrap_or_default(), code, "{body}: {error}");
        assert_eq!(error.description().unwrap_or_default(), words, "{body}: {error}");
        // None of them is a server that is busy.
        assert_eq!(error.kind(), ErrorKind::Denied, "{body}: {error}");
        assert!(!error.to_string().contains("HTML"), "{error}");
    }
}

#[tokio::test]
async fn where_an_api_has_its_errors_by_its_own_names() {
    let named = || {
        builder()
            .response_field(ResponseField::Error, "/result/why")
            .response_field(ResponseField::ErrorDescription, "text")
    };
    for status in [200, 400] {
        let body = r#"{"code":"0","error":"x1","text":"words","result":{"why":"invalid_scope"}}"#;
        let error = error_of(named(), status, body).await;
        assert_eq!(error.oauth_code(), Some("invalid_scope"));
        assert_eq!(error.description(), Some("words"));
    }
    // What is not there is looked for where others have it.
    let error = error_of(named(), 400, r#"{"error":"invalid_grant","message":"m"}"#).await;
    assert_eq!((error.oauth_code(), error.description()), (Some("invalid_grant"), Some("m")));
}

/// Many APIs say with a code that all is well.
#[tokio::test]
async fn a_code_beside_a_token() {
    for members in [
        r#""code":0,"msg":"ok""#,
        r#""errcode":0,"errmsg":"ok""#,
        r#""code":"200","message":"success""#,
        r#""code":20000,"errors":[],"fault":null"#,
        r#""success":true,"failed":false"#,
        r#""status":"SUCCESS","error":"0""#,
        r#""name":"token-1","title":"A token","detail":"for you","reason":"asked""#,
    ] {
        let body = format!(r#"{{"access_token":"tok",{members}}}"#);
        assert!(read(builder(), response(200, body.clone())).await.is_ok(), "{body}");
    }
    // Without a token in its place they do not make an error of another kind.
    for members in [
        r#""code":0,"msg":"ok""#,
        r#""errcode":"0""#,
        r#""code":200,"message":"OK""#,
        r#""code":20000,"message":"success","data":{"access_token":"tok"}"#,
        r#""name":"token-1","title":"A token","type":"token""#,
        r#""success":true,"data":{"access_token":"tok"}"#,
    ] {
        let error = error(200, &format!("{{{members}}}")).await;
        assert_eq!(error.kind(), ErrorKind::InvalidResponse, "{members}: {error}");
        assert!(error.to_string().contains("no `access_token`"), "{members}: {error}");
    }
    let body = r#"{"code":0,"data":{"access_token":"tok"}}"#;
    let error = error(200, body).await;
    assert!(error.hint().unwrap().contains("`response_field`"), "{error}");
}

/// Denied or transient, by status, whatever form the body has.
#[tokio::test]
async fn the_form_of_a_body_decides_nothing() {
    use ErrorKind::{Denied, Unavailable};
    let bodies = [
        "",
        "Not today",
        "<html><body>Sorry</body></html>",
        "<!DOCTYPE html><p>Sorry",
        "<h1>Sorry</h1>",
        "<?xml version=\"1.0\"?><error><message>Sorry</message></error>",
        r#"{"message":"Sorry"}"#,
        r#"{"error":"sorry_today"}"#,
        r#"{"error":{"code":77}}"#,
        "{",
        "[]",
        "\u{feff}",
        "error=sorry_today",
    ];
    for (statuses, kind) in [
        (&[404, 408, 421, 423, 425, 429, 500, 501, 502, 503, 504, 521, 599][..], Unavailable),
        (&[400, 401, 402, 403, 405, 406, 407, 409, 410, 413, 415, 422, 451, 499], Denied),
    ] {
        for &status in statuses {
            for body in bodies {
                for content_type in ["application/json", "text/html", "text/plain"] {
                    let mut response = response(status, body);
                    let content_type = HeaderValue::from_static(content_type);
                    response.headers_mut().insert("content-type", content_type);
                    let error = read(builder(), response).await.unwrap_err();
                    assert_eq!(error.kind(), kind, "{status} {body}");
                }
            }
        }
        // A code of OAuth's own says more than the status.
        for &status in statuses {
            let denied = error(status, r#"{"error":"invalid_client"}"#).await;
            assert_eq!(denied.kind(), Denied, "{status}");
            let busy = error(status, r#"{"error":"temporarily_unavailable"}"#).await;
            assert_eq!(busy.kind(), Unavailable, "{status}");
        }
    }
    for (body, kind) in [
        (r#"{"errcode":-1,"errmsg":"system busy"}"#, Unavailable),
        (r#"{"error":"slow_down"}"#, Unavailable),
        (r#"{"error":"no such thing"}"#, Denied),
    ] {
        assert_eq!(error(200, body).await.kind(), kind, "{body}");
    }
}

#[tokio::test]
async fn a_page_is_told_from_xml() {
    let typed = |status, content_type: &'static str, body: &'static str| {
        let mut response = response(status, body);
        response.headers_mut().insert("content-type", HeaderValue::from_static(content_type));
        response
    };
    let xhtml = "<?xml version=\"1.0\"?><!DOCTYPE html><html><title>Sorry</title></html>";
    let xml = "<?xml version=\"1.0\"?><error><code>E1</code></error>";
    for (response, is_page) in [
        (typed(503, "text/html", "Sorry"), true),
        (typed(503, "application/xhtml+xml", xhtml), true),
        (typed(503, "text/plain", "<HTML><title>Sorry</title>"), true),
        (typed(503, "text/plain", "<center><h1>Sorry</h1></center>"), true),
        (typed(503, "application/xml", xml), false),
        (typed(503, "text/html", xml), false),
    ] {
        let body = response.body().clone();
        let error = read(builder(), response).await.unwrap_err();
        assert_eq!(error.to_string().contains("HTML"), is_page, "{body:?}: {error}");
        assert_eq!(error.oauth_code().is_some(), !is_page, "{body:?}: {error}");
    }
    let xml =
        read(builder(), response(200, "<?xml version=\"1.0\"?><ok>tok</ok>")).await.unwrap_err();
    assert!(xml.to_string().contains("not a JSON object"), "{xml}");
}

/// A hint leads where the mistake is.
#[tokio::test]
async fn hints() {
    let public = || builder().auth(ClientAuth::None);
    for (builder, status, body, leads_to, not_to) in [
        // A JSON error proves the endpoint, so its URL is right.
        (builder(), 404, r#"{"error":"application_not_found"}"#, "client's id", "URL"),
        (
            builder(),
            404,
            r#"{"error":{"code":77,"message":"no such client"}}"#,
            "client's id",
            "URL",
        ),
        (builder(), 404, r#"{"errorCode":"E0000007"}"#, "client's id", "URL"),
        (builder(), 410, r#"{"error":"gone_client"}"#, "client's id", "URL"),
        (builder(), 404, "", "URL", "id and"),
        (builder(), 404, "<html>", "URL", "id and"),
        (builder(), 404, r#"{"path":"/oauth/tokn"}"#, "URL", "id and"),
        (builder(), 403, "", "scope", "secret"),
        (builder(), 403, "<html>", "proxy", "secret"),
        (builder(), 404, r#"{"error":"Not Found","path":"/oauth/tokn"}"#, "URL", "id and"),
        (builder(), 404, r#"{"error":"not_found"}"#, "URL", "id and"),
        (builder(), 401, "", "id and secret", "URL"),
        (builder(), 400, "", "parameters", "secret"),
        (builder(), 405, "", "method", "secret"),
        (builder(), 407, "", "proxy", "secret"),
        (builder(), 415, "", "param_encoding", "secret"),
        (builder(), 302, "", "redirects", "secret"),
        // Who sends no secret has none to compare.
        (public(), 401, "", "`auth`", "id and secret"),
        (public(), 400, r#"{"error":"invalid_client"}"#, "`auth`", "id and secret"),
    ] {
        let error = error_of(builder, status, body).await;
        let hint = error.hint().unwrap_or_default();
        assert!(hint.contains(leads_to), "{status} {body}: {hint}");
        assert!(!hint.contains(not_to), "{status} {body}: {hint}");
    }
    // A hint of the API's own goes first, whatever the code is.
    let own = builder().hint("E1", "ask us").hint("403", "ask them");
    assert_eq!(error_of(own.clone(), 403, r#"{"code":"E1"}"#).await.hint(), Some("ask us"));
    assert_eq!(error_of(own, 403, r#"{"code":"E2"}"#).await.hint(), Some("ask them"));
}

#[tokio::test]
async fn a_form_that_is_an_error() {
    let form = builder().response_format(ResponseFormat::Form);
    let error = error_of(form.clone(), 200, "errcode=40013&errmsg=invalid+appid").await;
    assert_eq!((error.kind(), error.oauth_code()), (ErrorKind::Denied, Some("40013")));
    assert_eq!(error.description(), Some("invalid appid"));
    let ok = Response::new("access_token=tok&errcode=0&errmsg=ok".into());
    assert!(read(form, ok).await.is_ok());
}

/// Whatever is nested in whatever, the work is bounded.
#[tokio::test]
async fn a_deep_error_and_a_wide_one() {
    let deep = format!("{}\"x\"{}", r#"{"error":"#.repeat(10_000), "}".repeat(10_000));
    assert_eq!(error(400, &deep).await.kind(), ErrorKind::Denied);
    let wide = format!(r#"{{"errors":[{}{{"code":"last"}}]}}"#, r#"{"a":1},"#.repeat(50_000));
    assert_eq!(error(400, &wide).await.kind(), ErrorKind::Denied);
    let xml = "<a>".repeat(300_000);
    assert_eq!(error(400, &xml).await.kind(), ErrorKind::Denied);
}
