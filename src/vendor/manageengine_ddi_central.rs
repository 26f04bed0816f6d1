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
/// # #[cfg(feature = "client-no-provider")]
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
/// Such a console often has one. Add it to those that are trusted, here and in the HTTP client of the
/// API itself:
///
/// ```no_run
/// # #[cfg(feature = "client-no-provider")]
/// # fn example() -> Result<(), tower_oauth::Error> {
/// use tower_oauth::{token_endpoint::Secret, vendor::manageengine_ddi_central};
///
/// let fetcher = manageengine_ddi_central("10.0.0.5:9443", "id", "secret")
///     .ca_certificate(Secret::file("ddi-central.pem"))
///     .build()?;
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
/// [`Unavailable`](crate::ErrorKind::Unavailable), and the error says so.
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
