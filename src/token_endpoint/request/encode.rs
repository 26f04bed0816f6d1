//! The only place that knows how parameters are written down.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Uri, header, uri::PathAndQuery};
use serde::ser::{Serialize, SerializeMap, Serializer};
use zeroize::Zeroizing;

use super::{
    endpoint_request::{EndpointRequest, ParamEncoding},
    params::Params,
};
use crate::error::Error;

/// The HTTP request that a token request stands for.
pub(crate) fn encode<Q: From<Bytes>>(request: EndpointRequest) -> Result<Request<Q>, Error> {
    let EndpointRequest { method, uri, params, mut query, mut headers, .. } = request;
    let (content_type, body) = match request.param_encoding {
        ParamEncoding::Form => {
            (Some("application/x-www-form-urlencoded"), form(&params).as_bytes().to_vec())
        }
        ParamEncoding::Json => (Some("application/json"), json(&params)),
        ParamEncoding::Query => {
            params.iter().for_each(|(name, value)| query.push(name, value));
            (None, Vec::new())
        }
    };
    if let Some(content_type) = content_type {
        headers.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static(content_type));
    }
    // Some servers insist, and HTTP clients leave it out.
    if method == Method::POST && body.is_empty() {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    let mut encoded = Request::new(Q::from(Bytes::from_owner(Zeroizing::new(body))));
    *encoded.method_mut() = method;
    *encoded.uri_mut() = with_query(uri, &query)?;
    *encoded.headers_mut() = headers;
    *encoded.extensions_mut() = request.extensions;
    Ok(encoded)
}

/// One value as a form writes it, which is also what goes into Basic (RFC 6749 §2.3.1).
pub(super) fn form_value(value: &str) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(3 * value.len()));
    out.extend(form_urlencoded::byte_serialize(value.as_bytes()));
    out
}

fn form(params: &Params) -> Zeroizing<String> {
    // Room for the worst case, so that growing leaves no copies of a secret in memory.
    let room = params.iter().map(|(name, value)| 3 * (name.len() + value.len()) + 2).sum();
    let mut out = Zeroizing::new(String::with_capacity(room));
    form_urlencoded::Serializer::new(&mut *out).extend_pairs(params.iter());
    out
}

fn json(params: &Params) -> Vec<u8> {
    let room = params.iter().map(|(name, value)| 6 * (name.len() + value.len()) + 8).sum::<usize>();
    let mut out = Vec::with_capacity(room + 2);
    // Strings under string keys, written to memory: nothing can fail.
    let _ = serde_json::to_writer(&mut out, &Object(params));
    out
}

struct Object<'a>(&'a Params);

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (index, (name, _)) in self.0.iter().enumerate() {
            let same = |(other, _): &(&str, &str)| *other == name;
            if self.0.iter().take(index).any(|earlier| same(&earlier)) {
                continue;
            }
            match *self.0.iter().filter(same).map(|(_, value)| value).collect::<Vec<_>>() {
                [value] => map.serialize_entry(name, value)?,
                ref values => map.serialize_entry(name, values)?,
            }
        }
        map.end()
    }
}

fn with_query(uri: Uri, query: &Params) -> Result<Uri, Error> {
    if query.is_empty() {
        return Ok(uri);
    }
    // `%20` is understood wherever `+` is, and in places where `+` is not.
    let added = Zeroizing::new(form(query).replace('+', "%20"));
    let joined = Zeroizing::new(match uri.query() {
        Some(own) if !own.is_empty() => format!("{}?{own}&{}", uri.path(), *added),
        _ => format!("{}?{}", uri.path(), *added),
    });
    let too_long = || Error::config("param_encoding", "the parameters are too long for a URL");
    let mut parts = uri.into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(joined.as_str()).map_err(|_| too_long())?);
    Uri::from_parts(parts).map_err(|_| too_long())
}
