//! Who the client is, said by a certificate (RFC 8705), and what becomes of it in the life of a process.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use http::Request;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio_rustls::TlsAcceptor;
use tower::{Layer, ServiceExt};
use tower_oauth::{
    ErrorKind, OAuthLayer, TokenCache, TokenEndpoint,
    testing::{AuthorizationServer, Body, Listener, TokioClock},
    token_endpoint::{ClientAuth, Secret, TokenEndpointBuilder},
};

use crate::{fetch, printed};

/// A certificate authority.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate for this machine, and its key.
    fn signs(&self) -> (String, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key)
    }

    /// The same in one text.
    fn identity(&self) -> String {
        let (certificate, key) = self.signs();
        certificate + &key.serialize_pem()
    }

    /// What a server speaks that has a certificate of this authority, and wants one of these.
    fn acceptor(&self, clients: &[&Self]) -> TlsAcceptor {
        let mut roots = RootCertStore::empty();
        for client in clients {
            roots.add(CertificateDer::from_pem_slice(client.pem.as_bytes()).unwrap()).unwrap();
        }
        let (certificate, key) = self.signs();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider));
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            );
        TlsAcceptor::from(Arc::new(config.unwrap()))
    }
}

/// A token endpoint whose TLS can be changed while it runs.
struct Idp {
    server: AuthorizationServer,
    tls: Arc<Mutex<TlsAcceptor>>,
    listener: Listener,
}

impl Idp {
    async fn start(tls: TlsAcceptor) -> Self {
        let server = AuthorizationServer::new();
        server.client_without_secret("billing");
        let tls = Arc::new(Mutex::new(tls));
        let acceptor = Arc::clone(&tls);
        let listener = server.listen_tls(move |tcp| acceptor.lock().unwrap().accept(tcp));
        let listener = listener.await.unwrap();
        Self { server, tls, listener }
    }

    fn speaks(&self, tls: TlsAcceptor) {
        *self.tls.lock().unwrap() = tls;
    }

    fn builder(&self) -> TokenEndpointBuilder {
        TokenEndpoint::builder(self.listener.uri("/token"))
            .client_id("billing")
            .auth(ClientAuth::TlsClientAuth)
    }
}

/// A file that is replaced at once, as those do who rotate certificates.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let name = format!("tower-oauth-{name}-{}.pem", std::process::id());
        let file = Self(std::env::temp_dir().join(name));
        file.becomes(text);
        file
    }

    fn becomes(&self, text: &str) {
        let new = self.0.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, &self.0).unwrap();
    }

    fn secret(&self) -> Secret {
        Secret::file(&self.0)
    }

    fn name(&self) -> &str {
        Path::file_name(&self.0).unwrap().to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn a_certificate_instead_of_a_secret() {
    let authority = Authority::new("one");
    let idp = Idp::start(authority.acceptor(&[&authority])).await;
    let (certificate, key) = authority.signs();
    let trusting = || idp.builder().ca_certificate(&authority.pem);
    for builder in [
        trusting().client_identity(authority.identity()),
        // Each in its own text, in any order.
        trusting().client_identity(&certificate).client_identity(key.serialize_pem()),
        trusting().client_identity(key.serialize_pem()).client_identity(&certificate),
        // With what is not a certificate around it.
        trusting().client_identity(format!("subject=x\n{}", authority.identity())),
    ] {
        fetch(builder.build().unwrap()).await.unwrap();
    }
    // A server may want both.
    let both = trusting().client_identity(authority.identity()).auth(ClientAuth::Basic);
    fetch(both.client_id("client").client_secret("secret").build().unwrap()).await.unwrap();
    let requests = idp.server.token_requests();
    assert_eq!(requests, 5);

    // None, and one of somebody else's authority.
    let none = trusting().auth(ClientAuth::None).build().unwrap();
    let foreign = trusting().client_identity(Authority::new("two").identity()).build().unwrap();
    for endpoint in [none, foreign] {
        let error = fetch(endpoint).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        let said = error.to_string();
        assert!(said.contains("refused the TLS") && said.contains("`client_identity`"), "{said}");
    }
    assert_eq!(idp.server.token_requests(), requests);
}

/// Four times another authority signs both sides' certificates, while requests go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_rotated_under_load() {
    let mut authority = Authority::new("0");
    let idp = Idp::start(authority.acceptor(&[&authority])).await;
    let identity = File::new("identity", &authority.identity());
    let trusted = File::new("trusted", &authority.pem);
    let endpoint =
        idp.builder().client_identity(identity.secret()).ca_certificate(trusted.secret());
    let clock = TokioClock::new();
    let tokens = TokenCache::builder(endpoint.build().unwrap()).clock(clock.clone()).build();
    tokens.warm_up().await.unwrap();
    let api = OAuthLayer::with_source(tokens).layer(idp.server.clone());

    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let load = (0..8).map(|_| {
        let (api, stop, served) = (api.clone(), Arc::clone(&stop), Arc::clone(&served));
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let request = Request::get("https://api.example.com/").body(Body::default());
                let response = api.clone().oneshot(request.unwrap()).await.unwrap();
                assert_eq!(response.status(), 200);
                served.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        })
    });
    let load: Vec<_> = load.collect();
    // The token of the moment is too old, so whoever comes next waits for another.
    let another_token = async || {
        let (fetched, served_before) =
            (idp.server.token_requests(), served.load(Ordering::Relaxed));
        clock.suspend(Duration::from_secs(60 * 60));
        while idp.server.token_requests() == fetched
            || served.load(Ordering::Relaxed) < served_before + 100
        {
            assert!(!load.iter().any(|task| task.is_finished()), "a request was lost");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    for round in 1..=4 {
        let next = Authority::new(&round.to_string());
        trusted.becomes(&format!("{}{}", authority.pem, next.pem));
        idp.speaks(authority.acceptor(&[&authority, &next]));
        another_token().await;
        identity.becomes(&next.identity());
        another_token().await;
        // From here on nothing of the old authority is good any more.
        idp.speaks(next.acceptor(&[&next]));
        trusted.becomes(&next.pem);
        another_token().await;
        authority = next;
    }
    stop.store(true, Ordering::Relaxed);
    for task in load {
        task.await.unwrap();
    }
    assert!(idp.server.token_requests() >= 12);
    assert_eq!(idp.server.rejected_requests(), 0);
}

/// What the file has become cannot be used: the error says which one it is, and it heals.
#[tokio::test]
async fn a_certificate_that_went_bad() {
    let authority = Authority::new("one");
    let idp = Idp::start(authority.acceptor(&[&authority])).await;
    let (identity, trusted) =
        (File::new("bad-identity", &authority.identity()), File::new("bad-ca", &authority.pem));
    let builder = idp.builder().client_identity(identity.secret()).ca_certificate(trusted.secret());
    let endpoint = builder.build().unwrap();
    let ask = || fetch(endpoint.clone());
    ask().await.unwrap();
    let (good, ca) = (authority.identity(), authority.pem.clone());
    let other = Authority::new("two").identity();
    let mixed = authority.signs().0 + &authority.signs().1.serialize_pem();
    for (file, bad, whole) in [
        (&identity, "", &good),
        (&identity, "hunter2key", &good),
        (&identity, &good[..good.len() / 2], &good),
        (&identity, &mixed, &good),
        (&trusted, "hunter2key", &ca),
    ] {
        file.becomes(bad);
        let error = ask().await.unwrap_err();
        assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Fetcher, true), "{error}");
        assert!(error.to_string().contains(file.name()), "{error}");
        assert!(!printed(&error).contains("hunter2"), "{}", printed(&error));
        file.becomes(whole);
        ask().await.unwrap();
    }
    // It is good, and the server does not know it.
    identity.becomes(&other);
    let error = ask().await.unwrap_err();
    assert!(error.to_string().contains("refused the TLS handshake"), "{error}");
    fs::remove_file(&identity.0).unwrap();
    let error = ask().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fetcher, "{error}");
    assert!(error.to_string().contains(identity.name()), "{error}");
}

