//! Certificates and keys of the settings, in PEM.

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use secrecy::{ExposeSecret, SecretString};

use super::settings::{ClientSettings, read};
use crate::{error::Error, token_endpoint::secret::Secret};

const AUTHORITY: &str = "ca_certificate";
const IDENTITY: &str = "client_identity";

type Certificate = CertificateDer<'static>;

/// A chain of certificates, the client's own first, and its key.
type Identity = (Vec<Certificate>, PrivateKeyDer<'static>);

/// What the settings say at the moment.
pub(super) struct Pem {
    authorities: Vec<SecretString>,
    identity: Vec<SecretString>,
}

impl Pem {
    pub(super) fn read(settings: &ClientSettings) -> Result<Self, Error> {
        let all = |field, settings: &[Secret]| {
            settings.iter().map(|setting| read(field, setting)).collect::<Result<_, _>>()
        };
        Ok(Self {
            authorities: all(AUTHORITY, &settings.ca_certificates)?,
            identity: all(IDENTITY, &settings.client_identity)?,
        })
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        self.authorities.iter().chain(&self.identity).map(ExposeSecret::expose_secret)
    }

    /// The certificates that are trusted too.
    pub(super) fn authorities(&self, settings: &ClientSettings) -> Result<Vec<Certificate>, Error> {
        let mut found = Vec::new();
        for (pem, setting) in self.authorities.iter().zip(&settings.ca_certificates) {
            let is_good = |root: &Certificate| RootCertStore::empty().add(root.clone()).is_ok();
            match certificates(pem) {
                Some(roots) if !roots.is_empty() && roots.iter().all(is_good) => {
                    found.extend(roots)
                }
                _ => {
                    let why = format!("{setting:?} has no certificate in PEM");
                    return Err(Error::config(AUTHORITY, why));
                }
            }
        }
        Ok(found)
    }

    /// The client's own certificate, if it has one.
    pub(super) fn identity(&self, settings: &ClientSettings) -> Result<Option<Identity>, Error> {
        if self.identity.is_empty() {
            return Ok(None);
        }
        let (mut chain, mut keys) = (Vec::new(), Vec::new());
        for (pem, setting) in self.identity.iter().zip(&settings.client_identity) {
            let certificates = certificates(pem);
            let text = pem.expose_secret();
            let found =
                PrivateKeyDer::pem_slice_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>();
            let why = match (certificates, found) {
                (Some(certificates), Ok(found)) if certificates.len() + found.len() > 0 => {
                    chain.extend(certificates);
                    keys.extend(found);
                    continue;
                }
                _ if text.contains("ENCRYPTED") => {
                    "has a key with a passphrase, which cannot be used"
                }
                _ => "has neither a certificate nor a key in PEM",
            };
            return Err(Error::config(IDENTITY, format!("{setting:?} {why}")));
        }
        match (chain.is_empty(), keys.len()) {
            (false, 1) => Ok(keys.pop().map(|key| (chain, key))),
            (true, _) => Err(unusable(settings, "there is no certificate in PEM")),
            (_, 0) => Err(unusable(settings, "there is no private key in PEM")),
            _ => Err(unusable(settings, "there is more than one private key")),
        }
    }
}

impl PartialEq for Pem {
    fn eq(&self, other: &Self) -> bool {
        // They are of the same settings, and so of as many texts.
        self.texts().eq(other.texts())
    }
}

/// The identity as a whole cannot be used.
pub(super) fn unusable(settings: &ClientSettings, why: &str) -> Error {
    let all = settings.client_identity.iter().map(|setting| format!("{setting:?}"));
    let all = all.collect::<Vec<_>>().join(" and ");
    Error::config(IDENTITY, format!("{why} in {all}"))
}

/// What a parser says of a mistake has a line of the text in it.
fn certificates(pem: &SecretString) -> Option<Vec<Certificate>> {
    CertificateDer::pem_slice_iter(pem.expose_secret().as_bytes()).collect::<Result<_, _>>().ok()
}
