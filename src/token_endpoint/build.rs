//! From a builder to an endpoint.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower::{ServiceExt, util::BoxCloneService};
use tower_service::Service;

use super::{
    builder::TokenEndpointBuilder, endpoint::TokenEndpoint, request::EndpointRequest,
    settings::Settings, transport::HttpTransport,
};
use crate::error::{BoxError, Error};

impl TokenEndpointBuilder {
    /// Builds an endpoint that sends its requests over this HTTP service. The service need not be
    /// `Sync`. It must not follow redirects, as reqwest's client does unless it is told not to: with a
    /// 307 or 308 it would send the client's secret along.
    ///
    /// Its requests may have any body that is made from [`Bytes`], for example
    /// `http_body_util::Full<Bytes>` or `reqwest::Body`. Where nothing else says which one, name it:
    /// in the closure of a `service_fn`, in the `build::<_, Full<Bytes>>(connector)` of hyper-util's
    /// client, or, for a service that takes every body, here: `build_with::<_, Full<Bytes>, _>(service)`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config); [`Error::field`] names the setter.
    pub fn build_with<S, Q, B>(self, http: S) -> Result<TokenEndpoint, Error>
    where
        S: Service<
                Request<Q>,
                Response = Response<B>,
                Error: Into<BoxError>,
                Future: Send + 'static,
            > + Clone
            + Send
            + 'static,
        Q: From<Bytes> + 'static,
        B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
    {
        self.build_with_transport(HttpTransport::new(http))
    }

    /// Builds an endpoint that sends its requests over layers of your own around an
    /// [`HttpTransport`]. This is where a signed assertion or a proof of possession is added.
    ///
    /// ```
    /// # use http::{Request, Response};
    /// # use tower::{ServiceBuilder, service_fn};
    /// # use tower::BoxError;
    /// use tower_oauth::{TokenEndpoint, token_endpoint::{ClientAuth, EndpointRequest, HttpTransport}};
    ///
    /// # let http = service_fn(|_: Request<bytes::Bytes>| async { Ok::<_, BoxError>(Response::new(String::new())) });
    /// let signed = ServiceBuilder::new()
    ///     .map_request(|mut request: EndpointRequest| {
    ///         request.params.push("client_assertion", "eyJhbGciOiJSUzI1NiJ9...");
    ///         request
    ///     })
    ///     .service(HttpTransport::new(http));
    /// let fetcher = TokenEndpoint::builder("https://idp.example.com/oauth2/token")
    ///     .client_id("id")
    ///     .auth(ClientAuth::None)
    ///     .build_with_transport(signed)?;
    /// # Ok::<_, tower_oauth::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config); [`Error::field`] names the setter.
    pub fn build_with_transport<S>(self, transport: S) -> Result<TokenEndpoint, Error>
    where
        S: Service<
                EndpointRequest,
                Response = Response<Bytes>,
                Error: Into<BoxError>,
                Future: Send + 'static,
            > + Clone
            + Send
            + 'static,
    {
        let settings = Settings::check(self)?;
        let transport = BoxCloneService::new(transport.map_err(Into::into));
        let transport = Arc::new(Mutex::new(transport));
        Ok(TokenEndpoint { settings, transport, without_tls: None })
    }
}
