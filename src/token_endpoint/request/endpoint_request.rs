//! A token request before it is encoded: the seam below the grant.

use std::fmt;

use http::{Extensions, HeaderMap, Method, Uri};

use super::params::Params;

/// One request to the token endpoint, not encoded yet.
///
/// A layer on [`HttpTransport`](crate::token_endpoint::HttpTransport) sees and changes it: one that
/// signs a client assertion (RFC 7523 §2.2) pushes two parameters, one that proves possession of a
/// key (RFC 9449 §5) inserts a header. Only the transport knows how parameters are written down.
///
/// `Debug` shows names but no values, and leaves out the URI's query.
#[derive(Clone)]
#[non_exhaustive]
pub struct EndpointRequest {
    /// `POST`, unless [`method`](crate::token_endpoint::TokenEndpointBuilder::method) says otherwise.
    pub method: Method,
    /// The token endpoint. A query that it has is kept.
    pub uri: Uri,
    /// The parameters of the grant. [`param_encoding`](Self::param_encoding) says where they go.
    pub params: Params,
    /// Parameters that go into the query wherever the others go. By default there are none.
    pub query: Params,
    /// The headers. `Content-Type` is added when the request is encoded, if it is not here.
    pub headers: HeaderMap,
    /// How and where [`params`](Self::params) are written.
    pub param_encoding: ParamEncoding,
    /// The extensions of the `http::Request` that is sent: for the HTTP client and its layers.
    pub extensions: Extensions,
}

impl EndpointRequest {
    /// A request without parameters and headers, to test a layer with.
    pub fn new(method: Method, uri: Uri) -> Self {
        Self {
            method,
            uri,
            params: Params::default(),
            query: Params::default(),
            headers: HeaderMap::new(),
            param_encoding: ParamEncoding::Form,
            extensions: Extensions::new(),
        }
    }

    /// Whether a part of the URL that is sent may be secret: then no error may print the URL.
    pub(crate) fn has_query(&self) -> bool {
        let encoded = self.param_encoding == ParamEncoding::Query && !self.params.is_empty();
        encoded || !self.query.is_empty() || self.uri.query().is_some()
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
            .field("param_encoding", &self.param_encoding)
            .finish_non_exhaustive()
    }
}

/// How and where the parameters of a token request are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "config", derive(serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum ParamEncoding {
    /// In the body as `application/x-www-form-urlencoded` (RFC 6749 §4.4.2): the standard.
    Form,
    /// In the body as a JSON object, as `ManageEngine` DDI Central wants it. A name that occurs
    /// more than once becomes an array.
    Json,
    /// In the URL's query, as DQE's GET wants it. URLs end up in the logs of every server and
    /// proxy on the way, so avoid it for a secret if you can.
    Query,
}
