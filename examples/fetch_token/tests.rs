//! The whole program against a server on this machine.

use std::{
    io::Read,
    net::TcpListener,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use super::*;

const SECRET: &str = "hunter2key s/cret";
const TOKEN_SENT: &str = "TKabcdefghij0123456789";

/// Runs it with this configuration, where `URL` stands for a server that sends `response`,
/// in which `SECRET` stands for what was sent as the secret. Gives what was said, and the status.
async fn run_with(config: &str, response: &str, dry_run: bool) -> (String, u8) {
    static FILES: AtomicUsize = AtomicUsize::new(0);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let response = response.replace("SECRET", SECRET).replace("TOKEN", TOKEN_SENT);
    // It ends with the process.
    thread::spawn(move || {
        for tcp in listener.incoming() {
            let mut tcp = tcp.unwrap();
            // The request fits into one read: it is short, and sent at once.
            let _ = tcp.read(&mut [0; 16 * 1024]);
            let _ = tcp.write_all(response.as_bytes());
        }
    });
    let name = format!(
        "fetch-token-{}-{}.toml",
        std::process::id(),
        FILES.fetch_add(1, Ordering::Relaxed)
    );
    let path = std::env::temp_dir().join(name);
    let config = config.replace("SECRET", SECRET).replace("URL", &url);
    let config = config.replace("HTTPS", &url.replace("http:", "https:"));
    fs::write(&path, format!("[fetcher]\n{config}")).unwrap();
    let arguments = Arguments { config: path.clone(), ca: None, cert: Vec::new(), dry_run };
    let out = Arc::new(Mutex::new(Vec::new()));
    let sink: Arc<Mutex<dyn Write + Send>> = out.clone();
    let code = run(&arguments, sink).await;
    fs::remove_file(path).unwrap();
    let said = String::from_utf8(std::mem::take(&mut *out.lock().unwrap())).unwrap();
    match code {
        Ok(code) => (said, code),
        Err(why) => (said + &why, UNUSABLE),
    }
}

fn response(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: application/json\r\n{headers}\r\n{body}"
    )
}

fn shows_nothing(said: &str) {
    for secret in [TOKEN_SENT, SECRET, "hunter2", "s/cret", "s%2Fcret", "aHVudGVyMmtleSBzL2NyZXQ"] {
        assert!(!said.contains(secret), "{secret} in {said}");
    }
}

const BODY: &str =
    "url = 'URL/token'\nclient_id = 'the-id'\nclient_secret = 'SECRET'\nauth = 'body'\n";
const GOOD: &str = r#"{"access_token":"TOKEN","token_type":"Bearer","expires_in":3600}"#;

