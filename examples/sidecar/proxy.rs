//! What becomes of a request.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, Version,
    header::{self, AUTHORIZATION, CONNECTION, RETRY_AFTER, TE, UPGRADE},
    uri::PathAndQuery,
};
use http_body_util::{BodyExt, Empty, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, upgrade};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use tokio::time::timeout;
use tower::{BoxError, Layer, ServiceExt, util::BoxCloneSyncService};
use tower_oauth::{
    Error, OAuthLayer, TokenCache, grpc_status,
    replay::{Buffered, BufferedBody},
};

use crate::config::{Route, RouteConfig};

pub type Body = UnsyncBoxBody<Bytes, BoxError>;
type Http = BoxCloneSyncService<Request<Incoming>, Response<Incoming>, BoxError>;
type Upstream = Client<HttpsConnector<HttpConnector>, BufferedBody<Incoming>>;

pub struct Proxy {
    routes: Vec<(Route, Option<Http>)>,
}

impl Proxy {
    pub fn new(config: Vec<RouteConfig>) -> Result<Arc<Self>, BoxError> {
        // A request leaves in the version it came in: HTTP/1.1 or 2, over TLS or without.
        let [old, new] = [client(false)?, client(true)?];
        let mut routes = Vec::new();
        for route in config {
            let route = route.build()?;
            let http = match &route.upstream {
                Some(upstream) => Some(service(&route, upstream, &old, &new)?),
                None => None,
            };
            routes.push((route, http));
        }
        routes.sort_by_key(|(route, _)| std::cmp::Reverse(route.prefix.len()));
        Ok(Arc::new(Self { routes }))
    }

    pub async fn handle(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        match request.uri().path() {
            "/readyz" => self.readyz().await,
            "/metrics" => text(StatusCode::OK, self.metrics()),
            path => match path.strip_prefix("/auth") {
                Some(rest) if rest.starts_with('/') => match self.route(rest) {
                    Some((route, _)) => authorize(&route.tokens).await,
                    None => text(StatusCode::NOT_FOUND, "no route has this prefix\n"),
                },
                _ => match self.route(path) {
                    Some((route, Some(http))) => forward(route, http.clone(), request).await,
                    _ => text(StatusCode::NOT_FOUND, "no route with an upstream has this prefix\n"),
                },
            },
        }
    }

    fn route(&self, path: &str) -> Option<&(Route, Option<Http>)> {
        self.routes.iter().find(|(route, _)| path.starts_with(&route.prefix))
    }

    /// Ready if a token can be got for every route, soon.
    async fn readyz(&self) -> Response<Body> {
        for (route, _) in &self.routes {
            match timeout(Duration::from_secs(1), route.tokens.token()).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return failure(error.into()),
                Err(_) => {
                    return text(StatusCode::SERVICE_UNAVAILABLE, "no token within a second\n");
                }
            }
        }
        text(StatusCode::OK, "ready\n")
    }

    fn metrics(&self) -> String {
        let mut text = String::new();
        for (route, _) in &self.routes {
            let status = route.tokens.status();
            let expires = status.expires_in.unwrap_or_default().as_secs_f64();
            let values = [
                ("ready", f64::from(u8::from(status.is_ready()))),
                ("token_expires_in_seconds", expires),
                ("failures_in_a_row", f64::from(status.failures)),
                ("rejections_total", status.counts.rejections as f64),
                ("replays_total", status.counts.replays as f64),
            ];
            for (name, value) in values {
                let _ = writeln!(text, "oauth_client_{name}{{route={:?}}} {value}", route.prefix);
            }
        }
        text
    }
}

fn client(h2: bool) -> Result<Upstream, BoxError> {
    let tls = HttpsConnectorBuilder::new().try_with_platform_verifier()?.https_or_http();
    let connector = if h2 { tls.enable_http2().build() } else { tls.enable_http1().build() };
    Ok(Client::builder(TokioExecutor::new()).http2_only(h2).build(connector))
}

/// The client with a token, to this upstream.
fn service(
    route: &Route,
    upstream: &Uri,
    old: &Upstream,
    new: &Upstream,
) -> Result<Http, BoxError> {
    let layer = OAuthLayer::with_source(route.tokens.clone()).origin(origin(upstream))?;
    let (old, new) = (old.clone(), new.clone());
    let by_version = tower::service_fn(move |request: Request<BufferedBody<Incoming>>| {
        if request.version() == Version::HTTP_2 {
            new.request(request)
        } else {
            old.request(request)
        }
    });
    Ok(BoxCloneSyncService::new(layer.replay(Buffered::new(route.replay_limit)).layer(by_version)))
}

fn origin(uri: &Uri) -> String {
    uri.to_string().trim_end_matches('/').to_owned()
}