#[test]
fn identities_that_are_none() {
    let authority = Authority::new("one");
    let (certificate, key) = authority.signs();
    let key = key.serialize_pem();
    let broken = "-----BEGIN CERTIFICATE-----\nhunter2key!\n-----END CERTIFICATE-----\n";
    let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\naHVudGVyMg==\n\
                  -----END ENCRYPTED PRIVATE KEY-----\n";
    let no_key = "-----BEGIN PRIVATE KEY-----\naHVudGVyMg==\n-----END PRIVATE KEY-----\n";
    let endpoint = || {
        TokenEndpoint::builder("https://idp.example.com/token")
            .client_id("billing")
            .auth(ClientAuth::TlsClientAuth)
    };
    for (pems, says) in [
        (vec![String::new()], "neither a certificate nor a key"),
        (vec!["hunter2key".to_owned()], "neither a certificate nor a key"),
        (vec![broken.to_owned() + &key], "neither a certificate nor a key"),
        (vec![certificate.clone()], "no private key"),
        (vec![key.clone()], "no certificate"),
        (vec![certificate.clone(), locked.to_owned()], "passphrase"),
        (vec![format!("{certificate}{locked}")], "no private key"),
        (vec![certificate.clone(), key.clone(), key.clone()], "more than one private key"),
        (vec![certificate.clone(), no_key.to_owned()], "cannot be used"),
        (vec![authority.signs().0, key.clone()], "not that of the first certificate"),
    ] {
        let builder = pems.iter().fold(endpoint(), |builder, pem| builder.client_identity(pem));
        assert!(!format!("{builder:?}").contains("hunter2"), "{builder:?}");
        let error = builder.build().unwrap_err();
        let (kind, field) = (error.kind(), error.field());
        assert_eq!((kind, field), (ErrorKind::Config, Some("client_identity")), "{error}");
        assert!(error.to_string().contains(says), "{says}: {error}");
        assert!(!printed(&error).contains("hunter2") && !printed(&error).contains(&key));
    }
    let missing = endpoint().client_identity(Secret::file("/no/such/file")).build().unwrap_err();
    assert!(missing.to_string().contains("/no/such/file"), "{missing}");
    for error in [endpoint().build().err(), endpoint().http_client().err()] {
        assert_eq!(error.unwrap().field(), Some("client_identity"));
    }
    // Another HTTP client may have one.
    let other = tower::service_fn(|_: Request<bytes::Bytes>| async {
        Ok::<_, std::convert::Infallible>(http::Response::new(crate::OK.to_owned()))
    });
    endpoint().build_with(other).unwrap();
}

/// A proxy that asks for a certificate does not learn who the client is.
#[tokio::test]
async fn a_proxy_gets_no_certificate() {
    let authority = Authority::new("one");
    let proxy = Idp::start(authority.acceptor(&[&authority])).await;
    let through = |url: &str| {
        let builder = proxy.builder().url(url).insecure_allow_http().proxy(proxy.listener.uri(""));
        builder.ca_certificate(&authority.pem).client_identity(authority.identity())
    };
    for url in ["https://idp.invalid/token", "http://idp.invalid/token"] {
        let error = fetch(through(url).build().unwrap()).await.unwrap_err();
        assert!(error.to_string().contains("refused the TLS handshake"), "{error}");
    }
    assert_eq!(proxy.server.token_requests(), 0);
}
