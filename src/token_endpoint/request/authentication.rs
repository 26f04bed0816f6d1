//! How the client says who it is (RFC 6749 §2.3).

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderMap;
use zeroize::Zeroizing;

use super::{
    encode::form_value,
    endpoint_request::EndpointRequest,
    headers::{TAKEN, parse, sensitive},
    renames::{Parameter, Renames},
};
use crate::error::Error;

/// How the client says who it is. A request carries id and secret once, in one way (RFC 6749 §2.3). A
/// configuration file may also use the names that are registered for `token_endpoint_auth_method`:
/// `client_secret_basic`, `client_secret_post`, `none`, `tls_client_auth`,
/// `self_signed_tls_client_auth`.
///
/// ```
/// use tower_oauth::{TokenEndpoint, token_endpoint::ClientAuth};
///
/// // The secret as a parameter, as with `curl -d client_secret=..`.
/// let in_the_body = TokenEndpoint::builder("https://idp.example.com/oauth2/token")
///     .client_id("id")
///     .client_secret("secret")
///     .auth(ClientAuth::Body);
///
/// // Keys of a gateway, whose headers have names of their own.
/// let in_headers = TokenEndpoint::builder("https://gateway.example.com/token")
///     .client_id("id")
///     .client_secret("secret")
///     .auth(ClientAuth::Headers {
///         client_id: Some("x-client-id".to_owned()),
///         client_secret: "x-client-secret".to_owned(),
///     });
/// # for builder in [in_the_body, in_headers] {
/// #     let http = tower::service_fn(|_: http::Request<bytes::Bytes>| async {
/// #         Ok::<_, tower::BoxError>(http::Response::new(String::new()))
/// #     });
/// #     builder.build_with(http).unwrap();
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "config",
    derive(serde::Deserialize),
    serde(rename_all = "snake_case", deny_unknown_fields)
)]
#[non_exhaustive]
pub enum ClientAuth {
    /// `Authorization: Basic`, with id and secret form-encoded first, as RFC 6749 §2.3.1 requires.
    /// The default, because every standard server accepts it.
    #[default]
    #[doc(alias = "client_secret_basic")]
    #[cfg_attr(feature = "config", serde(alias = "client_secret_basic"))]
    Basic,
    /// `Authorization: Basic` with id and secret as they are, for the many servers that forget to
    /// decode them. It differs from [`Basic`](Self::Basic) only if they have characters other than
    /// letters, digits and `-._*`.
    BasicRaw,
    /// As parameters, encoded like the others: Bright Pattern, DHL eCommerce and DDI Central want
    /// it. RFC 6749 §2.3.1 advises against it where Basic is possible.
    #[doc(alias = "client_secret_post")]
    #[cfg_attr(feature = "config", serde(alias = "client_secret_post"))]
    Body,
    /// As parameters in the URL's query, wherever the others go. URLs end up in the logs of every
    /// server and proxy on the way: the last resort.
    Query,
    /// As headers of these names, for API gateways with keys of their own.
    Headers {
        /// The header for the id; without it, the id is a parameter like the others.
        client_id: Option<String>,
        /// The header for the secret.
        client_secret: String,
    },
    /// The id as a parameter, and no secret: the certificate that the HTTP client shows proves who it
    /// is, whether an authority signed it or the client itself (RFC 8705 §2).
    /// `TokenEndpointBuilder::client_identity` sets that of the client that `build` makes, which
    /// requires it.
    #[doc(alias = "tls_client_auth")]
    #[doc(alias = "self_signed_tls_client_auth")]
    #[doc(alias = "mtls")]
    #[cfg_attr(feature = "config", serde(alias = "self_signed_tls_client_auth"))]
    TlsClientAuth,
    /// The id as a parameter, if there is one, and no secret: for a client that has none, or where a
    /// layer below proves who it is, for example with a signed assertion (RFC 7523).
    None,
}

impl ClientAuth {
    pub(crate) fn needs_id(&self) -> bool {
        *self != Self::None
    }

    pub(crate) fn needs_secret(&self) -> bool {
        !matches!(self, Self::TlsClientAuth | Self::None)
    }

    /// Puts id and secret where they belong.
    pub(super) fn apply(
        &self,
        request: &mut EndpointRequest,
        renames: &Renames,
        id: &str,
        secret: &str,
    ) -> Result<(), Error> {
        let id_name = renames.of(Parameter::ClientId);
        let secret_name = renames.of(Parameter::ClientSecret);
        match self {
            Self::BasicRaw if id.contains(':') => {
                let why = "an id with a colon must be encoded; set `auth` to basic";
                return Err(Error::config("client_id", why));
            }
            Self::Basic | Self::BasicRaw => {
                let [raw, encoded] = basic(id, secret);
                let credentials = if *self == Self::Basic { encoded } else { raw };
                let value = Zeroizing::new(format!("Basic {}", *credentials));
                insert(&mut request.headers, "authorization", &value, "client_secret")?;
            }
            Self::Body => {
                request.params.push(id_name, id);
                request.params.push(secret_name, secret);
            }
            Self::Query => {
                request.query.push(id_name, id);
                request.query.push(secret_name, secret);
            }
            Self::Headers { client_id, client_secret } => {
                match client_id {
                    Some(name) => insert(&mut request.headers, name, id, "client_id")?,
                    None => request.params.push(id_name, id),
                }
                insert(&mut request.headers, client_secret, secret, "client_secret")?;
            }
            Self::None if id.is_empty() => {}
            Self::TlsClientAuth | Self::None => request.params.push(id_name, id),
        }
        Ok(())
    }
}

/// The credentials of `Authorization: Basic` (RFC 7617 §2): of id and secret as they are, and
/// form-encoded.
pub(super) fn basic(id: &str, secret: &str) -> [Zeroizing<String>; 2] {
    let encode = |id: &str, secret: &str| {
        let pair = Zeroizing::new(format!("{id}:{secret}"));
        Zeroizing::new(STANDARD.encode(&*pair))
    };
    [encode(id, secret), encode(&form_value(id), &form_value(secret))]
}

fn insert(to: &mut HeaderMap, name: &str, value: &str, of: &'static str) -> Result<(), Error> {
    let name = parse("auth", name)?;
    if to.contains_key(&name) || TAKEN.contains(&name) {
        let why = format!("the request already uses the header {name}");
        return Err(Error::config("auth", why));
    }
    let value = sensitive(of, &name, value)?;
    to.insert(name, value);
    Ok(())
}
