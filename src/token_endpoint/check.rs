//! A builder's settings, checked, as what every fetch needs.

use http::{HeaderName, Method, Uri, uri::Scheme};
use secrecy::{ExposeSecret, SecretString};

use super::{
    answer::Reader,
    authentication::ClientAuth,
    builder::TokenEndpointBuilder,
    exchange::{EndpointRequest, Placement},
    headers::headers,
    names::{Names, Parameter},
    scrub::Scrub,
    secret::Secret,
};
use crate::{error::Error, origin::keeps_secrets};

/// What every fetch starts from.
pub(super) struct Grant {
    /// All of the exchange but what may be secret.
    template: EndpointRequest,
    auth: ClientAuth,
    names: Names,
    /// Empty where there is none.
    id: SecretString,
    secret: Option<Secret>,
    params: Vec<(String, Secret)>,
    headers: Vec<(String, Secret)>,
    pub(super) reader: Reader,
}

/// What was sent and must not be told when it comes back.
pub(super) struct Carried {
    secret: SecretString,
    /// Whatever else may be a key: the values of further parameters and headers, what the URL has in
    /// its query, an id that is one.
    others: Vec<SecretString>,
}

impl Carried {
    pub(super) fn scrub<'a>(&'a self, id: &'a str) -> Scrub<'a> {
        let others = self.others.iter().map(|other| other.expose_secret());
        Scrub::new(id, self.secret.expose_secret(), others)
    }
}

impl Grant {
    /// The exchange for one fetch, with what is secret as it is now.
    pub(super) fn exchange(&self) -> Result<(EndpointRequest, Carried), Error> {
        self.exchange_with(Secret::read)
    }

    fn exchange_with(
        &self,
        read: impl Fn(&Secret) -> Result<SecretString, Error>,
    ) -> Result<(EndpointRequest, Carried), Error> {
        let secret = self.secret.as_ref().map(&read).transpose()?.unwrap_or_default();
        let mut exchange = self.template.clone();
        let mut others = Vec::new();
        for (name, value) in &self.params {
            let value = read(value)?;
            exchange.params.push(name, value.expose_secret());
            others.push(value);
        }
        let own = self.headers.iter().map(|(name, value)| Ok((name.as_str(), read(value)?)));
        let own = own.collect::<Result<Vec<_>, Error>>()?;
        exchange.headers = headers(&own, &self.auth)?;
        others.extend(own.into_iter().map(|(_, value)| value));
        let query = exchange.uri.query().unwrap_or_default();
        let in_url = form_urlencoded::parse(query.as_bytes());
        others.extend(in_url.map(|(_, value)| value.into_owned().into()));
        // An id that goes by another name, or stands alone, is a key.
        if self.names.of(Parameter::ClientId) != "client_id" || !self.auth.needs_secret() {
            others.push(self.id.clone());
        }
        self.auth.apply(&mut exchange, &self.names, self.id(), secret.expose_secret())?;
        Ok((exchange, Carried { secret, others }))
    }

    pub(super) fn id(&self) -> &str {
        self.id.expose_secret()
    }

    pub(super) fn uri(&self) -> &Uri {
        &self.template.uri
    }

    pub(super) fn check(builder: TokenEndpointBuilder) -> Result<Self, Error> {
        let uri = token_endpoint(&builder.url, builder.allow_http)?;
        let id = match builder.client_id {
            Some(id) if !id.expose_secret().is_empty() => id,
            Some(_) => return Err(Error::config("client_id", "it is empty")),
            None if builder.auth == ClientAuth::None => SecretString::default(),
            None => return Err(Error::config("client_id", "it is missing")),
        };
        let secret = builder.client_secret.filter(|_| builder.auth.needs_secret());
        match &secret {
            Some(secret) if secret.is_empty() => {
                return Err(Error::config("client_secret", "it is empty"));
            }
            None if builder.auth.needs_secret() => {
                return Err(Error::config(
                    "client_secret",
                    "it is missing; a client that has none says so with `auth`: none",
                ));
            }
            _ => {}
        }
        if builder.auth == ClientAuth::BasicRaw && id.expose_secret().contains(':') {
            return Err(Error::config(
                "client_id",
                "a colon ends the id in Basic authentication; `auth`: basic encodes it",
            ));
        }
        if ![Method::GET, Method::POST].contains(&builder.method) {
            return Err(Error::config("method", "a token endpoint is asked by POST or GET"));
        }
        let safe = builder.method == Method::GET;
        let placement =
            builder.placement.unwrap_or(if safe { Placement::Query } else { Placement::Form });
        if safe && placement != Placement::Query {
            return Err(Error::config("placement", "a GET request has no body"));
        }

        let mut template = EndpointRequest::new(builder.method, uri);
        template.placement = placement;
        let names = builder.names;
        check_names(&names)?;
        check_reader(&builder.reader)?;
        let mut standard = |field: &'static str, parameter, value: &str| {
            if value.trim().is_empty() {
                return Err(Error::config(field, "it is empty"));
            }
            template.params.push(names.of(parameter), value);
            Ok(())
        };
        if let Some(grant_type) = &builder.grant_type {
            standard("grant_type", Parameter::GrantType, grant_type)?;
        }
        if let Some(scope) = &builder.scope {
            standard("scope", Parameter::Scope, scope)?;
        }
        if let Some(audience) = &builder.audience {
            standard("audience", Parameter::Audience, audience)?;
        }
        for resource in &builder.resources {
            standard("resource", Parameter::Resource, absolute_uri(resource)?)?;
        }
        for (name, _) in &builder.params {
            if name.is_empty() {
                return Err(Error::config("param", "a name is empty"));
            }
            if Parameter::ALL.into_iter().any(|known| names.of(known) == name) {
                let why = format!("`{name}` has a setter of its own");
                return Err(Error::config("param", why));
            }
        }

