//! What becomes of one request.

use std::{
    collections::BTreeMap, convert::Infallible, error::Error, fmt::Write, net::SocketAddr,
    sync::Arc,
};

use axum::response::{IntoResponse, Response};
use axum::{body::Body, extract::Request};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use hyper::upgrade::OnUpgrade;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use tokio::io::copy_bidirectional;
use tower::{BoxError, Layer, ServiceExt};
use tower_oauth::replay::{Buffered, BufferedBody};
use tower_oauth::{OAuthLayer, OAuthService, TokenCache};
use tower_oauth::{cache::RefreshPolicy, token_endpoint::TokenEndpointBuilder};
use tracing::warn;

/// The configuration file.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub listen: Option<SocketAddr>,
    pub control: Option<SocketAddr>,
    keep_authorization: Option<bool>,
    replay_limit: Option<usize>,
    #[serde(default)]
    routes: BTreeMap<String, String>,
    fetcher: TokenEndpointBuilder,
    #[serde(default)]
    refresh: RefreshPolicy,
}

impl Config {
    /// Says what is wrong and where, without the line, or a text that is out of place: it may be a secret.
    pub fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error: toml::de::Error| {
            let before = error.span().map_or("", |span| &text[..span.start]);
            let what = error.message().split(": string \"").next().unwrap_or_default();
            let what = what.replace("address syntax", "address: it needs an IP address and a port");
            format!("line {}: {what}", before.matches('\n').count() + 1)
        })
    }
}

const HOP_BY_HOP: &str =
    "connection keep-alive proxy-authorization proxy-connection te transfer-encoding upgrade";

type Http = Client<HttpsConnector<HttpConnector>, BufferedBody<Body>>;
type Api = OAuthService<Http, TokenCache, Buffered>;

#[derive(Clone)]
pub struct Proxy {
    /// The upstreams by their prefixes.
    routes: Arc<BTreeMap<String, String>>,
    keep_authorization: Option<bool>,
    pub tokens: TokenCache,
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
        for (prefix, upstream) in &config.routes {
            let named = layer.origin(upstream);
            layer = named.map_err(|error| format!("the upstream of {prefix:?}: {error}"))?;
            let is_path = |it: PathAndQuery| prefix.starts_with('/') && it.path() == prefix;
            if !prefix.parse().is_ok_and(is_path) {
                return Err(format!("{prefix:?} must start with a slash and be only a path").into());
            }
            if upstream[..2].eq_ignore_ascii_case("ws") {
                return Err(format!("{prefix:?}: write http or https, for WebSockets too").into());
            }
        }

