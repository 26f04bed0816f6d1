//! The settings of an endpoint, checked.

use std::sync::Arc;

use http::Uri;
use secrecy::SecretString;
use tokio::runtime::Handle;

use super::{
    builder::TokenEndpointBuilder, request::EndpointRequest, secret::Secret, validate::validate,
};
use crate::error::{Error, ErrorKind};

/// A builder that was checked, and its URL.
pub(super) struct Settings {
    pub(super) builder: TokenEndpointBuilder,
    pub(super) uri: Uri,
}

impl Settings {
    pub(super) fn check(builder: TokenEndpointBuilder) -> Result<Arc<Self>, Error> {
        let uri = validate(&builder)?;
        Ok(Arc::new(Self { builder, uri }))
    }

    /// The request for one token, and the secrets in it.
    pub(super) async fn request(
        self: Arc<Self>,
    ) -> Result<(EndpointRequest, Vec<SecretString>), Error> {
        let fill = |this: &Self| this.builder.template.fill(this.uri.clone(), Secret::read);
        match Handle::try_current() {
            // A file may be on a mount that hangs, and must not take a worker with it.
            Ok(runtime) if self.builder.template.reads_files() => {
                runtime.spawn_blocking(move || fill(&self)).await.unwrap_or_else(|_| {
                    let why = "the runtime shut down before the secret file was read";
                    Err(Error::new(ErrorKind::Fetcher).with_description(why))
                })
            }
            _ => fill(&self),
        }
    }
}
