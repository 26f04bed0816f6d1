//! How the client says who it is (RFC 6749 §2.3).

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use zeroize::Zeroizing;

use super::{encode::form_value, exchange::EndpointRequest, names::Names, names::Parameter};
use crate::error::Error;

/// How the client's id and secret are sent. A request carries them once, in one way
/// (RFC 6749 §2.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "config",
    derive(serde::Deserialize),
    serde(rename_all = "snake_case", deny_unknown_fields)
)]
#[non_exhaustive]
pub enum ClientAuth {
    /// `Authorization: Basic`, id and secret form-encoded first, as RFC 6749 §2.3.1 wants it. The
    /// default: every standard server takes it.
    #[default]
    Basic,
    /// `Authorization: Basic` with id and secret as they are, for the many servers that forget to
    /// decode them. It differs from [`Basic`](Self::Basic) only where they have characters other
    /// than letters, digits and `-._*`.
    BasicRaw,
    /// As parameters beside the others, wherever those go: Bright Pattern, DHL eCommerce and DDI
    /// Central want it. RFC 6749 §2.3.1 advises against it where Basic is possible.
    Body,
    /// As parameters in the URL's query, wherever the others go. URLs end up in the logs of every
    /// server and proxy on the way: the last resort.
    Query,
    /// As headers of these names, as API gateways with keys of their own want it.
    Headers {
        /// The header for the id; without it, the id is a parameter beside the others.
        client_id: Option<String>,
        /// The header for the secret.
        client_secret: String,
    },
    /// The id as a parameter, if there is one, and no secret: for a client that has none, or where a
    /// layer below proves who it is, say by a signed assertion (RFC 7523).
    None,
}

impl ClientAuth {
    pub(super) fn needs_secret(&self) -> bool {
        *self != Self::None
    }

    /// The headers that this way of authentication needs for itself.
    pub(super) fn headers(&self) -> Vec<&str> {
        match self {
            Self::Basic | Self::BasicRaw => vec![header::AUTHORIZATION.as_str()],
            Self::Headers { client_id, client_secret } => {
                client_id.iter().chain([client_secret]).map(String::as_str).collect()
            }
            Self::Body | Self::Query | Self::None => Vec::new(),
        }
    }

    /// Puts id and secret where they belong.
    pub(super) fn apply(
        &self,
        exchange: &mut EndpointRequest,
        names: &Names,
        id: &str,
        secret: &str,
    ) -> Result<(), Error> {
        let (id_name, secret_name) = (names.of(Parameter::ClientId), names.of(Parameter::ClientSecret));
        match self {
            Self::Basic => {
                let value = basic(&form_value(id), &form_value(secret));
                insert(exchange, header::AUTHORIZATION, &value, "client_secret")
            }
            Self::BasicRaw => {
                insert(exchange, header::AUTHORIZATION, &basic(id, secret), "client_secret")
            }
            Self::Body => {
                exchange.params.push(id_name, id);
                exchange.params.push(secret_name, secret);
                Ok(())
            }
            Self::Query => {
                exchange.query.push(id_name, id);
                exchange.query.push(secret_name, secret);
                Ok(())
            }
            Self::Headers { client_id, client_secret } => {
                match client_id {
                    Some(name) => insert(exchange, header_name(name)?, id, "client_id")?,
                    None => exchange.params.push(id_name, id),
                }
                insert(exchange, header_name(client_secret)?, secret, "client_secret")
            }
            Self::None => {
                if !id.is_empty() {
                    exchange.params.push(id_name, id);
                }
                Ok(())
            }
        }
    }
}

/// The header's name that the configuration asks for.
pub(super) fn header_name(name: &str) -> Result<HeaderName, Error> {
    name.parse().map_err(|_| Error::config("auth", "a header cannot have this name"))
}

/// The value of `Authorization: Basic` (RFC 7617 §2).
pub(super) fn basic(id: &str, secret: &str) -> Zeroizing<String> {
    let pair = Zeroizing::new(format!("{id}:{secret}"));
    Zeroizing::new(format!("Basic {}", *Zeroizing::new(STANDARD.encode(&*pair))))
}

fn insert(
    exchange: &mut EndpointRequest,
    name: HeaderName,
    value: &str,
    field: &'static str,
) -> Result<(), Error> {
    let value = sensitive(value)
        .ok_or_else(|| Error::config(field, "it has characters that a header cannot carry"))?;
    let full = || Error::config("header", "there are too many headers");
    exchange.headers.try_insert(name, value).map_err(|_| full())?;
    Ok(())
}

/// A header's value that is overwritten in memory when it is dropped, and that nothing prints.
pub(super) fn sensitive(value: &str) -> Option<HeaderValue> {
    let bytes = Bytes::from_owner(Zeroizing::new(value.as_bytes().to_vec()));
    let mut value = HeaderValue::from_maybe_shared(bytes).ok()?;
    value.set_sensitive(true);
    Some(value)
}
