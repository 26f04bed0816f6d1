//! A ready-made HTTP client for the token endpoint.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, header, uri::Scheme};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
    rt::{Read, Write},
};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::{
    client::legacy::connect::{
        Connection, HttpConnector,
        proxy::{SocksV5, Tunnel},
    },
    rt::TokioExecutor,
};
use rustls::ClientConfig;
use tower::{ServiceExt, service_fn};
use tower_service::Service;

use crate::error::{BoxError, Error};

mod pem;
mod proxy;
mod settings;
mod tls;

use proxy::Proxies;
use tls::{CLIENT, Tls};

pub(super) use proxy::ThroughProxy;
pub(crate) use settings::ClientSettings;

/// A fetch has a deadline of its own, 30 s by default; this leaves time for a second address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A client that makes a connection for each request, and follows no redirects.
///
/// A token request an hour gains nothing from a connection that is kept, which may be dead by then, or
/// belong to a runtime that nobody drives any more.
#[derive(Clone)]
pub(crate) struct HttpClient {
    tcp: HttpConnector,
    proxies: Arc<Proxies>,
    /// Or why there is none. Plain HTTP needs none: think of a test in a container.
    pub(crate) tls: Result<Arc<Tls>, Error>,
}

impl HttpClient {
    pub(crate) fn new(settings: ClientSettings) -> Result<Self, Error> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let proxies = Arc::new(Proxies::new(settings.proxy.as_ref())?);
        let tls = match Tls::new(settings) {
            Err(error) if error.field() != Some(CLIENT) => return Err(error),
            tls => tls.map(Arc::new),
        };
        Ok(Self { tcp, proxies, tls })
    }

    pub(crate) fn into_service(
        self,
    ) -> impl Service<
        Request<Bytes>,
        Response = Response<Incoming>,
        Error = BoxError,
        Future: Send + 'static,
    > + Clone
    + Send
    + 'static {
        service_fn(move |request: Request<Bytes>| self.clone().send(request.map(Full::new)))
    }

    async fn send(self, mut request: Request<Full<Bytes>>) -> Result<Response<Incoming>, BoxError> {
        let Self { tcp, proxies, tls } = self;
        let to = request.uri().clone();
        let proxy = proxies.of(&to);
        let to_https = proxy.as_ref().is_some_and(|at| at.uri().scheme() == Some(&Scheme::HTTPS));
        let tls = match to_https || to.scheme() != Some(&Scheme::HTTP) {
            true => Some(tls?.now().await?),
            false => None,
        };
        let (tls, tls_to_proxy) = tls.map(|tls| (tls.server, tls.proxy)).unzip();
        let Some(proxy) = proxy else {
            return exchange(connect(tcp, tls, to).await?, request, false).await;
        };
        let at = proxy.uri().clone();
        let through = ThroughProxy::at(&at);
        if at.scheme_str().is_some_and(|scheme| scheme.starts_with("socks")) {
            let mut socks = SocksV5::new(at, tcp);
            if let Some((user, password)) = proxy.raw_auth() {
                socks = socks.with_auth(user.to_owned(), password.to_owned());
            }
            let socks = socks.map_err(move |cause| through(cause.into()));
            exchange(connect(socks, tls, to).await?, request, false).await
        } else if to.scheme() == Some(&Scheme::HTTP) {
            if let Some(credentials) = proxy.basic_auth() {
                request.headers_mut().insert(header::PROXY_AUTHORIZATION, credentials.clone());
            }
            exchange(connect(tcp, tls_to_proxy, at).await.map_err(through)?, request, true).await
        } else {
            let to_proxy = move |at| connect(tcp.clone(), tls_to_proxy.clone(), at);
            let mut tunnel = Tunnel::new(at, service_fn(to_proxy));
            if let Some(credentials) = proxy.basic_auth() {
                tunnel = tunnel.with_auth(credentials.clone());
            }
            let tunnel = tunnel.map_err(move |cause| through(cause.into()));
            exchange(connect(tunnel, tls, to).await?, request, false).await
        }
    }
}

/// A connection to this URL, with TLS if there is one and the URL says so.
async fn connect<C>(
    mut connector: C,
    tls: Option<Arc<ClientConfig>>,
    to: Uri,
) -> Result<MaybeHttpsStream<C::Response>, BoxError>
where
    C: Service<Uri, Error: Into<BoxError>, Future: Send + 'static>,
    C::Response: Connection + Read + Write + Send + Unpin + 'static,
{
    match tls.filter(|_| to.scheme() != Some(&Scheme::HTTP)) {
        None => Ok(connector.call(to).await.map_err(Into::into)?.into()),
        Some(tls) => HttpsConnector::from((connector, tls)).call(to).await,
    }
}

/// Sends one request. The connection's task ends when the response is dropped.
async fn exchange<IO>(
    io: IO,
    mut request: Request<Full<Bytes>>,
    whole_url: bool,
) -> Result<Response<Incoming>, BoxError>
where
    IO: Connection + Read + Write + Send + Unpin + 'static,
{
    if io.connected().is_negotiated_h2() {
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
        tokio::spawn(connection);
        return Ok(sender.send_request(request).await?);
    }
    let parts = request.uri().clone().into_parts();
    if let Some(authority) = parts.authority {
        let host = HeaderValue::from_str(authority.as_str())?;
        request.headers_mut().entry(header::HOST).or_insert(host);
    }
    if let Some(path) = parts.path_and_query.filter(|_| !whole_url) {
        *request.uri_mut() = path.into();
    }
    let (mut sender, connection) = http1::handshake(io).await?;
    tokio::spawn(connection);
    Ok(sender.send_request(request).await?)
}