        let grant = Self {
            template,
            auth: builder.auth,
            names,
            id,
            secret,
            params: builder.params,
            headers: builder.headers,
            reader: builder.reader,
        };
        // What is read for every token need not be there yet.
        no_name_twice(&grant.exchange_with(|secret| Ok(secret.peek()))?.0)?;
        Ok(grant)
    }
}

/// RFC 6749 §3.2: parameters occur once. `resource` and the user's own may repeat among themselves,
/// but what is in the URL already is none of either.
fn no_name_twice(exchange: &EndpointRequest) -> Result<(), Error> {
    let Some(own) = exchange.uri.query() else { return Ok(()) };
    let own: Vec<_> = form_urlencoded::parse(own.as_bytes()).map(|(name, _)| name).collect();
    let placed = exchange.params.iter().filter(|_| exchange.placement == Placement::Query);
    match placed.chain(exchange.query.iter()).find(|(name, _)| own.iter().any(|own| own == name)) {
        Some((name, _)) => Err(Error::config("url", format!("its query has a `{name}` already"))),
        None => Ok(()),
    }
}

fn token_endpoint(url: &str, allow_http: bool) -> Result<Uri, Error> {
    let invalid = |why: &str| Err(Error::config("url", why));
    if url.contains('#') {
        return invalid("the URL of a token endpoint has no fragment (RFC 6749 §3.2)");
    }
    let Ok(uri) = url.parse::<Uri>() else { return invalid("it is no URL") };
    let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
        return invalid("it is not absolute: it starts with `https://`");
    };
    if authority.as_str().contains('@') {
        return invalid("credentials do not belong into it: `client_id` and `client_secret`");
    }
    let host = authority.host();
    let port_is_bad = authority.as_str().len() > host.len() && authority.port_u16().is_none();
    if host.is_empty() || port_is_bad {
        return invalid("its host or its port is none");
    }
    if *scheme == Scheme::HTTP && !allow_http && !keeps_secrets(&uri) {
        return invalid("plain HTTP would show the secret; use https, or `insecure_allow_http`");
    }
    if *scheme != Scheme::HTTPS && *scheme != Scheme::HTTP {
        return invalid("it is neither https nor http");
    }
    Ok(uri)
}

/// Of RFC 3986 no more than RFC 8707 §2 asks for, since a resource may be a URN.
fn absolute_uri(resource: &str) -> Result<&str, Error> {
    let invalid = |why: &str| Err(Error::config("resource", why));
    if resource.contains('#') {
        return invalid("a resource has no fragment (RFC 8707 §2)");
    }
    if !resource.bytes().all(|byte| byte.is_ascii_graphic()) {
        return invalid("it has characters that a URI cannot have");
    }
    match resource.split_once(':') {
        Some((scheme, rest))
            if !rest.is_empty()
                && scheme.starts_with(|char: char| char.is_ascii_alphabetic())
                && scheme
                    .chars()
                    .all(|char| char.is_ascii_alphanumeric() || "+-.".contains(char)) =>
        {
            Ok(resource)
        }
        _ => invalid("it is not an absolute URI (RFC 8707 §2)"),
    }
}

fn check_names(names: &Names) -> Result<(), Error> {
    for (index, parameter) in Parameter::ALL.into_iter().enumerate() {
        let name = names.of(parameter);
        if name.is_empty() {
            return Err(Error::config("name", "it is empty"));
        }
        if Parameter::ALL.into_iter().take(index).any(|earlier| names.of(earlier) == name) {
            return Err(Error::config("name", format!("two parameters have the name `{name}`")));
        }
    }
    Ok(())
}

fn check_reader(reader: &Reader) -> Result<(), Error> {
    if reader.members.0.values().any(String::is_empty) {
        return Err(Error::config("member", "it is empty"));
    }
    let sendable = |scheme: &str| HeaderName::from_bytes(scheme.as_bytes()).is_ok();
    if !reader.token_types.iter().all(|(_, scheme)| sendable(scheme)) {
        return Err(Error::config("token_type", "this is no authentication scheme"));
    }
    if reader.refresh_after.is_some_and(|refresh_after| refresh_after.is_zero()) {
        return Err(Error::config("refresh_after", "it is no time at all"));
    }
    Ok(())
}
