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
#[doc = include_str!("dependencies.md")]
///
/// ```sh
/// cargo add rustls
/// ```
///
#[cfg_attr(feature = "client", doc = "```no_run")]
#[cfg_attr(not(feature = "client"), doc = "```ignore")]
/// use http::Request;
/// use hyper_rustls::HttpsConnectorBuilder;
/// use hyper_util::{client::legacy::Client, rt::TokioExecutor};
/// use rustls::{
///     ClientConfig, RootCertStore,
///     pki_types::{CertificateDer, pem::PemObject},
/// };
/// use tower::{BoxError, ServiceBuilder, ServiceExt};
/// use tower_oauth::{OAuthLayer, token_endpoint::Secret, vendor::manageengine_ddi_central};
///
/// #[tokio::main]
/// async fn main() -> Result<(), BoxError> {
///     let secret = Secret::file("/run/secrets/ddi-central");
///     let fetcher = manageengine_ddi_central("10.0.0.5:9443", "ab5a442c7d57bd3d", secret)
///         .ca_certificate(Secret::file("ddi-central.pem"))
///         .build()?;
///
///     // The API has the same certificate as the token endpoint.
///     let mut roots = RootCertStore::empty();
///     roots.add(CertificateDer::from_pem_file("ddi-central.pem")?)?;
///     let tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
///     let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http1().build();
///     let api = ServiceBuilder::new()
///         .layer(OAuthLayer::new(fetcher).origin("https://10.0.0.5:9443")?)
///         .service(Client::builder(TokioExecutor::new()).build(https));
///
///     let request = Request::get("https://10.0.0.5:9443/the/call/you/want")
///         .body(String::new())?;
///     match api.oneshot(request).await {
///         Ok(response) => println!("{}", response.status()),
///         Err(error) => eprintln!("{error}"),
///     }
///     Ok(())
/// }
/// ```
///
/// [The front page](crate#features) lists the other features that `build` works with.
/// [`build_with`](TokenEndpointBuilder::build_with) needs none of them.
///
/// # A certificate of its own
///
/// Consoles often have a certificate that no public authority signed. In the program above,
/// `ca_certificate` makes the token request trust it, and the client's roots make the API call trust it.
/// The file holds, in PEM, the console's certificate or that of the authority that signed it. Without
/// these lines only what the platform trusts is accepted. Do not switch verification off: that gives the
/// secret to anyone on the way.
///
/// The certificate must have the console's address as a subject alternative name, and a self-signed one
/// must not be a certificate authority's, which is what `openssl req -x509` makes by default. This
/// makes a good one:
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
/// # From a configuration file
///
/// ```toml
#[doc = include_str!("manageengine_ddi_central.toml")]
/// ```
///
#[doc = include_str!("from_a_file.md")]
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
