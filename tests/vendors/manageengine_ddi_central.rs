//! `ManageEngine` DDI Central, from its page.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;
use tower_oauth::{
    ErrorKind, RefreshReason, TokenRequest,
    token_endpoint::{ClientAuth, ParamEncoding},
    vendor::manageengine_ddi_central,
};

use crate::server::{ID, Received, Response, SECRET, Server, fetch, json, leaks_nothing};

const TOKEN: &str = "604c6b3c89688821edc3f852701b636e0c3d76bf5cc153dd76815d08";

/// The page's sample, byte for byte.
const SAMPLE: &str = r#"{
   "access_token":"604c6b3c89688821edc3f852701b636e0c3d76bf5cc153dd76815d08",
   "expires_in":1800,
   "token_type":"Bearer",
   "scope":"read write"
}"#;

fn token_endpoint(request: &Received, token: &str) -> Response {
    // With the slash at its end, as the page has it.
    if request.path != "/oauth2/token/" || request.method != "POST" {
        return json(404, "");
    }
    // The page shows no errors; they are taken to be those of RFC 6749 §5.2, as the response is.
    let refuse = |status, code: &str| json(status, format!(r#"{{"error":"{code}"}}"#));
    if request.content_type() != "application/json" {
        return refuse(415, "invalid_request");
    }
    // The table says that the id is a `long`; the sample has it as a text.
    let wanted = serde_json::json!({
        "client_id": ID,
        "client_secret": SECRET,
        "grant_type": "client_credentials",
    });
    let Ok(serde_json::Value::Object(sent)) = serde_json::from_str(&request.body) else {
        return refuse(400, "invalid_request");
    };
    if sent.len() != 3 || !request.query.is_empty() || request.headers.contains_key("authorization")
    {
        return refuse(400, "invalid_request");
    }
    match serde_json::Value::Object(sent) == wanted {
        true => json(200, SAMPLE.replace(TOKEN, token)),
        false => refuse(401, "invalid_client"),
    }
}

#[tokio::test]
async fn the_sample() {
    let server = Server::start(TOKEN, 1800, json(401, ""), token_endpoint).await;
    let api = |id: &str, secret: &str| manageengine_ddi_central(server.base_url(), id, secret);
    leaks_nothing(None, &[&api(ID, SECRET)]);
    let token = fetch(api(ID, SECRET)).await.unwrap();
    assert_eq!(token.expose_secret(), TOKEN);
    assert_eq!(token.lifetime(), Some(Duration::from_secs(1800)));

    for (builder, status) in [
        (api(ID, "hunter2 no"), 401),
        (api("no", SECRET), 401),
        (api(ID, SECRET).param_encoding(ParamEncoding::Form), 415),
        (api(ID, SECRET).auth(ClientAuth::Basic), 400),
        (api(ID, SECRET).scope("read"), 400),
    ] {
        let error = fetch(builder).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert_eq!(error.status().unwrap(), status);
        leaks_nothing(Some(&error), &[]);
    }
}

#[tokio::test]
async fn through_the_whole_stack() {
    let server = Server::start(TOKEN, 1800, json(401, ""), token_endpoint).await;
    let tokens = server.cache(manageengine_ddi_central("host:9443", ID, SECRET), 0.5);
    let mut resource = server.client(&tokens);
    for half_hour in 1..4 {
        assert_eq!(resource.get().await, 200);
        assert_eq!(server.token_requests(), half_hour);
        server.clock().advance(1800);
    }
    leaks_nothing(None, &[&tokens]);
}

#[tokio::test]
async fn over_tls_with_a_self_signed_certificate() {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let tls = ServerConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let handshake = move |tcp| {
        let acceptor = acceptor.clone();
        async move { acceptor.accept(tcp).await }
    };
    let server =
        Server::serve(TOKEN, 1800, json(401, ""), token_endpoint, "https", handshake).await;
    let api = || manageengine_ddi_central(server.base_url(), ID, SECRET);

    // What the platform does not trust is not asked, and the error says why.
    let error = fetch(api()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Unavailable, true));
    let mut cause: Option<&dyn std::error::Error> = Some(&error);
    let mut causes = String::new();
    while let Some(error) = cause {
        causes += &format!("{error:?}");
        cause = error.source();
    }
    assert!(causes.to_lowercase().contains("certificate"), "{causes}");
    assert_eq!(server.token_requests(), 0);

    // The way that the documentation shows.
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let tls = ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let https = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_only()
        .enable_http1()
        .build();
    let client = Client::builder(TokioExecutor::new()).build::<_, Full<Bytes>>(https);
    let fetcher = api().build_with(client).unwrap();
    let token = fetcher.oneshot(TokenRequest::new(RefreshReason::Cold)).await.unwrap();
    assert_eq!(token.expose_secret(), TOKEN);
    leaks_nothing(None, &[]);
}
