//! What the configuration file says, and what is made of it.

use std::net::SocketAddr;

use http::Uri;
use serde::Deserialize;
use tower::BoxError;
use tower_oauth::{TokenCache, cache::RefreshPolicy, token_endpoint::TokenEndpointBuilder};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where it listens. Who can reach it can use its tokens: so it is this machine only, unless
    /// `insecure_listen` is set.
    #[serde(default = "loopback")]
    pub listen: SocketAddr,
    #[serde(default)]
    insecure_listen: bool,
    pub route: Vec<RouteConfig>,
}

fn loopback() -> SocketAddr {
    ([127, 0, 0, 1], 8080).into()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// The path that requests for it begin with; the longest one wins.
    prefix: String,
    /// Where they go. For forward-auth alone there is none.
    upstream: Option<String>,
    /// Whether a caller's own `Authorization` is kept, and then sent in the place of a token.
    #[serde(default)]
    keep_authorization: bool,
    /// The bytes of a body that are kept, so that the request can be sent again.
    #[serde(default = "replay_limit")]
    replay_limit: usize,
    fetcher: TokenEndpointBuilder,
    #[serde(default)]
    refresh: RefreshPolicy,
}

fn replay_limit() -> usize {
    64 * 1024
}

/// A route that works.
pub struct Route {
    pub prefix: String,
    pub upstream: Option<Uri>,
    pub keep_authorization: bool,
    pub replay_limit: usize,
    pub tokens: TokenCache,
}

impl Config {
    pub fn read(text: &str) -> Result<Self, BoxError> {
        let config: Self = toml::from_str(text)?;
        if !config.listen.ip().is_loopback() && !config.insecure_listen {
            let error = "other machines can reach this address, and use the tokens; \
                         set insecure_listen = true if they may";
            return Err(format!("listen = \"{}\": {error}", config.listen).into());
        }
        Ok(config)
    }
}

impl RouteConfig {
    pub fn build(self) -> Result<Route, BoxError> {
        let Self { prefix, upstream, keep_authorization, replay_limit, fetcher, refresh } = self;
        let tokens = TokenCache::builder(fetcher.build()?).refresh(refresh).build();
        let upstream = upstream.map(|uri| uri.parse::<Uri>()).transpose()?;
        if upstream.as_ref().is_some_and(|uri| uri.scheme().is_none() || uri.path() != "/") {
            return Err(format!("the upstream of {prefix} is not an origin").into());
        }
        Ok(Route { prefix, upstream, keep_authorization, replay_limit, tokens })
    }
}
