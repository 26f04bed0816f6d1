//! Where a token may go.

use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex, PoisonError},
};

use http::{
    HeaderMap, Method, Request, Uri,
    uri::{Authority, Scheme},
};

use crate::{error::Error, header::TokenHeader};

/// How many foreign origins are logged and remembered. Without a bound, servers could fill the memory
/// with redirects.
const LOGGED_AT_MOST: usize = 256;

/// What becomes of a request.
pub(crate) enum Admission {
    /// It gets a token.
    Serve,
    /// It is passed on as it is.
    Pass,
    /// It must not be sent.
    Refuse,
}

/// The origins that the token is for. If none is named, it is for every one that is safe to send it to.
#[derive(Clone, Default)]
pub(crate) struct Origins {
    /// The header that it goes into. A request that has one of its own is none of ours.
    pub(crate) header: TokenHeader,
    allowed: Vec<Origin>,
    logged: Arc<Mutex<Vec<String>>>,
}

/// Scheme, host and effective port (RFC 6454 §4).
#[derive(Clone)]
struct Origin {
    scheme: Scheme,
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
        let Some(https) = is_https(&scheme) else {
            return Err(invalid("its scheme must be https, http, wss or ws"));
        };
        if authority.as_str().contains('@') {
            return Err(invalid("it must not contain a user name"));
        }
        if without_final_dot(authority.host()).is_empty() {
            return Err(invalid("its host is empty"));
        }
        let Some(port) = port(https, &authority) else {
            return Err(invalid("its port must be a number from 0 to 65535"));
        };
        // Parsing drops a fragment.
        if origin.contains('#') || parts.path_and_query.is_some_and(|path| path != "/") {
            return Err(invalid("nothing may follow the host and the port"));
        }
        self.allowed.push(Origin { scheme, https, authority, port });
        Ok(())
    }

    /// What becomes of a request whose token goes into this header. That it has such a header of its
    /// own, and so passes, is only seen when the token is put in.
    #[inline(always)] // or a request costs 30 instructions more
    pub(crate) fn admit<B>(&self, request: &Request<B>) -> Admission {
        let uri = request.uri();
        // To a proxy. One with a path (RFC 8441) is a request like any other.
        if request.method() == Method::CONNECT && uri.path().is_empty() {
            return if self.header.is_for_proxy() { Admission::Serve } else { Admission::Pass };
        }
        // Without an authority the connection decides where it goes.
        let Some(authority) = uri.authority() else { return Admission::Serve };
        if self.allowed.iter().any(|origin| origin.is(uri, authority)) {
            return Admission::Serve;
        }
        self.admit_elsewhere(uri, request.headers())
    }

    fn admit_elsewhere(&self, uri: &Uri, headers: &HeaderMap) -> Admission {
        if self.allowed.is_empty() && keeps_secrets(uri) {
            Admission::Serve
        } else if self.header.is_in(headers) {
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
        tracing::warn!(target: "tower_oauth", origin, "a request to another origin is sent without an access token");
    }
}

impl Origin {
    #[inline]
    fn is(&self, uri: &Uri, authority: &Authority) -> bool {
        // Most requests spell it as the configuration does.
        uri.scheme() == Some(&self.scheme) && self.authority.as_str() == authority.as_str()
            || self.is_equal(uri, authority)
    }

    #[cold]
    fn is_equal(&self, uri: &Uri, authority: &Authority) -> bool {
        let host = without_final_dot(self.authority.host());
        uri.scheme().and_then(is_https) == Some(self.https)
            && host.eq_ignore_ascii_case(without_final_dot(authority.host()))
            && port(self.https, authority) == Some(self.port)
    }
}

/// A final dot only says that the name is complete (RFC 1034 §3.1).
fn without_final_dot(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

fn is_https(scheme: &Scheme) -> Option<bool> {
    // The `http` crate itself changes the case only of `http` and `https`.
    let is_any_of =
        |names: [&str; 2]| names.iter().any(|it| scheme.as_str().eq_ignore_ascii_case(it));
    match () {
        () if is_any_of(["https", "wss"]) => Some(true),
        () if is_any_of(["http", "ws"]) => Some(false),
        () => None,
    }
}

/// The URI's origin, without the password that may be in its authority.
pub(crate) fn origin_of(uri: &Uri) -> String {
    let scheme = uri.scheme_str().unwrap_or_default();
    let port = uri.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{scheme}://{}{port}", uri.host().unwrap_or_default())
}

/// The effective port, or `None` if what follows the host is not a port.
fn port(https: bool, authority: &Authority) -> Option<u16> {
    let text = authority.as_str();
    let (_, text) = text.rsplit_once('@').unwrap_or(("", text));
    let default = || (text == authority.host()).then_some(if https { 443 } else { 80 });
    authority.port_u16().or_else(default)
}

/// Whether nobody between here and there can read a header: https, or this machine by a name that
/// needs no resolver.
pub(crate) fn keeps_secrets(uri: &Uri) -> bool {
    let is_loopback = || is_loopback(uri.host().unwrap_or_default());
    uri.scheme().and_then(is_https).is_some_and(|https| https || is_loopback())
}

/// Whether a host is this very machine, by a name that no resolver is asked for.
pub(crate) fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host == "[::1]"
        || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}
