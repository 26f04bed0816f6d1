//! What decides which token an endpoint gives.

use secrecy::ExposeSecret;

use super::{endpoint::TokenEndpoint, value::Value};
use crate::error::Error;

impl TokenEndpoint {
    /// Gives each setting that may decide what token comes: its name and its value as it is now. The
    /// client's own secret is none of them, and neither is the `User-Agent`: it names a version, and a
    /// rollout must not split the fleet.
    pub(crate) fn identity(&self, mut add: impl FnMut(&str, &str)) -> Result<(), Error> {
        let template = &self.settings.builder.template;
        let reader = &self.settings.builder.reader;
        let mut scopes: Vec<_> =
            template.scopes.items.iter().flat_map(|scope| scope.split_whitespace()).collect();
        scopes.sort_unstable();
        add("url", &self.settings.uri.to_string());
        add("method", template.method.as_str());
        add("form", &format!("{:?} {:?}", template.param_encoding(), template.auth));
        add("renames", &format!("{:?}", template.renames));
        add(
            "response",
            &format!("{:?} {:?} {:?}", reader.format, reader.places, reader.token_types),
        );
        template.grant_type.iter().for_each(|grant_type| add("grant_type", grant_type));
        scopes.iter().for_each(|scope| add("scope", scope));
        template.audiences.items.iter().for_each(|audience| add("audience", audience));
        template.resources.items.iter().for_each(|resource| add("resource", resource));
        let mut value = |what: &str, name: &str, value: &Value| {
            let text = match value {
                Value::Plain(text) => text.as_str().into(),
                Value::Secret(secret) => secret.read()?,
            };
            add(what, name);
            add("value", text.expose_secret());
            Ok::<_, Error>(())
        };
        template.client_id.iter().try_for_each(|id| value("client", "id", id))?;
        template.params.items.iter().try_for_each(|(name, it)| value("param", name, it))?;
        template.headers.items.iter().try_for_each(|(name, it)| value("header", name, it))
    }
}
