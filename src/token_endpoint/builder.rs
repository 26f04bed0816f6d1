//! What can be set, in the words of the RFCs.

use std::{fmt, time::Duration};

use http::Method;

#[cfg(feature = "client-no-provider")]
use super::transport::ClientSettings;
use super::{
    request::{ClientAuth, ParamEncoding, Parameter, Template},
    response::{LifetimeUnit, Reader, ResponseField, ResponseFormat},
    secret::Secret,
    value::Value,
};

/// The settings of a [`TokenEndpoint`](crate::TokenEndpoint): how requests to it are made, and how its
/// responses are read.
///
/// Nothing is checked until it is built. `Debug` shows neither the URL nor any [`Secret`].
#[cfg_attr(
    feature = "config",
    doc = "\n# From a configuration file\n\n\
           With the feature `config` the builder implements `serde::Deserialize`, and so does \
           [`RefreshPolicy`](crate::cache::RefreshPolicy). Print only the message of a parser's \
           error, not the line that it is about: that may be the one with the secret. \
           An example in TOML, where `fetcher` is a builder and `refresh` a policy:\n\n```toml\n",
    doc = include_str!("reference.toml"),
    doc = "```"
)]
#[derive(Clone)]
#[must_use]
pub struct TokenEndpointBuilder {
    pub(super) url: String,
    pub(super) allow_http: bool,
    pub(super) template: Template,
    pub(super) reader: Reader,
    /// Empty once the client is made.
    #[cfg(feature = "client-no-provider")]
    pub(super) client: ClientSettings,
}

impl TokenEndpointBuilder {
    pub(super) fn new(url: String) -> Self {
        Self {
            url,
            allow_http: false,
            template: Template::new(),
            reader: Reader::default(),
            #[cfg(feature = "client-no-provider")]
            client: ClientSettings::default(),
        }
    }

    /// Marks the settings as somebody else's: the first call of a list's setter replaces the list.
    pub(crate) fn inherited(mut self) -> Self {
        self.template.inherit();
        self
    }

