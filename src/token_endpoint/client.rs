//! A ready-made HTTP client for the token endpoint.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Uri, uri::Scheme};
use http_body_util::Full;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{ClientConfig, RootCertStore, crypto::ring};

use crate::error::Error;

/// The flight has a deadline of its own; this leaves it time for a second address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A client with one pool of connections, which its clones share. It follows no redirects.
pub(super) fn client(
    endpoint: &Uri,
) -> Result<Client<HttpsConnector<HttpConnector>, Full<Bytes>>, Error> {
    // Named, because a process with two providers in its dependencies has no default one.
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?;
    let tls = if endpoint.scheme() == Some(&Scheme::HTTP) {
        // The platform's roots would not be used, and need not be there: think of a test in a
        // container.
        tls.with_root_certificates(RootCertStore::empty())
    } else {
        tls.try_with_platform_verifier().map_err(unusable)?
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
    Ok(Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector))
}

fn unusable(cause: rustls::Error) -> Error {
    Error::config("client", "there is no TLS to be had from this platform; bring a client of your own with `build_with`")
        .with_source(cause)
}
