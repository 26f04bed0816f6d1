//! A ready-made HTTP client for the token endpoint.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{ClientConfig, RootCertStore, crypto::ring};

use crate::error::Error;

/// A fetch has a deadline of its own, 30 s by default; this leaves time for a second address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

type HttpClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// A client with one pool of connections, which its clones share, and which follows no redirects;
/// and the reason if it cannot use TLS.
pub(crate) fn client() -> Result<(HttpClient, Option<Error>), Error> {
    // Named, because a process with two providers in its dependencies has no default one.
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?;
    let (tls, without_tls) = match tls.clone().try_with_platform_verifier() {
        Ok(tls) => (tls, None),
        // Plain HTTP needs no roots: think of a test in a container.
        Err(cause) => (tls.with_root_certificates(RootCertStore::empty()), Some(unusable(cause))),
    };
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls.with_no_client_auth())
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(tcp);
    let client =
        Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
    Ok((client, without_tls))
}

fn unusable(cause: rustls::Error) -> Error {
    Error::config(
        "client",
        "no trusted root certificates could be loaded from this platform; \
         pass an HTTP client of your own to `build_with`",
    )
    .with_source(cause)
}
