//! What becomes of one request.

use std::{cmp::Reverse, convert::Infallible, error::Error, iter, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, Version, header, uri::Scheme};
use hyper::upgrade::OnUpgrade;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use tokio::{io::copy_bidirectional, time::timeout};
use tower::{BoxError, Layer, ServiceExt};
use tower_oauth::{
    OAuthLayer, OAuthService, TokenCache,
    replay::{Buffered, BufferedBody},
};

use crate::Config;

/// How long `/readyz` waits for a token.
const READY_IN: Duration = Duration::from_secs(1);

type Http = Client<HttpsConnector<HttpConnector>, BufferedBody<Body>>;
type Api = OAuthService<Http, TokenCache, Buffered>;

#[derive(Clone)]
pub struct Proxy {
    /// The prefixes with their upstreams, the longest first.
    routes: Arc<[(String, Uri)]>,
    keep_authorization: bool,
    tokens: TokenCache,
    http1: Api,
    http2: Api,
}

impl Proxy {
    pub fn new(config: Config) -> Result<Self, BoxError> {
        let _ = ring::default_provider().install_default();
        let fetcher = config.fetcher.build()?;
        let tokens = TokenCache::builder(fetcher).refresh(config.refresh).name("sidecar").build();
        let replay = Buffered::new(config.replay_limit.unwrap_or(64 * 1024));
        let mut layer = OAuthLayer::with_source(tokens.clone()).replay(replay);
        let mut routes: Vec<(String, Uri)> = Vec::new();
        for route in config.routes {
            if !route.prefix.starts_with('/') {
                return Err(format!("the prefix {:?} must start with a slash", route.prefix).into());
            }
            layer = layer
                .origin(&route.upstream)
                .map_err(|error| format!("the upstream of {:?}: {error}", route.prefix))?;
            routes.push((route.prefix, route.upstream.parse()?));
        }
        routes.sort_by_key(|(prefix, _)| Reverse(prefix.len()));

        let tls = ClientConfig::builder();
        let tls = match routes.iter().any(|(_, uri)| uri.scheme() == Some(&Scheme::HTTPS)) {
            true => tls.try_with_platform_verifier()?,
            // Where there is no upstream to verify, the platform's certificates may be missing.
            false => tls.with_root_certificates(RootCertStore::empty()),
        };
        let tls = tls.with_no_client_auth();
        let connector =
            || HttpsConnectorBuilder::new().with_tls_config(tls.clone()).https_or_http();
        let mut client = Client::builder(TokioExecutor::new());
        let http1 = client.build(connector().enable_http1().build());
        let http2 = client.http2_only(true).build(connector().enable_http2().build());
        let (http1, http2) = (layer.layer(http1), layer.layer(http2));
        let (routes, keep_authorization) = (routes.into(), config.keep_authorization);
        Ok(Self { routes, keep_authorization, tokens, http1, http2 })
    }

    pub async fn respond(self, request: Request) -> Result<Response, Infallible> {
        let path = request.uri().path();
        Ok(match path {
            "/readyz" => self.ready().await,
            "/metrics" => self.metrics().into_response(),
            _ if is_below("/auth", path) => self.authorization().await,
            _ => match self.routes.iter().find(|(prefix, _)| is_below(prefix, path)) {
                Some((_, upstream)) => {
                    let sent = self.send(request, upstream).await;
                    sent.unwrap_or_else(|error| failed(&*error, upstream))
                }
                None => (StatusCode::NOT_FOUND, "the sidecar has no route here").into_response(),
            },
        })
    }

    /// Sends a request on and gives the upstream's response.
    async fn send(&self, mut request: Request, upstream: &Uri) -> Result<Response, BoxError> {
        let caller = is_websocket(&request).then(|| hyper::upgrade::on(&mut request));
        let mut api = &self.http2;
        if request.version() != Version::HTTP_2 {
            // nginx speaks HTTP/1.0 unless it is told otherwise.
            *request.version_mut() = Version::HTTP_11;
            api = &self.http1;
        }
        let mut uri = upstream.clone().into_parts();
        uri.path_and_query = request.uri().path_and_query().cloned();
        *request.uri_mut() = Uri::from_parts(uri)?;
        let headers = request.headers_mut();
        remove_hop_by_hop(headers, caller.is_some());
        // The client makes the upstream's own of the URI.
        headers.remove(header::HOST);
        headers.remove(header::PROXY_AUTHORIZATION);
        if !self.keep_authorization {
            headers.remove(header::AUTHORIZATION);
        }

        let mut response = api.clone().oneshot(request).await?;
        let is_switching = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        remove_hop_by_hop(response.headers_mut(), is_switching);
        *response.version_mut() = Version::HTTP_11;
        if is_switching {
            let caller = caller.ok_or("the upstream switched protocols without being asked to")?;
            tokio::spawn(tunnel(caller, hyper::upgrade::on(&mut response)));
        }
        Ok(response.map(Body::new))
    }