#[tokio::test]
async fn a_token() {
    let (said, code) = run_with(BODY, &response("200 OK", "", GOOD), false).await;
    assert_eq!(code, TOKEN, "{said}");
    for part in
        ["Request\n", "client_id = the-id", "Response\n  200 OK", "Token\n", "1 h 0 min 0 s"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    shows_nothing(&said);
}

#[tokio::test]
async fn what_a_server_echoes() {
    let basic = BODY.replace("auth = 'body'\n", "");
    let renamed = format!("{BODY}rename_param = {{ client_secret = 'scope', scope = 'what' }}\n");
    let taken =
        format!("{BODY}rename_param = {{ client_secret = 'client_id', client_id = 'key' }}\n");
    let param = format!("{BODY}param = {{ type = 'SECRET' }}\n");
    let clash = format!("{BODY}scope = 'read'\nrename_param = {{ scope = 'client_secret' }}\n");
    let header = "WWW-Authenticate: Basic realm=\"SECRET\", error=\"hunter2key%20s%2fcret\"\r\n\
                  Location: /login/hunter2key+s%2Fcret/TOKEN?x\r\n\
                  Server: TOKEN\r\n";
    let members = r#"{"error":"SECRET","error_description":"not SECRET","scope":"SECRET",
        "status":"TOKEN","type":"hunter2key s\/cret","token_type":"SECRET","SECRET":1,
        "access_token":"TOKEN","hunter2key":{"SECRET":1}}"#
        .replace("\"hunter2key\":{", "\"data\":{");
    let token = members.replace(r#""error":"SECRET","#, "");
    for config in [BODY, &basic, &renamed, &taken, &param, &clash] {
        for (status, body) in [
            ("200 OK", &members),
            ("200 OK", &token),
            ("401 No", &members),
            ("302 Found", &members),
        ] {
            let (said, code) = run_with(config, &response(status, header, body), false).await;
            assert_eq!(code, NO_TOKEN, "{said}");
            assert!(said.contains("No token\n"), "{said}");
            shows_nothing(&said);
        }
        let (said, code) = run_with(config, &response("200 OK", header, GOOD), false).await;
        assert_eq!(code, TOKEN, "{said}");
        shows_nothing(&said);
    }
}

#[tokio::test]
async fn nothing_is_sent() {
    let (said, code) = run_with(BODY, "", true).await;
    assert_eq!(code, DRY_RUN, "{said}");
    assert!(said.contains("client_secret = ***") && said.contains("Nothing was sent"), "{said}");
    shows_nothing(&said);
    let missing = BODY.replace("'SECRET'", "{ env = 'FETCH_TOKEN_NO_SUCH_VARIABLE' }");
    let (said, code) = run_with(&missing, "", true).await;
    assert_eq!(code, DRY_RUN, "{said}");
    assert!(said.contains("stand-in for the secret"), "{said}");
}

#[tokio::test]
async fn what_cannot_be_used() {
    for (line, says) in [
        ("client_secrt = 'SECRET'", "line 6: unknown field"),
        ("param_encoding = 'cookie'", "line 6: unknown variant `cookie`"),
        ("scope = ''", "`scope`"),
    ] {
        let (said, code) = run_with(&format!("{BODY}{line}\n"), "", false).await;
        assert_eq!(code, UNUSABLE, "{said}");
        assert!(said.contains(says), "{said}");
        shows_nothing(&said);
    }
}

#[tokio::test]
async fn what_is_too_long_is_shown_with_its_head() {
    let long = response("200 OK", "Server: somebody\r\n", &"x".repeat(2 << 20));
    let (said, code) = run_with(BODY, &long, false).await;
    assert_eq!(code, NO_TOKEN, "{said}");
    assert!(said.contains("server: somebody") && said.contains("longer than 1 MiB"), "{said}");
}

#[tokio::test]
async fn a_response_that_does_not_come() {
    // Bound, and never accepted from: the connection is made, and that is all.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = BODY.replace("URL", &format!("http://{}", silent.local_addr().unwrap()))
        + "\n[refresh]\nfetch_timeout = '100ms'\n";
    let (said, code) = run_with(&config, "", false).await;
    assert_eq!(code, NO_TOKEN, "{said}");
    assert!(said.starts_with("Request\n") && said.contains("took too long"), "{said}");
    assert!(!said.contains("next attempt"), "{said}");
}

/// The library's hint is the only advice: two sources would contradict each other.
#[tokio::test]
async fn one_source_of_advice() {
    let dqe = format!(
        "{BODY}[fetcher.hint]\nunsupported_grant_type = 'check the scope: this is how DQE calls it'\n"
    );
    let public = "url = 'URL/token'\nclient_id = 'the-id'\nauth = 'none'\n";
    let code = |code: &str| format!(r#"{{"error":"{code}"}}"#);
    for (config, status, body, says, not) in [
        (
            &*dqe,
            "400 No",
            "400 Error (Unsupported Grant Type)",
            "check the scope: this is",
            "may use",
        ),
        (BODY, "400 No", &code("invalid_client"), "check the client's id and secret", "console"),
        (BODY, "404 No", &code("application_not_found"), "check the client's id", "URL"),
        (BODY, "404 No", "", "check the URL", "secret"),
        (BODY, "403 No", "", "check the scope", "id and secret"),
        (public, "401 No", "", "whether the server wants a secret", "id and secret"),
        (public, "401 No", &code("invalid_client"), "whether the server wants", "id and secret"),
    ] {
        let (said, code) = run_with(config, &response(status, "", body), false).await;
        assert_eq!(code, NO_TOKEN, "{said}");
        let (_, verdict) = said.split_once("No token\n").unwrap();
        assert!(verdict.contains(says), "{says}: {said}");
        assert!(!verdict.contains(not), "{not}: {said}");
    }
}

/// What a server says is the point of asking it.
#[tokio::test]
async fn errors_are_shown_in_clear() {
    for body in [
        r#"{"error":"invalid_scope","error_description":"no such scope as blue"}"#,
        r#"{"errorCode":"invalid_scope","errorSummary":"no such scope as blue"}"#,
        r#"{"error":{"code":"invalid_scope","message":"no such scope as blue"}}"#,
        r#"{"errors":[{"code":"invalid_scope","detail":"no such scope as blue"}]}"#,
        r#"{"title":"invalid_scope","detail":"no such scope as blue","trace":"abcdef"}"#,
    ] {
        let (said, _) = run_with(BODY, &response("400 No", "", body), false).await;
        let (before, verdict) = said.split_once("No token\n").unwrap();
        let (_, shown) = before.split_once("Response\n").unwrap();
        for part in [shown, verdict] {
            assert!(part.contains("invalid_scope") && part.contains("scope as blue"), "{said}");
        }
        assert!(!said.contains("abcdef"), "{said}");
        let said =
            run_with(BODY, &response("400 No", "", &body.replace("blue", "SECRET")), false).await;
        shows_nothing(&said.0);
    }
}

/// Not the firewall's fault.
#[tokio::test]
async fn tls_to_a_plain_port() {
    let config = BODY.replace("URL", "HTTPS");
    let (said, code) = run_with(&config, "HTTP/1.1 400 Bad Request\r\n\r\n", false).await;
    assert_eq!(code, NO_TOKEN, "{said}");
    assert!(said.contains("does not speak TLS") && said.contains("check the scheme"), "{said}");
    assert!(!said.contains("firewall"), "{said}");
}

/// The tool goes where the program goes.
#[tokio::test]
async fn the_proxy_of_the_configuration() {
    let config =
        BODY.replace("URL", "http://idp.invalid") + "insecure_allow_http = true\nproxy = 'URL'\n";
    let (said, code) = run_with(&config, &response("200 OK", "", GOOD), false).await;
    assert_eq!(code, TOKEN, "{said}");
    assert!(said.contains("POST http://idp.invalid/token"), "{said}");
}

#[tokio::test]
async fn a_token_that_had_expired() {
    for lifetime in ["0", "-1", r#""0""#, r#"" -5 ""#, r#""0.0""#] {
        let body = format!(r#"{{"access_token":"TOKEN","expires_in":{lifetime}}}"#);
        let (said, _) = run_with(BODY, &response("200 OK", "", &body), false).await;
        assert!(said.contains("expired before it arrived"), "{lifetime}: {said}");
    }
}

#[tokio::test]
async fn a_server_that_asks_for_patience() {
    let response =
        response("503 Later", "Retry-After: 77\r\n", r#"{"error":"a; next attempt in b"}"#);
    let (said, code) = run_with(BODY, &response, false).await;
    assert_eq!(code, NO_TOKEN, "{said}");
    assert!(said.contains("a; next attempt in b; it asks to wait for 77 s\n"), "{said}");
}

/// What is said to a server whose certificate is made like this, and named with `--ca`.
async fn with_certificate(change: impl FnOnce(&mut rcgen::CertificateParams)) -> String {
    let mut params = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    change(&mut params);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let der = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    let tls = rustls::ServerConfig::builder_with_provider(
        rustls::crypto::ring::default_provider().into(),
    )
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(vec![certificate.der().clone()], der)
    .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let _ = acceptor.accept(tcp).await;
        }
    });
    let base = std::env::temp_dir().join(format!("fetch-token-{}", listener_name(&url)));
    let (config, ca) = (base.with_extension("toml"), base.with_extension("pem"));
    fs::write(&config, format!("[fetcher]\n{}", BODY.replace("URL", &url))).unwrap();
    fs::write(&ca, certificate.pem()).unwrap();
    let (said, code) = run_and_remove(config, ca, &[]).await;
    assert_eq!(code, Ok(NO_TOKEN), "{said}");
    said
}

/// Runs it with these files, and removes the first two.
async fn run_and_remove(
    config: PathBuf,
    ca: PathBuf,
    cert: &[PathBuf],
) -> (String, Result<u8, String>) {
    let arguments = Arguments {
        config: config.clone(),
        ca: Some(ca.clone()),
        cert: cert.to_vec(),
        dry_run: false,
    };
    let out = Arc::new(Mutex::new(Vec::new()));
    let sink: Arc<Mutex<dyn Write + Send>> = out.clone();
    let code = run(&arguments, sink).await;
    fs::remove_file(config).unwrap();
    fs::remove_file(ca).unwrap();
    let said = String::from_utf8(std::mem::take(&mut *out.lock().unwrap())).unwrap();
    (said, code)
}

/// A port is nobody else's as long as it is bound.
fn listener_name(url: &str) -> &str {
    url.rsplit(':').next().unwrap_or_default()
}

#[tokio::test]
async fn a_certificate_that_no_client_takes() {
    let ca = with_certificate(|params| {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    });
    let said = ca.await;
    assert!(said.contains("basicConstraints=critical,CA:FALSE"), "{said}");
    let said = with_certificate(|params| {
        params.subject_alt_names = vec![rcgen::SanType::DnsName("other".try_into().unwrap())];
    });
    let said = said.await;
    assert!(said.contains("does not name the host") && said.contains("subjectAltName"), "{said}");
}

/// One certificate is the server's and the client's, and signed by itself.
#[tokio::test]
async fn a_server_that_wants_a_certificate() {
    use rustls::{RootCertStore, ServerConfig, server::WebPkiClientVerifier};
    let params = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
    let der = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    let tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(vec![certificate.der().clone()], der)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
    let server = tower_oauth::testing::AuthorizationServer::new();
    server.client_without_secret("the-id");
    let listener = server.listen_tls(move |tcp| acceptor.accept(tcp)).await.unwrap();
    let base = std::env::temp_dir().join(format!("fetch-token-{}", listener.addr().port()));
    let (config, ca) = (base.with_extension("toml"), base.with_extension("ca"));
    let cert = [base.with_extension("crt"), base.with_extension("key")];
    fs::write(&cert[0], certificate.pem()).unwrap();
    fs::write(&cert[1], key.serialize_pem()).unwrap();
    let url = listener.uri("/token");
    for (auth, cert, expected, says) in [
        ("tls_client_auth", &cert[..], Ok(TOKEN), "client_id = the-id"),
        ("none", &[], Ok(NO_TOKEN), "`client_identity`"),
    ] {
        let text = format!("url = '{url}'\nclient_id = 'the-id'\nauth = '{auth}'\nscope = 'a b'\n");
        fs::write(&config, format!("[fetcher]\n{text}")).unwrap();
        fs::write(&ca, certificate.pem()).unwrap();
        let (said, code) = run_and_remove(config.clone(), ca.clone(), cert).await;
        assert_eq!(code, expected, "{said}");
        assert!(said.contains(says) && !said.contains("PRIVATE"), "{said}");
    }
    cert.iter().for_each(|file| fs::remove_file(file).unwrap());
}

#[tokio::test]
async fn the_scope_that_is_granted() {
    let config = format!("{BODY}scope = 'read write'\n");
    let granted = GOOD.replace('}', r#","scope":"read all"}"#);
    let (said, code) = run_with(&config, &response("200 OK", "", &granted), false).await;
    assert_eq!(code, TOKEN, "{said}");
    for part in ["asked: read write; granted: read all", "write is missing", "not asked for: all"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    shows_nothing(&said);
}

/// What is public stays so under another name, unless that is the secret's.
#[tokio::test]
async fn a_scope_by_another_name() {
    let config = format!("{BODY}scope = 'read write'\nrename_param = {{ scope = 'scopes' }}\n");
    let granted = GOOD.replace('}', r#","scope":"read"}"#);
    let (said, code) = run_with(&config, &response("200 OK", "", &granted), false).await;
    assert_eq!(code, TOKEN, "{said}");
    for part in ["scopes = read write  (", "asked: read write; granted: read\n", "write is missing"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    let config = config.replace("scopes", "a").replace("'a' }", "'a', client_secret = 'scope' }");
    let (said, _) = run_with(&config, &response("200 OK", "", &granted), false).await;
    assert!(said.contains("a = read write") && said.contains("asked: read write"), "{said}");
    shows_nothing(&said);
}

/// Some servers send a list. Words are words in either.
#[tokio::test]
async fn a_scope_that_is_granted_as_a_list() {
    let config = format!("{BODY}scope = 'read write'\n");
    let body = |scope| GOOD.replace('}', &format!(r#","scope":{scope}}}"#));
    for (scope, granted, odd) in [
        (r#"["read","all"]"#, "granted: read all\n", "grants a scope that was not asked for: all"),
        (r#"["write","read"]"#, "granted: write read\n", "a list, not a string"),
        ("[]", "granted: \n", "read write is missing"),
        ("[1]", "granted: not as a string", "The scope is neither a string nor a list of them."),
        ("null", "granted: not said", ""),
    ] {
        let (said, code) = run_with(&config, &response("200 OK", "", &body(scope)), false).await;
        assert_eq!(code, TOKEN, "{said}");
        assert!(said.contains(granted) && said.contains(odd), "{scope}: {said}");
    }
    let echo = body(r#"["SECRET","TOKEN"]"#);
    shows_nothing(&run_with(&config, &response("200 OK", "", &echo), false).await.0);
}

/// Not the configuration's fault.
#[tokio::test]
async fn a_certificate_on_the_command_line_that_cannot_be_used() {
    let base = std::env::temp_dir().join(format!("fetch-token-ca-{}", std::process::id()));
    let (config, ca) = (base.with_extension("toml"), base.with_extension("pem"));
    for (in_file, blamed) in [("", "--ca or --cert: "), ("ca_certificate = 'hm'", ".toml: ")] {
        let text = BODY.replace("URL", "https://idp.invalid");
        fs::write(&config, format!("[fetcher]\n{text}{in_file}\n")).unwrap();
        fs::write(&ca, "no certificate").unwrap();
        let (said, code) = run_and_remove(config.clone(), ca.clone(), &[]).await;
        let why = code.unwrap_err();
        assert!(why.contains(blamed) && why.contains("`ca_certificate`"), "{said}{why}");
    }
}