        let tls = ClientConfig::builder();
        let tls = match config.routes.values().any(|upstream| !upstream.starts_with("http:")) {
            true => tls.try_with_platform_verifier()?,
            // Where there is no upstream to verify, the platform's certificates may be missing.
            false => tls.with_root_certificates(RootCertStore::empty()),
        };
        let tls = tls.with_no_client_auth();
        let https = || HttpsConnectorBuilder::new().with_tls_config(tls.clone()).https_or_http();
        let mut client = Client::builder(TokioExecutor::new());
        let http1 = layer.layer(client.build(https().enable_http1().build()));
        let http2 = layer.layer(client.http2_only(true).build(https().enable_http2().build()));
        let (routes, keep_authorization) = (config.routes.into(), config.keep_authorization);
        Ok(Self { routes, keep_authorization, tokens, http1, http2 })
    }

    /// What callers send, to wherever its path leads.
    pub async fn respond(self, request: Request) -> Result<Response, Infallible> {
        let upstream = upstream(&self.routes, request.uri().path());
        // The response to a TRACE may repeat the token.
        let is_refused = matches!(*request.method(), Method::CONNECT | Method::TRACE);
        let sent = match upstream {
            Some(to) if !is_refused => self.send(request, to).await,
            _ => Ok((StatusCode::NOT_FOUND, "the sidecar has no route here").into_response()),
        };
        Ok(sent.unwrap_or_else(|error| failed(upstream.map_or("", |it| it), &*error)))
    }

    /// What other proxies, probes and Prometheus ask.
    pub async fn control(self, request: Request) -> Result<Response, Infallible> {
        let path = request.uri().path();
        let answer = match path {
            // A service that was idle has no token, but gets one. How long that may take, the probe knows.
            "/readyz" => self.tokens.token().await.map(|_| "ready".into_response()),
            "/metrics" => Ok(self.metrics().into_response()),
            // Forward-auth: the header that another proxy is to send.
            _ if is_below("/auth", path) => self.tokens.token().await.and_then(|token| {
                let no_store = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
                Ok([(header::AUTHORIZATION, token.header_value()?), no_store].into_response())
            }),
            _ => Ok(StatusCode::NOT_FOUND.into_response()),
        };
        Ok(answer.unwrap_or_else(|error| failed("", &error)))
    }

    /// Sends a request on and gives the upstream's response.
    async fn send(&self, mut request: Request, upstream: &str) -> Result<Response, BoxError> {
        let caller = is_websocket(&request).then(|| hyper::upgrade::on(&mut request));
        let mut api = &self.http2;
        if request.version() != Version::HTTP_2 {
            // nginx speaks HTTP/1.0 unless it is told otherwise.
            *request.version_mut() = Version::HTTP_11;
            api = &self.http1;
        }
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() = [upstream.trim_end_matches('/'), path].concat().parse()?;
        let headers = request.headers_mut();
        remove_hop_by_hop(headers, caller.is_some());
        // The client makes the upstream's own of the URI.
        headers.remove(header::HOST);
        if self.keep_authorization != Some(true) {
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

    /// For Prometheus: the names are those of the table at `tower_oauth::cache::Counts`.
    fn metrics(&self) -> String {
        let (status, mut page) = (self.tokens.status(), String::new());
        let mut add = |name: &str, label: &str, value: f64| {
            let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
            let what =
                format!("# HELP {name} See tower_oauth::cache::Counts.\n# TYPE {name} {kind}\n");
            let what = if page.contains(&what) { "" } else { &what };
            let _ = writeln!(page, "{what}{name}{{cache=\"sidecar\"{label}}} {value}");
        };
        for (name, label, count) in status.counts.counters() {
            let label = label.map(|(label, value)| format!(",{label}=\"{value}\""));
            add(name, &label.unwrap_or_default(), count as f64);
        }
        add("oauth_client_fetch_seconds_total", "", status.counts.fetch_time.as_secs_f64());
        add("oauth_client_ready", "", f64::from(u8::from(status.is_ready())));
        let expires_in = status.expires_in.unwrap_or_default();
        add("oauth_client_token_expires_in_seconds", "", expires_in.as_secs_f64());
        page
    }
}

/// Without a token 503, and when to ask again. Why is not the caller's business: it names files and hosts.
fn failed(upstream: &str, error: &(dyn Error + 'static)) -> Response {
    // Why there is no token is logged once, by its cache. A path may be a secret.
    let Some(error) = tower_oauth::Error::find(error) else {
        warn!(upstream, error, "an upstream did not respond");
        return (StatusCode::BAD_GATEWAY, "the upstream did not respond").into_response();
    };
    // Rounded up: a caller that comes a moment too early would get the same again.
    let seconds = error.retry_after().unwrap_or_default().as_secs() + 1;
    let retry_after = [(header::RETRY_AFTER, seconds.to_string())];
    (StatusCode::SERVICE_UNAVAILABLE, retry_after, "there is no access token now").into_response()
}

/// The upstream with the longest prefix. It comes last: it begins like the others, and goes on.
pub fn upstream<'a>(routes: &'a BTreeMap<String, String>, path: &str) -> Option<&'a String> {
    Some(routes.iter().rfind(|(prefix, _)| is_below(prefix, path))?.1)
}

/// Whether a path is this prefix, or goes on after it with another segment.
fn is_below(prefix: &str, path: &str) -> bool {
    let rest = path.strip_prefix(prefix);
    rest.is_some_and(|rest| rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/'))
}

/// Whether a request asks for a WebSocket (RFC 6455 §4.1). No other protocol is switched to: the requests
/// of an `h2c` would pass without a token.
fn is_websocket(request: &Request) -> bool {
    let says = |name, what| list(request.headers(), name).any(|it| it.eq_ignore_ascii_case(what));
    let can = request.method() == Method::GET && request.version() == Version::HTTP_11;
    can && says(header::CONNECTION, "upgrade") && says(header::UPGRADE, "websocket")
}

/// Removes what was said to this hop only (RFC 9110 §7.6.1), all but the switch to a WebSocket.
fn remove_hop_by_hop(headers: &mut HeaderMap, is_websocket: bool) {
    let names = list(headers, header::CONNECTION).chain(HOP_BY_HOP.split(' '));
    let names: Vec<HeaderName> = names.filter_map(|name| name.parse().ok()).collect();
    // Trailers are passed on, and with them the one thing that is said about them.
    let trailers = list(headers, header::TE).any(|it| it.eq_ignore_ascii_case("trailers"));
    for name in names {
        headers.remove(name);
    }
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    if is_websocket {
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
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
