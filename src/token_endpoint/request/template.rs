//! What every token request is made from.

use http::{Method, Uri};
use secrecy::{ExposeSecret, SecretString};

use super::{
    authentication::{ClientAuth, basic},
    endpoint_request::{EndpointRequest, ParamEncoding},
    headers::add_to,
    renames::{Parameter, Renames},
};
use crate::{
    error::Error,
    token_endpoint::{list::List, secret::Secret, value::Value},
};

/// How the endpoint is asked: the settings of a builder that make the request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Template {
    pub(crate) client_id: Option<Value>,
    /// Always a secret.
    pub(crate) client_secret: Option<Value>,
    pub(crate) auth: ClientAuth,
    pub(crate) grant_type: Option<String>,
    pub(crate) scopes: List<String>,
    pub(crate) audiences: List<String>,
    pub(crate) resources: List<String>,
    pub(crate) params: List<(String, Value)>,
    pub(crate) headers: List<(String, Value)>,
    pub(crate) user_agent: String,
    pub(crate) method: Method,
    /// `None` stands for what the method usually has.
    pub(crate) param_encoding: Option<ParamEncoding>,
    pub(crate) renames: Renames,
}

impl Template {
    pub(crate) fn new() -> Self {
        Self {
            grant_type: Some("client_credentials".to_owned()),
            user_agent: concat!("tower-oauth/", env!("CARGO_PKG_VERSION")).to_owned(),
            method: Method::POST,
            ..Self::default()
        }
    }

    /// Marks the lists as somebody else's: the first call of a setter replaces its list.
    pub(crate) fn inherit(&mut self) {
        self.scopes.inherited = true;
        self.audiences.inherited = true;
        self.resources.inherited = true;
        self.params.inherited = true;
        self.headers.inherited = true;
    }

    /// The secret, unless the client proves itself in another way.
    pub(crate) fn client_secret(&self) -> Option<&Value> {
        self.client_secret.as_ref().filter(|_| self.auth.needs_secret())
    }

    pub(crate) fn param_encoding(&self) -> ParamEncoding {
        self.param_encoding.unwrap_or(match self.method {
            Method::GET => ParamEncoding::Query,
            _ => ParamEncoding::Form,
        })
    }

    /// Whether a file is read for each request.
    pub(crate) fn reads_files(&self) -> bool {
        let lists =
            self.params.items.iter().chain(self.headers.items.iter()).map(|(_, value)| value);
        let values = lists.chain(&self.client_id).chain(self.client_secret());
        values.filter_map(Value::secret).any(Secret::is_file)
    }

    /// The request to send to `uri`, and the secrets in it, in every form in which they are sent.
    pub(crate) fn fill(
        &self,
        uri: Uri,
        read: fn(&Secret) -> Result<SecretString, Error>,
    ) -> Result<(EndpointRequest, Vec<SecretString>), Error> {
        let mut secrets = Vec::new();
        let mut text = |field, value: &Value| {
            let text = match value {
                Value::Plain(text) => SecretString::from(text.as_str()),
                Value::Secret(secret) => {
                    let text = read(secret)?;
                    secrets.push(text.clone());
                    text
                }
            };
            refuse_control(field, text.expose_secret())?;
            Ok::<_, Error>(text)
        };
        let mut own = |field, value: Option<&Value>| {
            let text = value.map(|value| text(field, value)).transpose()?;
            match text {
                Some(text) if text.expose_secret().is_empty() => {
                    Err(Error::config(field, "it is empty"))
                }
                text => Ok(text.unwrap_or_default()),
            }
        };
        let id = own("client_id", self.client_id.as_ref())?;
        let secret = own("client_secret", self.client_secret())?;

        let mut request = EndpointRequest::new(self.method.clone(), uri);
        request.param_encoding = self.param_encoding();
        let mut push = |parameter, value: &str| {
            request.params.push(self.renames.of(parameter), value);
        };
        if let Some(grant_type) = &self.grant_type {
            push(Parameter::GrantType, grant_type);
        }
        if !self.scopes.items.is_empty() {
            push(Parameter::Scope, &self.scopes.items.join(" "));
        }
        self.audiences.items.iter().for_each(|audience| push(Parameter::Audience, audience));
        self.resources.items.iter().for_each(|resource| push(Parameter::Resource, resource));
        for (name, value) in self.params.items.iter() {
            request.params.push(name, text("param", value)?.expose_secret());
        }
        let (id, secret) = (id.expose_secret(), secret.expose_secret());
        self.auth.apply(&mut request, &self.renames, id, secret)?;
        let own = self
            .headers
            .items
            .iter()
            .map(|(name, value)| Ok::<_, Error>((&**name, value, text("header", value)?)));
        let own = own.collect::<Result<Vec<_>, _>>()?;
        add_to(&mut request.headers, &self.user_agent, &own)?;
        if !secret.is_empty() {
            secrets.extend(basic(id, secret).map(|pair| pair.as_str().into()));
        }
        Ok((request, secrets))
    }
}

/// A line break that was copied along is the usual mistake, and no server says so.
pub(crate) fn refuse_control(field: &'static str, text: &str) -> Result<(), Error> {
    match text.chars().find(|char| char.is_control()) {
        None => Ok(()),
        Some('\r' | '\n') => Err(Error::config(field, "it contains a line break")),
        Some(_) => Err(Error::config(field, "it contains a control character")),
    }
}
