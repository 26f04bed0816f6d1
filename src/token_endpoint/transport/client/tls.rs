//! TLS by rustls, whichever provider of cryptography it has.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::{ClientConfig, crypto::CryptoProvider};
use rustls_platform_verifier::Verifier;
use tokio::task::spawn_blocking;

use super::{
    pem::{Pem, unusable},
    settings::ClientSettings,
};
use crate::{
    error::{Error, ErrorKind},
    token_endpoint::secret::Secret,
};

/// The field of an error which says that there is no TLS, whatever the settings.
pub(super) const CLIENT: &str = "client";

/// TLS by the settings. They are read again for each connection, so that a certificate that was
/// replaced needs no restart.
pub(crate) struct Tls {
    settings: ClientSettings,
    made: Mutex<Made>,
}

/// What was made of the settings, and what they were.
#[derive(Clone)]
struct Made {
    of: Arc<Pem>,
    configs: Configs,
}

/// What one connection needs.
#[derive(Clone)]
pub(super) struct Configs {
    pub(super) server: Arc<ClientConfig>,
    /// For a proxy that speaks TLS. A tunnel is asked for over HTTP/1.1, and who the client is, is only
    /// the server's business.
    pub(super) proxy: Arc<ClientConfig>,
}

impl Tls {
    pub(super) fn new(settings: ClientSettings) -> Result<Self, Error> {
        let made = Made::of(&settings, Pem::read(&settings)?)?;
        Ok(Self { settings, made: Mutex::new(made) })
    }

    /// By the settings as they are now.
    pub(super) async fn now(self: Arc<Self>) -> Result<Configs, Error> {
        let later = |error: Error| {
            let (field, why) = (error.field(), error.description());
            Error::new(ErrorKind::Fetcher).with_description(format!(
                "`{}` cannot be used any more: {}",
                field.unwrap_or_default(),
                why.unwrap_or_default()
            ))
        };
        if !self.settings.tls().any(Secret::is_file) {
            return self.read().map_err(later);
        }
        // A file may be on a mount that hangs, and must not take a worker with it.
        spawn_blocking(move || self.read().map_err(later)).await.unwrap_or_else(|_| {
            let why = "the runtime shut down before the files of the certificates were read";
            Err(Error::new(ErrorKind::Fetcher).with_description(why))
        })
    }

    fn read(&self) -> Result<Configs, Error> {
        let kept = || self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let pem = Pem::read(&self.settings)?;
        let before = Arc::clone(&kept().of);
        if pem != *before {
            let made = Made::of(&self.settings, pem)?;
            *kept() = made;
        }
        Ok(kept().configs.clone())
    }
}

impl Made {
    fn of(settings: &ClientSettings, pem: Pem) -> Result<Self, Error> {
        let roots = pem.authorities(settings)?;
        let identity = pem.identity(settings)?;
        let no_tls = |why: &str, cause| {
            let why = format!("{why}; pass an HTTP client of your own to `build_with`");
            Error::config(CLIENT, why).with_source(cause)
        };
        let provider = provider()?;
        #[cfg(not(target_os = "android"))]
        let verifier = Verifier::new_with_extra_roots(roots, Arc::clone(&provider));
        // There it is the app's manifest that adds some.
        #[cfg(target_os = "android")]
        let verifier = Verifier::new(Arc::clone(&provider));
        let verifier = verifier.map_err(|cause| {
            no_tls("no trusted root certificates could be loaded from this platform", cause)
        })?;
        // Named, because a process with two providers in its dependencies has no default one.
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|cause| {
                no_tls("rustls' provider supports neither TLS 1.2 nor TLS 1.3", cause)
            })?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let proxy = builder.clone().with_no_client_auth();
        let mut server = match identity {
            None => proxy.clone(),
            Some((chain, key)) => {
                let why = "the private key cannot be used, or is not that of the first certificate";
                // The cause may have a part of the text in it.
                builder.with_client_auth_cert(chain, key).map_err(|_| unusable(settings, why))?
            }
        };
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let configs = Configs { server: Arc::new(server), proxy: Arc::new(proxy) };
        Ok(Self { of: Arc::new(pem), configs })
    }
}

/// The provider that the program installed, else the one of a feature.
fn provider() -> Result<Arc<CryptoProvider>, Error> {
    #[cfg(feature = "client")]
    let ours = Some(rustls::crypto::aws_lc_rs::default_provider);
    #[cfg(all(feature = "client-ring", not(feature = "client")))]
    let ours = Some(rustls::crypto::ring::default_provider);
    #[cfg(not(any(feature = "client", feature = "client-ring")))]
    let ours = None::<fn() -> CryptoProvider>;
    let installed = CryptoProvider::get_default().cloned();
    installed.or_else(|| Some(Arc::new(ours?()))).ok_or_else(|| {
        Error::config(
            CLIENT,
            "rustls has no crypto provider: install one first, for example with \
             `rustls::crypto::ring::default_provider().install_default()`, or turn on the feature \
             `client` or `client-ring` of tower-oauth",
        )
    })
}
