//! The settings from a configuration file.

use std::{collections::BTreeMap, time::Duration};

use http::Method;
use serde::{Deserialize, Deserializer, de::Error as _};

use super::{
    answer::LifetimeUnit,
    authentication::ClientAuth,
    builder::TokenEndpointBuilder,
    exchange::Placement,
    members::ResponseFormat,
    names::{Member, Parameter},
    quoted::{Many, Text},
    secret::Secret,
};
use crate::cache::RefreshPolicy;

/// The keys, which are the setters' names.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fetcher {
    url: String,
    #[serde(default)]
    insecure_allow_http: bool,
    client_id: Option<Text>,
    client_secret: Option<Secret>,
    #[serde(default)]
    auth: ClientAuth,
    #[serde(default)]
    grant_type: GrantType,
    scope: Option<String>,
    audience: Option<String>,
    #[serde(default)]
    resource: Many<String>,
    #[serde(default)]
    param: BTreeMap<String, Many<Secret>>,
    #[serde(default)]
    header: BTreeMap<String, Many<Secret>>,
    method: Option<String>,
    placement: Option<Placement>,
    #[serde(default)]
    name: BTreeMap<Parameter, String>,
    #[serde(default)]
    member: BTreeMap<Member, String>,
    #[serde(default)]
    response_format: ResponseFormat,
    #[serde(default)]
    lifetime_unit: LifetimeUnit,
    #[serde(default, with = "humantime_serde")]
    refresh_after: Option<Duration>,
    #[serde(default)]
    token_type: BTreeMap<String, String>,
    #[serde(default)]
    hint: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(untagged, expecting = "expected a grant type as a text, or `false` for none")]
enum GrantType {
    // Only what is left out is left to the standard: `null` could as well mean none.
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
        let mut builder = Self::new(fetcher.url);
        builder.allow_http = fetcher.insecure_allow_http;
        builder.client_id = fetcher.client_id.map(|Text(id)| id);
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
        builder.reader.format = fetcher.response_format;
        builder.reader.unit = fetcher.lifetime_unit;
        builder.reader.refresh_after = fetcher.refresh_after;
        builder.reader.token_types = fetcher.token_type.into_iter().collect();
        builder.reader.hints.0 = fetcher.hint.into_iter().collect();
        Ok(builder)
    }
}

fn pairs(values: BTreeMap<String, Many<Secret>>) -> Vec<(String, Secret)> {
    let of = |(name, values): (String, Many<_>)| {
        values.into_vec().into_iter().map(move |value| (name.clone(), value))
    };
    values.into_iter().flat_map(of).collect()
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
        for (key, duration) in
            [("max_age", refresh.max_age), ("default_lifetime", refresh.default_lifetime)]
        {
            if duration.is_some_and(|duration| duration.is_zero()) {
                return Err(D::Error::custom(format!("`{key}` is no time at all")));
            }
        }
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