    /// Replaces the URL that the builder was made with, for example with that of a sandbox or of a
    /// test's server. It is plain text, which errors may repeat: give a key that goes into the query
    /// as a [`param`](Self::param) that is a [`Secret`], with [`ParamEncoding::Query`].
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.url = url.into();
        self
    }

    /// Replaces scheme, host and port of the token endpoint, and keeps its path and query:
    /// `http://127.0.0.1:8080`. A path and a query of `base` are ignored.
    pub fn base_url(mut self, base: impl AsRef<str>) -> Self {
        let (_, path) = split(&self.url);
        // What is pasted from an address bar has a path of its own.
        let (base, _) = split(base.as_ref().trim());
        self.url = format!("{base}{path}");
        self
    }

    /// The client's id (RFC 6749 §2.2). It is required, except with [`ClientAuth::None`].
    ///
    /// A string is plain text, which errors may show; give an id that is a key, or that is read for
    /// every token, as a [`Secret`].
    pub fn client_id(mut self, id: impl Into<Value>) -> Self {
        self.template.client_id = Some(id.into());
        self
    }

    /// The client's secret (RFC 6749 §2.3.1), or where to read it for every token:
    /// [`Secret::env`], [`Secret::file`]. It is required, except with [`ClientAuth::None`] and
    /// [`ClientAuth::TlsClientAuth`].
    pub fn client_secret(mut self, secret: impl Into<Secret>) -> Self {
        self.template.client_secret = Some(Value::Secret(secret.into()));
        self
    }

    /// The scope to ask for (RFC 6749 §3.3): one, or several with spaces between. Each call adds to
    /// it. By default the server chooses. What it grants instead is not checked.
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.template.scopes.push(scope.into());
        self
    }

    /// The API that the token is for, as Auth0 and others name it: `audience`. Each call adds one.
    /// By default there is none.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.template.audiences.push(audience.into());
        self
    }

    /// A resource that the token is for: an absolute URI (RFC 8707 §2). Each call adds one.
    pub fn resource(mut self, resource: impl Into<String>) -> Self {
        self.template.resources.push(resource.into());
        self
    }

    /// Another parameter. Each call adds one; a name may repeat. Id, secret, grant type and scope, which
    /// a request has once (RFC 6749 §3.2), cannot be set like this.
    ///
    /// A string is plain text, which errors may show. Give a key as a [`Secret`], which can be read for
    /// every token: IBM Cloud's `apikey`, the `password` of others.
    ///
    /// ```
    /// # use tower_oauth::TokenEndpoint;
    /// use tower_oauth::token_endpoint::Secret;
    ///
    /// # let _ =
    /// TokenEndpoint::builder("https://idp.example.com/oauth2/token")
    ///     .param("tenant", "blue")
    ///     .param("apikey", Secret::env("IDP_API_KEY"));
    /// ```
    pub fn param(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.template.params.push((name.into(), value.into()));
        self
    }

    /// Another header of the token request. Each call adds one. It replaces
    /// `Accept: application/json` or `Cache-Control: no-store` if it is one of these.
    ///
    /// A string is plain text, which errors may show. Give a key as a [`Secret`], which can be read for
    /// every token: Azure API Management's `Ocp-Apim-Subscription-Key`.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.template.headers.push((name.into(), value.into()));
        self
    }

    /// The `User-Agent` of the token request, for example that of your program. Default:
    /// `tower-oauth/` and the version, because firewalls in front of some servers turn away requests
    /// without one. [`header`](Self::header) can set it too.
    pub fn user_agent(mut self, name: impl Into<String>) -> Self {
        self.template.user_agent = name.into();
        self
    }

    /// How the client says who it is. Default: [`ClientAuth::Basic`].
    pub fn auth(mut self, auth: ClientAuth) -> Self {
        self.template.auth = auth;
        self
    }

    /// The grant type. Default: `client_credentials`. IBM Cloud has one for API keys, and `WeChat`
    /// spells it `client_credential`.
    pub fn grant_type(mut self, grant_type: impl Into<String>) -> Self {
        self.template.grant_type = Some(grant_type.into());
        self
    }

    /// Sends no grant type: DQE does not know this parameter, and responds with 500 to parameters that
    /// it does not know.
    pub fn no_grant_type(mut self) -> Self {
        self.template.grant_type = None;
        self
    }

    /// The method: `POST`, which is the default, or `GET`, as DQE allows.
    pub fn method(mut self, method: Method) -> Self {
        self.template.method = method;
        self
    }

    /// How and where parameters are written. Default: as a form (RFC 6749 §4.4.2), or in the query
    /// if the method is `GET`. DDI Central wants JSON.
    pub fn param_encoding(mut self, encoding: ParamEncoding) -> Self {
        self.template.param_encoding = Some(encoding);
        self
    }

    /// The name that the API has for a parameter: Lark says `app_id` and `app_secret`, `WeChat`
    /// `appid` and `secret`.
    pub fn rename_param(mut self, parameter: Parameter, name: impl Into<String>) -> Self {
        self.template.renames.0.insert(parameter, name.into());
        self
    }

    /// Where a field of the response is, if not under its standard name: another name, or a JSON
    /// pointer (RFC 6901) if it starts with a slash. Lark has `tenant_access_token` and `expire`;
    /// APIs that wrap every response in an envelope need `/data/access_token`.
    pub fn response_field(mut self, field: ResponseField, place: impl Into<String>) -> Self {
        self.reader.places.0.insert(field, place.into());
        self
    }

    /// The format of the response. Default: JSON.
    pub fn response_format(mut self, format: ResponseFormat) -> Self {
        self.reader.format = format;
        self
    }

    /// The unit of the lifetime in the response. Default: seconds.
    pub fn lifetime_unit(mut self, unit: LifetimeUnit) -> Self {
        self.reader.unit = unit;
        self
    }

    /// When to refresh a token, if the API's documentation asks for a time of its own: see
    /// [`Token::with_refresh_after`](crate::Token::with_refresh_after). By default the cache
    /// decides.
    pub fn refresh_after(mut self, refresh_after: Duration) -> Self {
        self.reader.refresh_after = Some(refresh_after);
        self
    }

    /// Accepts tokens of a type other than Bearer, and names the scheme to send them with: a server
    /// that says `JWT` may mean `Bearer`. By default an unknown type is an error (RFC 6749 §7.1). With an
    /// empty scheme the token is sent alone, for a header that wants it so. A response that has no type
    /// counts as `Bearer`, and so does `BearerToken`, unless it is named itself. Of two calls for one type
    /// the last one counts.
    pub fn token_type(mut self, name: impl Into<String>, scheme: impl Into<String>) -> Self {
        self.reader.token_types.push((name.into(), scheme.into()));
        self
    }

    /// What an error of this endpoint tells its reader to check. `on` is an error code, as
    /// [`Error::oauth_code`](crate::Error::oauth_code) gives it, or a status: `"invalid_client"`,
    /// `"40013"`, `"500"`. A hint for the code takes precedence over one for the status. DQE says
    /// `Unsupported Grant Type` where it means the scope.
    pub fn hint(mut self, on: impl Into<String>, hint: impl Into<String>) -> Self {
        self.reader.hints.0.push((on.into(), hint.into()));
        self
    }

    /// Allows plain HTTP to another machine. Everybody on the way can then read the secret and the
    /// tokens; RFC 6749 §3.2 requires TLS. Plain HTTP to this machine is always allowed.
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
            .field("request", &self.template)
            .field("response", &self.reader)
            .finish_non_exhaustive()
    }
}
