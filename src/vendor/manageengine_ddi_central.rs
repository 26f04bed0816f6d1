//! `ManageEngine` DDI Central.

use super::base_url;
use crate::{
    TokenEndpoint,
    token_endpoint::{ClientAuth, ParamEncoding, Secret, TokenEndpointBuilder, Value},
};

/// `ManageEngine` DDI Central on its application console.
///
/// Give the address and port of the application console (`10.0.0.5:9443`), and the client id and
/// client secret that the console issued for your application. The id is a string of hexadecimal
/// digits, although the documentation's table calls it a `long`.
///
/// ```no_run
/// # #[cfg(feature = "client")]
/// # async fn example() -> Result<(), tower_oauth::Error> {
/// use tower_oauth::{TokenCache, vendor::manageengine_ddi_central};
///
/// let fetcher = manageengine_ddi_central("ddi.example.com:9443", "ab5a442c", "8c7f2eb1").build()?;
/// let token = TokenCache::builder(fetcher).build().token().await?;
/// # Ok(())
/// # }
/// ```
///
/// `build` needs the feature `client`: `cargo add tower-oauth --features client`. Without it, pass an
/// HTTP client of your own to [`build_with`](TokenEndpointBuilder::build_with).
///
/// # A self-signed certificate
///
/// Such a console often has one. `build` accepts only what the platform trusts: either add the
/// certificate there, or pass a client of your own that trusts this certificate and no other.
///
/// ```no_run
/// use bytes::Bytes;
/// use http_body_util::Full;
/// use hyper_util::{client::legacy::Client, rt::TokioExecutor};
/// use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::{CertificateDer, pem::PemObject}};
/// use tower_oauth::vendor::manageengine_ddi_central;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut roots = RootCertStore::empty();
/// roots.add(CertificateDer::from_pem_file("ddi-central.pem")?)?;
/// let tls = ClientConfig::builder_with_provider(ring::default_provider().into())
///     .with_safe_default_protocol_versions()?
///     .with_root_certificates(roots)
///     .with_no_client_auth();
/// let https = hyper_rustls::HttpsConnectorBuilder::new()
///     .with_tls_config(tls)
///     .https_only()
///     .enable_http1()
///     .build();
/// let client = Client::builder(TokioExecutor::new()).build::<_, Full<Bytes>>(https);
///
/// let fetcher = manageengine_ddi_central("10.0.0.5:9443", "id", "secret").build_with(client)?;
/// # Ok(())
/// # }
/// ```
///
/// The certificate must have the address as a subject alternative name, and it must not be a
/// certificate authority's, which is what `openssl req -x509` makes by default. This makes a good
/// one. Do not switch verification off: that gives the secret to anybody on the way.
///
/// ```sh
/// openssl req -x509 -newkey rsa:2048 -noenc -days 365 -subj /CN=ddi-central \
///     -keyout ddi-central.key -out ddi-central.pem \
///     -addext basicConstraints=critical,CA:FALSE -addext subjectAltName=IP:10.0.0.5
/// ```
///
/// # Lifetime
///
/// Half an hour. The response names a scope, `read write`, although none was asked for.
///
/// # Errors
///
/// The page describes none, so they are read as RFC 6749 §5.2 defines them. Wrong credentials are
/// [`Denied`](crate::ErrorKind::Denied). A certificate that is not trusted is
/// [`Unavailable`](crate::ErrorKind::Unavailable), and the error's
/// [`source`](std::error::Error::source) says so.
///
/// As a configuration file:
///
/// ```toml
#[doc = include_str!("manageengine_ddi_central.toml")]
/// ```
pub fn manageengine_ddi_central(
    host_and_port: impl AsRef<str>,
    client_id: impl Into<Value>,
    client_secret: impl Into<Secret>,
) -> TokenEndpointBuilder {
    TokenEndpoint::builder(format!("{}/oauth2/token/", base_url(host_and_port.as_ref())))
        .client_id(client_id)
        .client_secret(client_secret)
        .auth(ClientAuth::Body)
        .param_encoding(ParamEncoding::Json)
}
