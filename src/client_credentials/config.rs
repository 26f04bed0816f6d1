//! The settings from a configuration file.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use http::Method;
use secrecy::SecretString;
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{
    answer::LifetimeUnit,
    authentication::ClientAuth,
    builder::ClientCredentialsBuilder,
    exchange::Placement,
    members::AnswerFormat,
    names::{Member, Parameter},
    secret::ClientSecret,
};
use crate::cache::RefreshPolicy;

/// The keys, which are the setters' names.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fetcher {
    url: String,
    #[serde(default)]
    insecure_allow_http: bool,
    client_id: Option<SecretString>,
    client_secret: Option<ClientSecret>,
    #[serde(default)]
    auth: ClientAuth,
    #[serde(default)]
    grant_type: GrantType,
    scope: Option<String>,
    audience: Option<String>,
    #[serde(default)]
    resource: Many<String>,
    #[serde(default)]
    param: BTreeMap<String, Many<SecretString>>,
    #[serde(default)]
    header: BTreeMap<String, Many<SecretString>>,
    method: Option<String>,
    placement: Option<Placement>,
    #[serde(default)]
    name: BTreeMap<Parameter, String>,
    #[serde(default)]
    member: BTreeMap<Member, String>,
    #[serde(default)]
    answer_format: AnswerFormat,
    #[serde(default)]
    lifetime_unit: LifetimeUnit,
    #[serde(default, with = "humantime_serde")]
    renew_after: Option<Duration>,
    #[serde(default)]
    token_type: BTreeMap<String, String>,
    #[serde(default)]
    hint: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(untagged)]
enum GrantType {
    #[default]
    Standard,
    Sent(bool),
    Other(String),
}

/// One value, or a list of them.
#[derive(Deserialize)]
#[serde(untagged)]
enum Many<T> {
    One(T),
    List(Vec<T>),
}

impl<T> Default for Many<T> {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl<T> Many<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::List(list) => list,
        }
    }
}

/// The keys are the setters' names; see [`ClientCredentialsBuilder`]. An unknown key is an error;
/// values are checked when the builder builds.
impl<'de> Deserialize<'de> for ClientCredentialsBuilder {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fetcher = Fetcher::deserialize(deserializer)?;
        let mut builder = Self::new(fetcher.url);
        builder.allow_http = fetcher.insecure_allow_http;
        builder.client_id = fetcher.client_id;
        builder.client_secret = fetcher.client_secret;
        builder.auth = fetcher.auth;
        match fetcher.grant_type {
            GrantType::Standard | GrantType::Sent(true) => {}
            GrantType::Sent(false) => builder.grant_type = None,
            GrantType::Other(grant_type) => builder.grant_type = Some(grant_type),
        }
        builder.scope = fetcher.scope;
        builder.audience = fetcher.audience;
        builder.resources = fetcher.resource.into_vec();
        builder.params = pairs(fetcher.param);
        builder.headers = pairs(fetcher.header);
        if let Some(method) = fetcher.method {
            builder.method = Method::from_bytes(method.to_ascii_uppercase().as_bytes())
                .map_err(|_| D::Error::custom("`method` is no HTTP method"))?;
        }
        builder.placement = fetcher.placement;
        builder.names.0 = fetcher.name;
        builder.reader.members.0 = fetcher.member;
        builder.reader.format = fetcher.answer_format;
        builder.reader.unit = fetcher.lifetime_unit;
        builder.reader.renew_after = fetcher.renew_after;
        builder.reader.token_types = fetcher.token_type.into_iter().collect();
        builder.reader.hints.0 = fetcher.hint.into_iter().collect();
        Ok(builder)
    }
}

fn pairs(values: BTreeMap<String, Many<SecretString>>) -> Vec<(String, SecretString)> {
    let of = |(name, values): (String, Many<_>)| {
        values.into_vec().into_iter().map(move |value| (name.clone(), value))
    };
    values.into_iter().flat_map(of).collect()
}

/// The secret itself as a text, or `{ env = "NAME" }`, or `{ file = "path" }`.
impl<'de> Deserialize<'de> for ClientSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Place {
            env: Option<String>,
            file: Option<PathBuf>,
        }

        // By hand, because an untagged enum would say of a misspelt place only that nothing matched.
        struct Secret;

        impl<'de> Visitor<'de> for Secret {
            type Value = ClientSecret;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a secret, { env = \"NAME\" } or { file = \"path\" }")
            }

            fn visit_str<E: serde::de::Error>(self, secret: &str) -> Result<ClientSecret, E> {
                Ok(secret.into())
            }

            fn visit_string<E: serde::de::Error>(self, secret: String) -> Result<ClientSecret, E> {
                Ok(secret.into())
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ClientSecret, A::Error> {
                match Place::deserialize(MapAccessDeserializer::new(map))? {
                    Place { env: Some(name), file: None } => Ok(ClientSecret::env(name)),
                    Place { env: None, file: Some(path) } => Ok(ClientSecret::file(path)),
                    _ => Err(A::Error::custom("a secret has one place: `env` or `file`")),
                }
            }
        }

        deserializer.deserialize_any(Secret)
    }
}

/// The keys are the setters' names: `max_age`, `default_lifetime`, `jitter`, `fetch_timeout`.
/// Durations are texts such as `"20m"`. An unknown key or a value that cannot be is an error.
impl<'de> Deserialize<'de> for RefreshPolicy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Refresh {
            #[serde(default, with = "humantime_serde")]
            max_age: Option<Duration>,
            #[serde(default, with = "humantime_serde")]
            default_lifetime: Option<Duration>,
            jitter: Option<f64>,
            #[serde(default, with = "humantime_serde")]
            fetch_timeout: Option<Duration>,
        }

        let refresh = Refresh::deserialize(deserializer)?;
        let mut policy = Self::default();
        if let Some(max_age) = refresh.max_age {
            policy = policy.max_age(max_age);
        }
        if let Some(default_lifetime) = refresh.default_lifetime {
            policy = policy.default_lifetime(default_lifetime);
        }
        if let Some(jitter) = refresh.jitter {
            policy = policy.jitter(jitter).map_err(D::Error::custom)?;
        }
        if let Some(fetch_timeout) = refresh.fetch_timeout {
            policy = policy.fetch_timeout(fetch_timeout).map_err(D::Error::custom)?;
        }
        Ok(policy)
    }
}