    /// Forward-auth: the header that another proxy is to send.
    async fn authorization(&self) -> Response {
        match self.tokens.token().await.and_then(|token| token.header_value()) {
            Ok(value) => {
                let no_store = HeaderValue::from_static("no-store");
                [(header::AUTHORIZATION, value), (header::CACHE_CONTROL, no_store)].into_response()
            }
            Err(error) => unavailable(&error),
        }
    }

    /// For a probe: a service that was idle has no token, but gets one.
    async fn ready(&self) -> Response {
        match timeout(READY_IN, self.tokens.token()).await {
            Ok(Ok(_)) => "ready".into_response(),
            Ok(Err(error)) => unavailable(&error),
            Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "no token within a second").into_response(),
        }
    }

    /// For Prometheus: the names are those of the table at `tower_oauth::cache::Counts`.
    fn metrics(&self) -> String {
        let status = self.tokens.status();
        let counts = status.counts;
        let reasons = counts.fetches.by_reason().map(|(reason, fetches)| {
            ("fetches_total", format!(",reason=\"{reason}\""), fetches as f64)
        });
        let errors = counts.failures.by_error().map(|(error, failures)| {
            ("fetch_failures_total", format!(",error=\"{error}\""), failures as f64)
        });
        let others = [
            ("fetches_same_again_total", counts.same_again as f64),
            ("flights_lost_total", counts.flights_lost as f64),
            ("fetch_seconds_total", counts.fetch_time.as_secs_f64()),
            ("waits_total", counts.waits as f64),
            ("stale_served_total", counts.stale_served as f64),
            ("rejections_total", counts.rejections as f64),
            ("rejections_ignored_total", counts.rejections_ignored as f64),
            ("replays_total", counts.replays as f64),
            ("ready", f64::from(u8::from(status.is_ready()))),
            ("token_expires_in_seconds", status.expires_in.unwrap_or_default().as_secs_f64()),
        ];
        let others = others.map(|(name, value)| (name, String::new(), value));
        reasons
            .into_iter()
            .chain(errors)
            .chain(others)
            .map(|(name, label, value)| {
                format!("oauth_client_{name}{{cache=\"sidecar\"{label}}} {value}\n")
            })
            .collect()
    }
}

fn failed(error: &(dyn Error + 'static), upstream: &Uri) -> Response {
    if let Some(error) = tower_oauth::Error::find(error) {
        return unavailable(error);
    }
    let causes = iter::successors(Some(error), |&error| error.source());
    let why = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
    (StatusCode::BAD_GATEWAY, format!("no response from {upstream}: {why}")).into_response()
}

/// Without a token: when to ask again.
fn unavailable(error: &tower_oauth::Error) -> Response {
    // Rounded up: a caller that comes a moment too early would get the same again.
    let seconds = error.retry_after().unwrap_or_default().as_secs() + 1;
    let retry_after = [(header::RETRY_AFTER, seconds.to_string())];
    (StatusCode::SERVICE_UNAVAILABLE, retry_after, error.to_string()).into_response()
}

/// Whether a path is this prefix, or goes on after it with another segment.
pub fn is_below(prefix: &str, path: &str) -> bool {
    let rest = path.strip_prefix(prefix);
    rest.is_some_and(|rest| rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/'))
}

/// Whether a request asks for a WebSocket (RFC 6455 §4.1). No other protocol is switched to: the requests
/// of an `h2c` would pass without a token.
fn is_websocket(request: &Request) -> bool {
    let upgrade = request.headers().get(header::UPGRADE);
    let named = upgrade.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    named && request.version() == Version::HTTP_11
}

/// Removes what was said to this hop only (RFC 9110 §7.6.1), all but the switch to a WebSocket.
fn remove_hop_by_hop(headers: &mut HeaderMap, is_websocket: bool) {
    let named: Vec<HeaderName> =
        list(headers, header::CONNECTION).filter_map(|name| name.parse().ok()).collect();
    // Trailers are passed on, and with them the one thing that is said about them.
    let takes_trailers =
        list(headers, header::TE).any(|coding| coding.eq_ignore_ascii_case("trailers"));
    let upgrade = headers.remove(header::UPGRADE).filter(|_| is_websocket);
    for name in named.iter().chain(&[header::CONNECTION, header::TE, header::TRANSFER_ENCODING]) {
        headers.remove(name);
    }
    for name in ["keep-alive", "proxy-connection"] {
        headers.remove(name);
    }
    if takes_trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    if let Some(upgrade) = upgrade {
        headers.insert(header::UPGRADE, upgrade);
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    }
}

/// The elements of a header that is a list.
fn list(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

/// Passes bytes both ways until both sides have ended.
async fn tunnel(caller: OnUpgrade, upstream: OnUpgrade) {
    if let (Ok(caller), Ok(upstream)) = tokio::join!(caller, upstream) {
        // Whoever broke the connection knows; the other side sees it end.
        let _ = copy_bidirectional(&mut TokioIo::new(caller), &mut TokioIo::new(upstream)).await;
    }
}
