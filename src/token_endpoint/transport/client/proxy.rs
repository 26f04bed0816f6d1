//! Which proxy a connection goes through.

use std::{error::Error as StdError, fmt};

use http::Uri;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use secrecy::ExposeSecret;

use super::settings::read;
use crate::{
    error::{BoxError, Error},
    origin::is_loopback,
    token_endpoint::secret::Secret,
};

/// The proxy that was set, or those that the environment names.
pub(super) struct Proxies {
    matcher: Matcher,
    /// The environment's are not for a server on this machine.
    are_set: bool,
}

impl Proxies {
    pub(super) fn new(proxy: Option<&Secret>) -> Result<Self, Error> {
        let Some(url) = proxy else {
            return Ok(Self { matcher: Matcher::from_env(), are_set: false });
        };
        let matcher = Matcher::builder().all(read("proxy", url)?.expose_secret()).build();
        let proxy = matcher.intercept(&Uri::from_static("https://idp.example.com"));
        match proxy.as_ref().and_then(|proxy| proxy.uri().scheme_str()) {
            Some("http" | "https" | "socks5" | "socks5h") => Ok(Self { matcher, are_set: true }),
            _ => Err(Error::config("proxy", "it is not the URL of an HTTP or SOCKS 5 proxy")),
        }
    }

    /// The proxy to reach this URL through.
    pub(super) fn of(&self, to: &Uri) -> Option<Intercept> {
        let is_direct = !self.are_set && is_loopback(to.host().unwrap_or_default());
        if is_direct { None } else { self.matcher.intercept(to) }
    }
}

/// What went wrong on the way to a proxy, or from there on.
#[derive(Debug)]
pub(in crate::token_endpoint) struct ThroughProxy {
    at: String,
    cause: BoxError,
}

impl ThroughProxy {
    /// Wraps what went wrong at this URL, of which only host and port are shown.
    pub(super) fn at(url: &Uri) -> impl Fn(BoxError) -> BoxError + Clone + use<> {
        let at = url.authority().map(ToString::to_string).unwrap_or_default();
        move |cause| Self { at: at.clone(), cause }.into()
    }
}

impl fmt::Display for ThroughProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "through the proxy {}", self.at)
    }
}

impl StdError for ThroughProxy {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.cause)
    }
}
