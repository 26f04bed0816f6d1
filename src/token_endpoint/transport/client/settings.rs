//! The settings of the ready-made client.

use secrecy::SecretString;

use crate::{error::Error, token_endpoint::secret::Secret};

/// What the client is made with.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClientSettings {
    pub(crate) proxy: Option<Secret>,
    pub(crate) ca_certificates: Vec<Secret>,
    pub(crate) client_identity: Vec<Secret>,
}

impl ClientSettings {
    /// The name of a setting that differs from the default.
    pub(crate) fn is_set(&self) -> Option<&'static str> {
        let authorities = (!self.ca_certificates.is_empty()).then_some("ca_certificate");
        let identity = (!self.client_identity.is_empty()).then_some("client_identity");
        self.proxy.as_ref().map(|_| "proxy").or(authorities).or(identity)
    }

    /// Those that every connection reads again.
    pub(super) fn tls(&self) -> impl Iterator<Item = &Secret> {
        self.ca_certificates.iter().chain(&self.client_identity)
    }
}

/// The value of a setting. What is not there when the client is made is a mistake of the settings.
pub(super) fn read(field: &'static str, setting: &Secret) -> Result<SecretString, Error> {
    setting.read().map_err(|error| Error::config(field, error.description().unwrap_or_default()))
}
