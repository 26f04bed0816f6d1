//! What the ready-made HTTP client adds to a builder.

use std::mem;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{
    builder::TokenEndpointBuilder, endpoint::TokenEndpoint, request::ClientAuth, secret::Secret,
    transport::HttpClient,
};
use crate::error::{BoxError, Error};

#[cfg_attr(docsrs, doc(cfg(feature = "client-no-provider")))]
impl TokenEndpointBuilder {
    /// The proxy that every request goes through, whatever the environment says: `http`, `https`,
    /// `socks5` or `socks5h`, and the host and port. Its user name and password may be in the URL,
    /// which is a secret. By default the environment decides; see [`build`](Self::build).
    ///
    /// For an https server it is asked for a tunnel (`CONNECT`), and sees neither secret nor token.
    pub fn proxy(mut self, url: impl Into<Secret>) -> Self {
        self.client.proxy = Some(url.into());
        self
    }

    /// Trusts these certificates, in PEM, in addition to those that the platform trusts: that of a
    /// private certificate authority, or of a server that signed its own. Each call adds one or more.
    ///
    /// A file or a variable is read when the endpoint is built, and again for each connection: one that
    /// was replaced needs no restart.
    pub fn ca_certificate(mut self, pem: impl Into<Secret>) -> Self {
        self.client.ca_certificates.push(pem.into());
        self
    }

    /// The client's own certificate and its private key, in PEM, for a server that asks for one
    /// (mutual TLS). What follows the certificate is sent along: those of intermediate authorities, in
    /// their order. Each call adds to it, so both may be in one file or each in its own. The key must
    /// have no passphrase.
    ///
    /// A file or a variable is read when the endpoint is built, and again for each connection: one that
    /// was replaced needs no restart. If it cannot be used any more, the token request fails with
    /// [`ErrorKind::Fetcher`](crate::ErrorKind::Fetcher) and the name of the file.
    ///
    /// With [`ClientAuth::TlsClientAuth`](super::ClientAuth::TlsClientAuth) it stands in for a secret.
    /// A server that knows secrets may ask for it all the same. A proxy never gets it. If the server binds
    /// its tokens to the certificate (RFC 8705 §3), the client that calls the API has to show it too.
    ///
    /// ```
    /// use tower_oauth::{TokenEndpoint, token_endpoint::{ClientAuth, Secret}};
    ///
    /// let builder = TokenEndpoint::builder("https://mtls.idp.example.com/oauth2/token")
    ///     .client_id("billing")
    ///     .auth(ClientAuth::TlsClientAuth)
    ///     .client_identity(Secret::file("/run/tls/tls.crt"))
    ///     .client_identity(Secret::file("/run/tls/tls.key"));
    /// # // There are no such files here.
    /// # assert_eq!(builder.build().unwrap_err().field(), Some("client_identity"));
    /// ```
    #[doc(alias = "mtls")]
    pub fn client_identity(mut self, pem: impl Into<Secret>) -> Self {
        self.client.client_identity.push(pem.into());
        self
    }

    /// Builds an endpoint with an HTTP client of its own: hyper-util and rustls, HTTP/1.1 and HTTP/2,
    /// 10 s to connect, a new connection for each request, no redirects.
    ///
    /// # TLS
    ///
    /// The platform decides which certificates are trusted, and
    /// [`ca_certificate`](Self::ca_certificate) adds some. A server that wants a certificate of the
    /// client gets [`client_identity`](Self::client_identity). The cryptography comes from the provider
    /// that the program installed as rustls' default. Without one it comes from the feature `client`
    /// (aws-lc-rs), else from `client-ring`. A provider that a feature turns on is one more for the whole
    /// program, and `ClientConfig::builder()` panics where there are two and none is installed. So a
    /// program on ring takes `client-ring`, and a library takes `client-no-provider`.
    ///
    /// # Proxies
    ///
    /// `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` are read when the endpoint is built, as
    /// curl reads them, except that servers on this machine are asked directly. [`proxy`](Self::proxy)
    /// replaces them.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config); [`Error::field`] names the setter, or `client`
    /// if the URL is https and TLS cannot be used: there is no provider, or the platform has no root
    /// certificates.
    pub fn build(mut self) -> Result<TokenEndpoint, Error> {
        let client = self.client()?;
        let without_tls = client.tls.as_ref().err().cloned();
        let endpoint = self.build_with(client.into_service())?;
        TokenEndpoint { without_tls, ..endpoint }.with_tls_if_needed()
    }

    /// Takes out the HTTP client that [`build`](Self::build) would use, so that you can put layers around
    /// it. The result goes to [`build_with`](Self::build_with); for layers on
    /// [`EndpointRequest`](super::EndpointRequest)s it goes into an
    /// [`HttpTransport`](super::HttpTransport) first.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower::ServiceBuilder;
    /// use tower_oauth::TokenEndpoint;
    ///
    /// # fn main() -> Result<(), tower_oauth::Error> {
    /// let mut builder = TokenEndpoint::builder("http://127.0.0.1:8080/token")
    ///     .client_id("id")
    ///     .client_secret("secret")
    ///     .proxy("http://127.0.0.1:3128");
    /// let http = builder.http_client()?;
    /// let http = ServiceBuilder::new().timeout(Duration::from_secs(5)).service(http);
    /// let fetcher = builder.build_with(http)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if a setting of the client cannot be used. That
    /// TLS cannot be used is the error of the requests that need it.
    pub fn http_client(
        &mut self,
    ) -> Result<
        impl Service<
            Request<Bytes>,
            Response = Response<impl Body<Data = Bytes, Error: Into<BoxError>> + Send + use<>>,
            Error = BoxError,
            Future: Send,
        > + Clone
        + Send
        + use<>,
        Error,
    > {
        Ok(self.client()?.into_service())
    }

    fn client(&mut self) -> Result<HttpClient, Error> {
        if self.template.auth == ClientAuth::TlsClientAuth && self.client.client_identity.is_empty()
        {
            let why = "it is missing; `auth` says that a certificate proves who the client is";
            return Err(Error::config("client_identity", why));
        }
        HttpClient::new(mem::take(&mut self.client))
    }
}
