//! The settings from a configuration file.

use std::{collections::BTreeMap, time::Duration};

use http::Method;
use serde::{Deserialize, Deserializer, de::Error as _};

use super::{
    builder::TokenEndpointBuilder,
    request::{ClientAuth, ParamEncoding, Parameter},
    response::{LifetimeUnit, ResponseField, ResponseFormat},
    secret::Secret,
    value::Value,
};

mod many;
mod secret;

use many::Many;
use secret::Values;

/// The keys, which are the setters' names.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Fetcher {
    url: Option<String>,
    insecure_allow_http: bool,
    client_id: Option<Value>,
    client_secret: Option<Secret>,
    auth: ClientAuth,
    grant_type: GrantType,
    scope: Many<String>,
    audience: Many<String>,
    resource: Many<String>,
    param: BTreeMap<String, Values>,
    header: BTreeMap<String, Values>,
    user_agent: Option<String>,
    method: Option<String>,
    param_encoding: Option<ParamEncoding>,
    rename_param: BTreeMap<Parameter, String>,
    response_field: BTreeMap<ResponseField, String>,
    response_format: ResponseFormat,
    lifetime_unit: LifetimeUnit,
    #[serde(with = "humantime_serde")]
    refresh_after: Option<Duration>,
    token_type: BTreeMap<String, String>,
    hint: BTreeMap<String, String>,
    proxy: Client<Option<Secret>>,
    ca_certificate: Client<Many<Secret>>,
    client_identity: Client<Many<Secret>>,
}

/// A setting of the HTTP client that comes with the crate.
#[cfg(feature = "client-no-provider")]
type Client<T> = T;

/// Where there is no such client, the key must not be there.
#[cfg(not(feature = "client-no-provider"))]
struct Client<T>(std::marker::PhantomData<T>);

#[cfg(not(feature = "client-no-provider"))]
impl<T> Default for Client<T> {
    fn default() -> Self {
        Self(std::marker::PhantomData)
    }
}

#[cfg(not(feature = "client-no-provider"))]
impl<'de, T> Deserialize<'de> for Client<T> {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::custom(
            "this key needs tower-oauth's feature `client`, or another HTTP client",
        ))
    }
}

#[derive(Default, Deserialize)]
#[serde(untagged, expecting = "expected a grant type as a string, or `false` for none")]
enum GrantType {
    // Only a key that is left out means the standard: `null` could as well mean none.
    #[default]
    #[serde(skip_deserializing)]
    Standard,
    Sent(bool),
    Other(String),
}

/// The keys are the setters' names; see [`TokenEndpointBuilder`]. An unknown key is an error;
/// values are checked when the builder builds.
impl<'de> Deserialize<'de> for TokenEndpointBuilder {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fetcher = Fetcher::deserialize(deserializer)?;
        let url = fetcher.url.ok_or_else(|| D::Error::missing_field("url"))?;
        let mut builder = Self::new(url);
        builder.allow_http = fetcher.insecure_allow_http;
        let template = &mut builder.template;
        template.client_id = fetcher.client_id;
        template.client_secret = fetcher.client_secret.map(Value::Secret);
        template.auth = fetcher.auth;
        match fetcher.grant_type {
            GrantType::Standard | GrantType::Sent(true) => {}
            GrantType::Sent(false) => template.grant_type = None,
            GrantType::Other(grant_type) => template.grant_type = Some(grant_type),
        }
        template.scopes.items = fetcher.scope.into_vec();
        template.audiences.items = fetcher.audience.into_vec();
        template.resources.items = fetcher.resource.into_vec();
        template.params.items = pairs(fetcher.param);
        template.headers.items = pairs(fetcher.header);
        if let Some(user_agent) = fetcher.user_agent {
            template.user_agent = user_agent;
        }
        if let Some(method) = fetcher.method {
            template.method = Method::from_bytes(method.to_ascii_uppercase().as_bytes())
                .map_err(|_| D::Error::custom("`method` is not an HTTP method"))?;
        }
        template.param_encoding = fetcher.param_encoding;
        template.renames.0 = fetcher.rename_param;
        builder.reader.places.0 = fetcher.response_field;
        builder.reader.format = fetcher.response_format;
        builder.reader.unit = fetcher.lifetime_unit;
        builder.reader.refresh_after = fetcher.refresh_after;
        builder.reader.token_types = fetcher.token_type.into_iter().collect();
        builder.reader.hints.0 = fetcher.hint.into_iter().collect();
        #[cfg(feature = "client-no-provider")]
        {
            builder.client.proxy = fetcher.proxy;
            builder.client.ca_certificates = fetcher.ca_certificate.into_vec();
            builder.client.client_identity = fetcher.client_identity.into_vec();
        }
        Ok(builder)
    }
}

fn pairs(table: BTreeMap<String, Values>) -> Vec<(String, Value)> {
    let of = |(name, Values(values)): (String, Values)| {
        values.into_iter().map(move |value| (name.clone(), value))
    };
    table.into_iter().flat_map(of).collect()
}
