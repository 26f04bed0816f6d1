//! Where a token may go.

use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex, PoisonError},
};

use http::{HeaderMap, Method, Request, Uri, header::AUTHORIZATION, uri::Authority};

use crate::error::Error;

/// How many foreign origins are logged. Without a bound, servers could fill the memory by redirects.
const LOGGED_AT_MOST: usize = 256;

/// What becomes of a request.
#[derive(Debug, PartialEq)]
pub(crate) enum Admission {
    /// It gets a token.
    Serve,
    /// It is passed on as it is.
    Pass,
    /// It must not be sent.
    Refuse,
}

/// The origins that the token is for. If there are none, it is for all that it can safely be sent to.
#[derive(Clone, Default)]
pub(crate) struct Origins {
    allowed: Vec<Origin>,
    logged: Arc<Mutex<Vec<String>>>,
}

/// Scheme, host and effective port (RFC 6454 §4).
#[derive(Clone)]
struct Origin {
    https: bool,
    authority: Authority,
    port: u16,
}

impl Origins {
    /// Adds an origin, for example `https://api.example.com`.
    pub(crate) fn allow(&mut self, origin: &str) -> Result<(), Error> {
        let invalid = |why: &str| Error::config("origin", why);
        let uri = origin.parse::<Uri>().map_err(|_| invalid("it is not a valid URI"))?;
        let parts = uri.into_parts();
        let authority = parts.authority.filter(|authority| !authority.host().is_empty());
        let (Some(scheme), Some(authority)) = (parts.scheme, authority) else {
            return Err(invalid("it needs a scheme and a host, as in https://api.example.com"));
        };
        let Some(https) = is_https(scheme.as_str()) else {
            return Err(invalid("its scheme must be https or http"));
        };
        if authority.as_str().contains('@') {
            return Err(invalid("it must not contain a user name"));
        }
        let Some(port) = port(https, &authority) else {
            return Err(invalid("its port must be a number from 0 to 65535"));
        };
        // Parsing drops a fragment.
        if origin.contains('#') || parts.path_and_query.is_some_and(|path| path != "/") {
            return Err(invalid("nothing may follow the host and the port"));
        }
        self.allowed.push(Origin { https, authority, port });
        Ok(())
    }

    /// What becomes of a request. That it has an `Authorization` of its own, and so passes, is only
    /// seen when the token is put in.
    #[inline(always)] // or a request costs 30 instructions more
    pub(crate) fn admit<B>(&self, request: &Request<B>) -> Admission {
        if request.method() == Method::CONNECT {
            return Admission::Pass;
        }
        // Without an authority the connection decides where it goes.
        let uri = request.uri();
        let Some(authority) = uri.authority() else { return Admission::Serve };
        if self.allowed.iter().any(|origin| origin.is(uri, authority)) {
            return Admission::Serve;
        }
        self.admit_elsewhere(uri, request.headers())
    }

    fn admit_elsewhere(&self, uri: &Uri, headers: &HeaderMap) -> Admission {
        if self.allowed.is_empty() && keeps_secrets(uri) {
            Admission::Serve
        } else if headers.contains_key(AUTHORIZATION) {
            Admission::Pass
        } else if self.allowed.is_empty() {
            Admission::Refuse
        } else {
            self.log(uri);
            Admission::Pass
        }
    }

    #[cold]
    fn log(&self, uri: &Uri) {
        let origin = origin_of(uri);
        {
            let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
            if logged.len() >= LOGGED_AT_MOST || logged.contains(&origin) {
                return;
            }
            logged.push(origin.clone());
        }
        // Not under the lock: a subscriber may send a request through here itself.
        tracing::warn!(origin, "a request to another origin is sent without an access token");
    }
}

impl Origin {
    #[inline]
    fn is(&self, uri: &Uri, authority: &Authority) -> bool {
        // Most requests spell it as the configuration does.
        uri.scheme_str().and_then(is_https) == Some(self.https)
            && (self.authority.as_str() == authority.as_str() || self.is_equal(authority))
    }

    #[cold]
    fn is_equal(&self, authority: &Authority) -> bool {
        self.authority.host().eq_ignore_ascii_case(authority.host())
            && port(self.https, authority) == Some(self.port)
    }
}

fn is_https(scheme: &str) -> Option<bool> {
    match scheme {
        "https" => Some(true),
        "http" => Some(false),
        _ => None,
    }
}

/// The URI's origin, without the password that may be in its authority.
pub(crate) fn origin_of(uri: &Uri) -> String {
    let scheme = uri.scheme_str().unwrap_or_default();
    let port = uri.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{scheme}://{}{port}", uri.host().unwrap_or_default())
}

/// The effective port, or `None` if it is not a number.
fn port(https: bool, authority: &Authority) -> Option<u16> {
    let text = authority.as_str();
    let (_, text) = text.rsplit_once('@').unwrap_or(("", text));
    match text.strip_prefix(authority.host())? {
        "" => Some(if https { 443 } else { 80 }),
        port => port.strip_prefix(':')?.parse().ok(),
    }
}

/// Whether nobody between here and there can read a header: https, or this machine by a name that
/// needs no resolver.
pub(crate) fn keeps_secrets(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    uri.scheme_str().and_then(is_https).is_some_and(|https| {
        https
            || host.eq_ignore_ascii_case("localhost")
            || host == "[::1]"
            || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
    })
}
