//! Checks a builder's settings.

use std::slice;

use http::{HeaderName, Method, Uri};

use super::{
    builder::TokenEndpointBuilder,
    request::{ParamEncoding, Parameter, Template, refuse_control},
    response::Reader,
    secret::Secret,
};
use crate::{error::Error, origin::keeps_secrets};

/// Finds what cannot be used, and gives the URL of the token endpoint.
pub(super) fn validate(builder: &TokenEndpointBuilder) -> Result<Uri, Error> {
    #[cfg(feature = "client-no-provider")]
    if let Some(field) = builder.client.is_set() {
        let why =
            "it applies only to the client that `build` makes, and another client is used here";
        return Err(Error::config(field, why));
    }
    let uri = url(&builder.url, builder.allow_http)?;
    template(&builder.template)?;
    reader(&builder.reader)?;
    // The rest shows when a request is made. What is read for every token need not be there yet.
    builder.template.fill(uri.clone(), Secret::stand_in)?;
    Ok(uri)
}

fn url(url: &str, allow_http: bool) -> Result<Uri, Error> {
    let invalid = |why: &str| Err(Error::config("url", why));
    if url.contains('#') {
        return invalid("a token endpoint's URL cannot have a fragment (RFC 6749 §3.2)");
    }
    let Ok(uri) = url.parse::<Uri>() else { return invalid("it is not a valid URL") };
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return invalid("it must be absolute and start with `https://`");
    };
    let host = authority.host();
    let port_is_bad = authority.as_str().len() > host.len() && authority.port_u16().is_none();
    match scheme {
        _ if authority.as_str().contains('@') => {
            invalid("credentials do not belong in a URL; set `client_id` and `client_secret`")
        }
        _ if host.is_empty() || port_is_bad => invalid("its host or port is not valid"),
        "http" if !allow_http && !keeps_secrets(&uri) => {
            invalid("plain HTTP would expose the secret; use https, or `insecure_allow_http`")
        }
        "http" | "https" => Ok(uri),
        _ => invalid("its scheme must be https or http"),
    }
}

fn template(template: &Template) -> Result<(), Error> {
    let auth = &template.auth;
    for (field, value, is_needed) in [
        ("client_id", &template.client_id, auth.needs_id()),
        ("client_secret", &template.client_secret, auth.needs_secret()),
    ] {
        if value.is_none() && is_needed {
            let why = "it is missing; for a client without a secret set `auth` to none";
            return Err(Error::config(field, why));
        }
    }
    if ![Method::GET, Method::POST].contains(&template.method) {
        return Err(Error::config("method", "it must be POST or GET"));
    }
    if template.method == Method::GET && template.param_encoding() != ParamEncoding::Query {
        return Err(Error::config("param_encoding", "a GET request has no body; use query"));
    }
    for (field, values) in [
        ("grant_type", template.grant_type.as_slice()),
        ("scope", &template.scopes.items),
        ("audience", &template.audiences.items),
        ("resource", &template.resources.items),
        ("user_agent", slice::from_ref(&template.user_agent)),
    ] {
        for value in values {
            if value.trim().is_empty() {
                return Err(Error::config(field, "it is empty"));
            }
            refuse_control(field, value)?;
        }
    }
    for (name, _) in &template.params.items {
        if name.is_empty() {
            return Err(Error::config("param", "a name is empty"));
        }
        if ONCE.into_iter().any(|known| template.renames.of(known) == name) {
            return Err(Error::config("param", format!("`{name}` has a setter of its own")));
        }
    }
    Ok(())
}

/// Parameters that a request has once (RFC 6749 §3.2).
const ONCE: [Parameter; 4] =
    [Parameter::ClientId, Parameter::ClientSecret, Parameter::GrantType, Parameter::Scope];

fn reader(reader: &Reader) -> Result<(), Error> {
    if reader.places.0.values().any(String::is_empty) {
        return Err(Error::config("response_field", "it is empty"));
    }
    for (_, scheme) in &reader.token_types {
        if !scheme.is_empty() && HeaderName::from_bytes(scheme.as_bytes()).is_err() {
            let why = format!("{scheme:?} is not an authentication scheme");
            return Err(Error::config("token_type", why));
        }
    }
    if reader.refresh_after.is_some_and(|refresh_after| refresh_after.is_zero()) {
        return Err(Error::config("refresh_after", "it must be longer than zero"));
    }
    Ok(())
}
