//! What can be set, in the words of the RFCs.

use std::{fmt, time::Duration};

use http::Method;
use secrecy::SecretString;

use super::{
    answer::{LifetimeUnit, Reader},
    authentication::ClientAuth,
    exchange::Placement,
    members::ResponseFormat,
    names::{Member, Names, Parameter},
    secret::Secret,
};

/// Says how a token endpoint wants to be asked; see [`TokenEndpoint`](crate::TokenEndpoint).
///
/// Nothing is checked until it is built. `Debug` shows no value that may be secret.
#[cfg_attr(
    feature = "config",
    doc = "\n# From a configuration file\n\n\
           With the feature `config` the builder implements `serde::Deserialize`, and so does \
           [`RefreshPolicy`](crate::cache::RefreshPolicy). Of a parser's errors print the message, not \
           the line that it complains about: that may be the one with the secret. \
           For example as TOML, where `fetcher` is a builder and `refresh` a policy:\n\n```toml\n",
    doc = include_str!("reference.toml"),
    doc = "```"
)]
#[derive(Clone)]
#[must_use]
pub struct TokenEndpointBuilder {
    pub(super) url: String,
    pub(super) allow_http: bool,
    pub(super) client_id: Option<SecretString>,
    pub(super) client_secret: Option<Secret>,
    pub(super) auth: ClientAuth,
    pub(super) grant_type: Option<String>,
    pub(super) scope: Option<String>,
    pub(super) audience: Option<String>,
    pub(super) resources: Vec<String>,
    pub(super) params: Vec<(String, Secret)>,
    pub(super) headers: Vec<(String, Secret)>,
    pub(super) method: Method,
    pub(super) placement: Option<Placement>,
    pub(super) names: Names,
    pub(super) reader: Reader,
}

impl TokenEndpointBuilder {
    pub(super) fn new(url: String) -> Self {
        Self {
            url,
            allow_http: false,
            client_id: None,
            client_secret: None,
            auth: ClientAuth::default(),
            grant_type: Some("client_credentials".to_owned()),
            scope: None,
            audience: None,
            resources: Vec::new(),
            params: Vec::new(),
            headers: Vec::new(),
            method: Method::POST,
            placement: None,
            names: Names::default(),
            reader: Reader::default(),
        }
    }