/// Forward-auth: the header that a proxy shall put into the request it asks about.
async fn authorize(tokens: &TokenCache) -> Response<Body> {
    match tokens.lease().await {
        Ok(lease) => {
            let mut response = text(StatusCode::OK, "");
            response.headers_mut().insert(AUTHORIZATION, lease.header_value());
            response
        }
        Err(error) => failure(error.into()),
    }
}

async fn forward(route: &Route, http: Http, mut request: Request<Incoming>) -> Response<Body> {
    let is_grpc = request.headers().get(header::CONTENT_TYPE);
    let is_grpc = is_grpc.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    let upgrade = hop_by_hop(request.headers_mut());
    if !route.keep_authorization {
        request.headers_mut().remove(AUTHORIZATION);
    }
    // The upstream's name comes from its URI.
    request.headers_mut().remove(header::HOST);
    if let Err(error) = redirect(route, request.uri_mut()) {
        return text(StatusCode::BAD_REQUEST, error.to_string());
    }
    let theirs = upgrade.map(|protocol| {
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
        request.headers_mut().insert(UPGRADE, protocol);
        upgrade::on(&mut request)
    });
    let mut response = match http.oneshot(request).await {
        Ok(response) => response,
        Err(error) if is_grpc => match grpc_status(Err::<Response<Empty<Bytes>>, _>(error)) {
            Ok(response) => return response.map(boxed),
            Err(error) => return failure(error),
        },
        Err(error) => return failure(error),
    };
    let switched = hop_by_hop(response.headers_mut());
    if let (StatusCode::SWITCHING_PROTOCOLS, Some(theirs)) = (response.status(), theirs) {
        let ours = upgrade::on(&mut response);
        tokio::spawn(async move {
            let (theirs, ours) = tokio::try_join!(theirs, ours)?;
            let (mut theirs, mut ours) = (TokioIo::new(theirs), TokioIo::new(ours));
            tokio::io::copy_bidirectional(&mut theirs, &mut ours).await?;
            Ok::<_, BoxError>(())
        });
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
        switched.map(|protocol| response.headers_mut().insert(UPGRADE, protocol));
    }
    response.map(boxed)
}

/// Takes out what is between two neighbours only (RFC 9110 §7.6.1). Gives the protocol to switch to.
fn hop_by_hop(headers: &mut HeaderMap) -> Option<HeaderValue> {
    let named: Vec<_> =
        headers.get_all(CONNECTION).iter().filter_map(|v| v.to_str().ok()).collect();
    let named = named.join(",").to_ascii_lowercase();
    let names: Vec<_> = named.split(',').map(str::trim).collect();
    let upgrade = headers.remove(UPGRADE).filter(|_| names.contains(&"upgrade"));
    for name in names.iter().filter_map(|name| name.parse::<HeaderName>().ok()) {
        // A neighbour cannot make us drop what others rely on.
        if name != AUTHORIZATION && name != header::HOST {
            headers.remove(name);
        }
    }
    let trailers = headers.get(TE).is_some_and(|te| te.as_bytes() == b"trailers");
    for name in [CONNECTION, header::PROXY_AUTHORIZATION, TE, header::TRANSFER_ENCODING] {
        headers.remove(name);
    }
    headers.remove("keep-alive");
    headers.remove("proxy-connection");
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    upgrade
}

/// Turns a URI into the same on the upstream.
fn redirect(route: &Route, uri: &mut Uri) -> Result<(), BoxError> {
    let mut parts = route.upstream.clone().unwrap_or_default().into_parts();
    let path = uri.path_and_query().cloned();
    parts.path_and_query = Some(path.unwrap_or(PathAndQuery::from_static("/")));
    *uri = Uri::from_parts(parts)?;
    Ok(())
}

/// No token: 503, and when to come again. Anything else is the upstream's: 502.
fn failure(error: BoxError) -> Response<Body> {
    let Some(ours) = Error::find(&*error) else {
        return text(StatusCode::BAD_GATEWAY, format!("the upstream: {error}\n"));
    };
    let mut response = text(StatusCode::SERVICE_UNAVAILABLE, format!("{ours}\n"));
    if let Some(wait) = ours.retry_after() {
        let seconds = HeaderValue::from(wait.as_secs_f64().ceil() as u64);
        response.headers_mut().insert(RETRY_AFTER, seconds);
    }
    response
}

fn text(status: StatusCode, text: impl Into<String>) -> Response<Body> {
    let mut response = Response::new(boxed(http_body_util::Full::from(text.into())));
    *response.status_mut() = status;
    response
}

fn boxed<B>(body: B) -> Body
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    body.map_err(Into::into).boxed_unsync()
}
