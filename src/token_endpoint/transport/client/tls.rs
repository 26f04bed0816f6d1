//! TLS by rustls, whichever provider of cryptography it has.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, pem::PemObject},
};
use rustls_platform_verifier::Verifier;
use secrecy::ExposeSecret;

use super::settings::read;
use crate::{error::Error, token_endpoint::secret::Secret};

type Certificate = CertificateDer<'static>;

/// Trusts what the platform trusts, and these certificates.
pub(super) fn config(roots: Vec<Certificate>) -> Result<ClientConfig, Error> {
    let unusable = |why: &str, cause| {
        let why = format!("{why}; pass an HTTP client of your own to `build_with`");
        Error::config("client", why).with_source(cause)
    };
    let provider = provider()?;
    #[cfg(not(target_os = "android"))]
    let verifier = Verifier::new_with_extra_roots(roots, Arc::clone(&provider));
    // There it is the app's manifest that adds some.
    #[cfg(target_os = "android")]
    let verifier = Verifier::new(Arc::clone(&provider));
    let verifier = verifier.map_err(|cause| {
        unusable("no trusted root certificates could be loaded from this platform", cause)
    })?;
    // Named, because a process with two providers in its dependencies has no default one.
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|cause| unusable("rustls' provider supports neither TLS 1.2 nor TLS 1.3", cause))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// The provider that the program installed, else the one that a feature brought.
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
            "client",
            "rustls has no crypto provider: install one first, for example with \
             `rustls::crypto::ring::default_provider().install_default()`, or turn on the feature \
             `client` or `client-ring` of tower-oauth",
        )
    })
}

/// The certificates of the settings.
pub(super) fn certificates(settings: &[Secret]) -> Result<Vec<Certificate>, Error> {
    let mut found = Vec::new();
    for pem in settings {
        let pem = read("ca_certificate", pem)?;
        let certificates = CertificateDer::pem_slice_iter(pem.expose_secret().as_bytes());
        let is_good = |root: &Certificate| RootCertStore::empty().add(root.clone()).is_ok();
        match certificates.collect::<Result<Vec<_>, _>>() {
            Ok(roots) if !roots.is_empty() && roots.iter().all(is_good) => found.extend(roots),
            // The parser's error has a line of the text in it.
            _ => {
                return Err(Error::config(
                    "ca_certificate",
                    "it contains no valid PEM certificate",
                ));
            }
        }
    }
    Ok(found)
}
