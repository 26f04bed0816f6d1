//! What a grant asks the token endpoint, before it is encoded: the seam below the grant.

use std::fmt;

use http::{HeaderMap, Method, Uri};
use secrecy::{ExposeSecret, SecretString};

/// One question to the token endpoint, not encoded yet.
///
/// A layer between a grant and [`Wire`](crate::token_endpoint::Wire) sees and changes it: one that signs a client
/// assertion (RFC 7523 §2.2) pushes two parameters, one that proves possession of a key
/// (RFC 9449 §5) inserts a header. How parameters are written down is nobody's business but
/// [`Wire`](crate::token_endpoint::Wire)'s.
///
/// `Debug` shows names but no values, and of the URI no query.
#[derive(Clone)]
#[non_exhaustive]
pub struct EndpointRequest {
    /// `POST`, unless the API is an odd one.
    pub method: Method,
    /// The token endpoint. A query that it came with is kept.
    pub uri: Uri,
    /// The parameters of the grant. Where they go is up to [`placement`](Self::placement).
    pub params: Params,
    /// Parameters that go into the query wherever the others go. By default there are none.
    pub query: Params,
    /// The headers to send. `Content-Type` is added when the exchange is encoded, if it is not here.
    pub headers: HeaderMap,
    /// How and where `params` are written.
    pub placement: Placement,
}

impl EndpointRequest {
    /// An exchange without parameters and headers, as a test of a layer needs it.
    pub fn new(method: Method, uri: Uri) -> Self {
        Self {
            method,
            uri,
            params: Params::default(),
            query: Params::default(),
            headers: HeaderMap::new(),
            placement: Placement::Form,
        }
    }

    /// Whether a part of the URL that is sent may be secret: then no error may print the URL.
    pub(super) fn has_query(&self) -> bool {
        let placed = self.placement == Placement::Query && !self.params.is_empty();
        placed || !self.query.is_empty() || self.uri.query().is_some()
    }
}

impl fmt::Debug for EndpointRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointRequest")
            .field("method", &self.method)
            .field("host", &self.uri.host())
            .field("path", &self.uri.path())
            .field("params", &self.params)
            .field("query", &self.query)
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("placement", &self.placement)
            .finish()
    }
}

/// How and where the parameters of a token request are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "config", derive(serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Placement {
    /// In the body as `application/x-www-form-urlencoded` (RFC 6749 §4.4.2): the standard.
    Form,
    /// In the body as a JSON object, as `ManageEngine` DDI Central wants it. A name that occurs
    /// more than once becomes an array.
    Json,
    /// In the URL's query, as DQE's GET wants it. URLs end up in the logs of every server and
    /// proxy on the way: not for a secret, if there is another way.
    Query,
}

/// Names and values in order. Names may repeat (RFC 8707 §2). `Debug` shows the names only.
#[derive(Clone, Default)]
pub struct Params(Vec<(String, SecretString)>);

impl Params {
    /// Adds a parameter behind the others, even if there is one of this name.
    pub fn push(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.push((name.into(), value.into().into()));
    }

    /// Removes every parameter of this name.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(other, _)| other != name);
    }

    /// The value of the first parameter of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find_map(|(other, value)| (other == name).then_some(value))
    }

    /// Names and values in order. Values may be secret.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        self.0.iter().map(|(name, value)| (&**name, value.expose_secret()))
    }

    /// Whether there is no parameter.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}