    /// The token endpoint, instead of the one that the builder was made with: a sandbox, a test's
    /// server, a host of one's own.
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.url = url.into();
        self
    }

    /// Scheme, host and port of the token endpoint; its path and query stay as they are:
    /// `http://127.0.0.1:8080`. Of what is given, a path and a query are left out.
    pub fn base_url(mut self, base: impl AsRef<str>) -> Self {
        let (_, path) = split(&self.url);
        // What is pasted from an address bar has a path of its own.
        let (base, _) = split(base.as_ref().trim());
        self.url = format!("{base}{path}");
        self
    }

    /// The client's id (RFC 6749 §2.2). There must be one, except with [`ClientAuth::None`].
    pub fn client_id(mut self, id: impl Into<String>) -> Self {
        self.client_id = Some(id.into().into());
        self
    }

    /// The client's secret (RFC 6749 §2.3.1), or where to read it for every token:
    /// [`Secret::env`], [`Secret::file`]. There must be one, except with
    /// [`ClientAuth::None`].
    pub fn client_secret(mut self, secret: impl Into<Secret>) -> Self {
        self.client_secret = Some(secret.into());
        self
    }

    /// The scope to ask for (RFC 6749 §3.3): words with spaces between. By default the server
    /// chooses. What it grants instead is not checked.
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = Some(scope.into());
        self
    }

    /// The `audience` of Auth0 and others: the API that the token is for. By default none is named.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// A resource that the token is for: an absolute URI (RFC 8707 §2). Each call adds one.
    pub fn resource(mut self, resource: impl Into<String>) -> Self {
        self.resources.push(resource.into());
        self
    }

    /// Another parameter with a fixed value. Each call adds one; a name may repeat. It cannot be
    /// one that has a setter of its own. It is taken to be secret, and can be read for every token
    /// like [`client_secret`](Self::client_secret): IBM Cloud's `apikey`, the `password` of others.
    pub fn param(mut self, name: impl Into<String>, value: impl Into<Secret>) -> Self {
        self.params.push((name.into(), value.into()));
        self
    }

    /// Another header of the token request, such as an API gateway's key. It takes the place of
    /// `Accept: application/json` or `Cache-Control: no-store` if it is one of these. It is taken
    /// to be secret, and can be read for every token like [`client_secret`](Self::client_secret):
    /// Azure API Management's `Ocp-Apim-Subscription-Key`.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Secret>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// How id and secret are sent. By default as [`ClientAuth::Basic`].
    pub fn auth(mut self, auth: ClientAuth) -> Self {
        self.auth = auth;
        self
    }

    /// The grant type, instead of `client_credentials`: IBM Cloud has one for API keys, and
    /// `WeChat` spells it `client_credential`.
    pub fn grant_type(mut self, grant_type: impl Into<String>) -> Self {
        self.grant_type = Some(grant_type.into());
        self
    }

    /// Sends no grant type: DQE knows no such parameter, and answers 500 to what it does not know.
    pub fn no_grant_type(mut self) -> Self {
        self.grant_type = None;
        self
    }

    /// The method, instead of `POST`: DQE can be asked by `GET`. There are no others.
    pub fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// How and where parameters are written. By default as a form (RFC 6749 §4.4.2), and into the
    /// query if the method is `GET`. DDI Central wants JSON.
    pub fn placement(mut self, placement: Placement) -> Self {
        self.placement = Some(placement);
        self
    }

    /// The name that the API has for a parameter: Lark says `app_id` and `app_secret`, `WeChat`
    /// `appid` and `secret`.
    pub fn name(mut self, parameter: Parameter, name: impl Into<String>) -> Self {
        self.names.0.insert(parameter, name.into());
        self
    }

    /// Where a member of the answer is, if not under its standard name: another name, or a JSON
    /// pointer (RFC 6901) into the answer if it starts with a slash. Lark has
    /// `tenant_access_token` and `expire`; APIs that wrap every answer in an envelope need
    /// `/data/access_token`.
    pub fn member(mut self, member: Member, place: impl Into<String>) -> Self {
        self.reader.members.0.insert(member, place.into());
        self
    }

    /// How the answer is written. By default as JSON.
    pub fn response_format(mut self, format: ResponseFormat) -> Self {
        self.reader.format = format;
        self
    }

    /// What the lifetime in the answer is counted in. By default in seconds.
    pub fn lifetime_unit(mut self, unit: LifetimeUnit) -> Self {
        self.reader.unit = unit;
        self
    }

    /// When to refresh a token, where the API's documentation asks for a time of its own: see
    /// [`Token::refresh_after`](crate::Token::refresh_after). By default the cache decides.
    pub fn refresh_after(mut self, refresh_after: Duration) -> Self {
        self.reader.refresh_after = Some(refresh_after);
        self
    }

    /// Accepts tokens of another type than Bearer, and the scheme to send them with: a server that
    /// says `JWT` may mean `Bearer`. Without it an unknown type is an error (RFC 6749 §7.1).
    pub fn token_type(mut self, name: impl Into<String>, scheme: impl Into<String>) -> Self {
        self.reader.token_types.push((name.into(), scheme.into()));
        self
    }

    /// What an error tells its reader to check. `on` is an error code of RFC 6749 §5.2 or a status,
    /// `"invalid_client"` or `"500"`; a code goes first. DQE says `Unsupported Grant Type` where it
    /// means the scope.
    pub fn hint(mut self, on: impl Into<String>, hint: impl Into<String>) -> Self {
        self.reader.hints.0.push((on.into(), hint.into()));
        self
    }

    /// Allows plain HTTP to another machine, where whoever is on the way reads secret and tokens
    /// (RFC 6749 §3.2 requires TLS). To this machine it is always allowed.
    pub fn insecure_allow_http(mut self) -> Self {
        self.allow_http = true;
        self
    }
}

/// Scheme, host and port, and what follows.
pub(crate) fn split(url: &str) -> (&str, &str) {
    let host = url.find("://").map_or(0, |colon| colon + "://".len());
    url.split_at(url[host..].find(['/', '?', '#']).map_or(url.len(), |path| host + path))
}

impl fmt::Debug for TokenEndpointBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenEndpointBuilder")
            .field("client_secret", &self.client_secret)
            .field("auth", &self.auth)
            .field("grant_type", &self.grant_type)
            .field("scope", &self.scope)
            .field("method", &self.method)
            .field("placement", &self.placement)
            .field("names", &self.names)
            .field("reader", &self.reader)
            .finish_non_exhaustive()
    }
}
