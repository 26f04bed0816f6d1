//! Proxies: which one is used, and what it sees.

use std::{
    process::Command,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tower_oauth::{
    ErrorKind,
    token_endpoint::{Secret, TokenEndpointBuilder},
};

use crate::{
    OK, builder, fetch, printed,
    server::{Act, Certificate, Server, read_request, response},
};

/// A proxy that keeps what it is asked for. It tunnels to `to` whatever the name, and sends a token
/// itself if it is given the whole URL.
struct Proxy {
    authority: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    async fn start(to: Option<&Server>) -> Self {
        Self::with(to, None, "HTTP/1.1 200 Connected\r\n\r\n").await
    }

    async fn with(to: Option<&Server>, tls: Option<Certificate>, connected: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let log = Arc::clone(&asked);
        let to = to.map(|server| server.url().split('/').nth(2).unwrap().to_owned());
        let tls = tls.map(|tls| tls.acceptor(b"http/1.1"));
        tokio::spawn(async move {
            loop {
                let (mut tcp, _) = listener.accept().await.unwrap();
                let (log, to, tls) = (Arc::clone(&log), to.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => proxy(&mut tcp, &log, to, connected).await,
                        Some(tls) => {
                            if let Ok(mut tls) = tls.accept(tcp).await {
                                proxy(&mut tls, &log, to, connected).await;
                            }
                        }
                    }
                });
            }
        });
        Self { authority, asked }
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

async fn proxy<IO: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
    io: &mut IO,
    log: &Mutex<Vec<String>>,
    to: Option<String>,
    connected: &str,
) {
    let Ok(request) = read_request(io).await else { return };
    let is_tunnel = request.starts_with("CONNECT ");
    log.lock().unwrap().push(request);
    if !is_tunnel {
        let _ = io.write_all(response(200, OK).as_bytes()).await;
        return;
    }
    let _ = io.write_all(connected.as_bytes()).await;
    if let Some(to) = to.filter(|_| connected.contains(" 200 ")) {
        let mut to = TcpStream::connect(to).await.unwrap();
        let _ = copy_bidirectional(io, &mut to).await;
    }
}

/// A server that is known by a name that no resolver knows.
async fn server() -> Server {
    let certificate = Certificate::of(|params| {
        let name = rcgen::SanType::DnsName("idp.invalid".try_into().unwrap());
        params.subject_alt_names = vec![name];
    });
    Server::tls(&[Act::Ok], certificate).await
}

const HTTPS: &str = "https://idp.invalid/token";
const HTTP: &str = "http://idp.invalid/token";

fn plain() -> TokenEndpointBuilder {
    builder().url(HTTP).insecure_allow_http()
}

#[tokio::test]
async fn a_tunnel_for_https() {
    let server = server().await;
    let proxy = Proxy::start(Some(&server)).await;
    let through = |userinfo: &str| {
        server.builder().url(HTTPS).proxy(format!("http://{userinfo}{}", proxy.authority))
    };
    fetch(through("").build().unwrap()).await.unwrap();
    let [asked] = &proxy.asked()[..] else { panic!("not once") };
    assert!(asked.starts_with("CONNECT idp.invalid:443 HTTP/1.1\r\n"), "{asked}");
    assert!(!asked.to_ascii_lowercase().contains("authorization"), "{asked}");
    // What is in the tunnel is as if there were none.
    let request = server.requests().pop().unwrap().to_ascii_lowercase();
    assert!(
        request.starts_with("post /token http/1.1\r\nhost: idp.invalid\r\n")
            || request.contains("\r\nhost: idp.invalid\r\n"),
        "{request}"
    );

    fetch(through("me:p%40ss@").build().unwrap()).await.unwrap();
    let [asked] = &proxy.asked()[..] else { panic!("not once") };
    // `me:p@ss`
    assert!(asked.contains("\r\nProxy-Authorization: Basic bWU6cEBzcw==\r\n"), "{asked}");
    let request = server.requests().pop().unwrap().to_ascii_lowercase();
    assert!(!request.contains("proxy-"), "{request}");
}

#[tokio::test]
async fn the_whole_url_for_http() {
    let proxy = Proxy::start(None).await;
    let through = |userinfo: &str| plain().proxy(format!("http://{userinfo}{}", proxy.authority));
    fetch(through("").build().unwrap()).await.unwrap();
    let [asked] = &proxy.asked()[..] else { panic!("not once") };
    assert!(asked.starts_with("POST http://idp.invalid/token HTTP/1.1\r\n"), "{asked}");
    // One that is set is for this machine too.
    let here = through("").url("http://127.0.0.1:1/token");
    fetch(here.build().unwrap()).await.unwrap();
    assert!(proxy.asked()[0].starts_with("POST http://127.0.0.1:1/token HTTP/1.1\r\n"));
    fetch(through("me:p%40ss@").build().unwrap()).await.unwrap();
    let [asked] = &proxy.asked()[..] else { panic!("not once") };
    let asked = asked.to_ascii_lowercase();
    assert!(asked.contains("\r\nproxy-authorization: basic bwu6cebzcw==\r\n"), "{asked}");
}

#[tokio::test]
async fn a_proxy_that_speaks_tls() {
    let server = server().await;
    let certificate = Certificate::of(|_| {});
    let ca = certificate.ca.clone();
    let proxy =
        Proxy::with(Some(&server), Some(certificate), "HTTP/1.1 200 OK\r\nVia: 1.1 me\r\n\r\n")
            .await;
    let url = format!("https://{}", proxy.authority);
    let through = server.builder().url(HTTPS).ca_certificate(&ca).proxy(&url);
    fetch(through.build().unwrap()).await.unwrap();
    fetch(plain().ca_certificate(ca).proxy(url).build().unwrap()).await.unwrap();
    let asked = proxy.asked();
    assert!(asked[0].starts_with("CONNECT idp.invalid:443 "), "{asked:?}");
    assert!(asked[1].starts_with("POST http://idp.invalid/token "), "{asked:?}");
}

#[tokio::test]
async fn a_proxy_that_speaks_socks() {
    let server = server().await;
    let to = server.url().split('/').nth(2).unwrap().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("socks5h://me:secret@{}", listener.local_addr().unwrap());
    let seen = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        // RFC 1928 and RFC 1929: methods, user and password, and a host by its name.
        let mut seen = Vec::new();
        for reply in [&[5, 2][..], &[1, 0], &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]] {
            let mut buf = [0; 256];
            let read = tcp.read(&mut buf).await.unwrap();
            seen.extend_from_slice(&buf[..read]);
            tcp.write_all(reply).await.unwrap();
        }
        let mut to = TcpStream::connect(to).await.unwrap();
        let _ = copy_bidirectional(&mut tcp, &mut to).await;
        String::from_utf8_lossy(&seen).into_owned()
    });
    fetch(server.builder().url(HTTPS).proxy(url).build().unwrap()).await.unwrap();
    let seen = seen.await.unwrap();
    assert!(seen.contains("idp.invalid") && seen.contains("secret"), "{seen:?}");
}

/// The proxy is named, its password is not.
#[tokio::test]
async fn a_proxy_that_does_not_help() {
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let wants = Proxy::with(None, None, "HTTP/1.1 407 No\r\n\r\n").await;
    let refuses = Proxy::with(None, None, "HTTP/1.1 403 No\r\n\r\n").await;
    let closes = Proxy::with(None, None, "").await;
    for (scheme, at, cause, hint) in [
        ("http", &gone, "connection refused", "check the proxy"),
        ("socks5", &gone, "cannot be used", "check the proxy"),
        ("http", &wants.authority, "a user name and a password", "in its URL"),
        ("http", &refuses.authority, "cannot be used", "check the proxy"),
        ("http", &closes.authority, "closed", "check the proxy"),
    ] {
        for query in ["", "?key=s3cr3tkey"] {
            let through = builder()
                .url(format!("{HTTPS}{query}"))
                .proxy(format!("{scheme}://me:s3cr3tkey@{at}"));
            let error = fetch(through.build().unwrap()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            let said = error.to_string();
            for part in ["idp.invalid", at, cause, hint] {
                assert!(said.contains(part), "{scheme}: {part} in {said}");
            }
            assert!(!printed(&error).contains("s3cr3t"), "{}", printed(&error));
        }
    }
    // A connection through a proxy is a connection: one more attempt.
    assert_eq!(closes.asked().len(), 4);
}

#[test]
fn a_setting_that_is_none() {
    for bad in ["", "nonsense nonsense", "ftp://h", "http://", "socks4://h"] {
        let error = builder().proxy(bad).build().unwrap_err();
        assert_eq!((error.kind(), error.field()), (ErrorKind::Config, Some("proxy")), "{bad}");
    }
    let shown = format!("{:?}", builder().proxy("http://me:s3cr3tkey@proxy.example.com"));
    assert!(!shown.contains("s3cr3t"), "{shown}");
    for good in ["proxy.example.com:3128", "http://proxy.example.com", "socks5://10.0.0.1:1080"] {
        builder().proxy(good).build().unwrap();
    }
}

/// The client's settings are for the client that `build` makes.
#[test]
fn settings_of_a_client_that_exists() {
    let http = tower::service_fn(|_: http::Request<bytes::Bytes>| async {
        Ok::<_, std::convert::Infallible>(http::Response::new(OK.to_owned()))
    });
    let pem = Certificate::of(|_| {}).ca;
    let first = builder().build_with(http).unwrap();
    let built = builder().ca_certificate(&pem).build().unwrap();
    type Change = fn(TokenEndpointBuilder, &str) -> TokenEndpointBuilder;
    for (field, set) in [
        ("proxy", (|builder, _| builder.proxy("http://h")) as Change),
        ("ca_certificate", |builder, pem| builder.ca_certificate(pem)),
        ("client_identity", |builder, pem| builder.client_identity(pem)),
    ] {
        for error in [
            set(builder(), &pem).build_with(http).unwrap_err(),
            first.derive(|builder| set(builder, &pem)).unwrap_err(),
            built.derive(|builder| set(builder, &pem)).unwrap_err(),
        ] {
            assert_eq!((error.kind(), error.field()), (ErrorKind::Config, Some(field)));
        }
    }
    // What the client was made with is still there.
    built.derive(|builder| builder.scope("other")).unwrap();
}

#[test]
fn certificates_that_are_none() {
    let broken = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
    for (field, builder) in [
        ("ca_certificate", builder().ca_certificate("no PEM at all")),
        ("ca_certificate", builder().ca_certificate(broken)),
    ] {
        let error = builder.build().unwrap_err();
        assert_eq!((error.kind(), error.field()), (ErrorKind::Config, Some(field)), "{error}");
    }
    let missing = builder().ca_certificate(Secret::file("/no/such/file")).build().unwrap_err();
    assert!(missing.to_string().contains("/no/such/file"), "{missing}");
}

/// The environment's proxies, in a process of its own: who is asked for the token, and what for.
#[test]
fn the_environment() {
    const CASE: &str = "TOWER_OAUTH_PROXY_CASE";
    if let Ok(url) = std::env::var(CASE) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let endpoint = builder().url(url).insecure_allow_http().build().unwrap();
        let fetched = runtime.block_on(fetch(endpoint));
        println!("outcome: {:?}", fetched.map_err(|error| error.to_string()));
        return;
    }
    let mut servers = tokio::runtime::Builder::new_multi_thread();
    let servers = servers.worker_threads(1).enable_all().build().unwrap();
    let proxy = servers.block_on(Proxy::start(None));
    let local = servers.block_on(Server::plain(&[Act::Ok]));
    let at = format!("http://{}", proxy.authority);
    let here = local.url();
    let by_name = here.replace("127.0.0.1", "localhost");
    let run = |url: &str, env: &[(&str, &str)]| {
        let mut this = Command::new(std::env::current_exe().unwrap());
        this.args(["--exact", "proxies::the_environment", "--nocapture"]);
        for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
            this.env_remove(name).env_remove(name.to_ascii_uppercase());
        }
        let output = this.env(CASE, url).envs(env.iter().copied()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let asked = |url: &str, env: &[(&str, &str)]| {
        let said = run(url, env);
        (proxy.asked().first().map(|asked| asked.lines().next().unwrap().to_owned()), said)
    };
    let tunnel = Some("CONNECT idp.invalid:443 HTTP/1.1".to_owned());
    let whole = Some("POST http://idp.invalid/token HTTP/1.1".to_owned());
    for (url, env, by_proxy) in [
        (HTTPS, &[("HTTPS_PROXY", &*at)][..], &tunnel),
        (HTTPS, &[("https_proxy", &at)], &tunnel),
        (HTTPS, &[("ALL_PROXY", &at)], &tunnel),
        (HTTPS, &[("all_proxy", &proxy.authority)], &tunnel),
        (HTTP, &[("HTTP_PROXY", &at)], &whole),
        (HTTP, &[("http_proxy", &at)], &whole),
        (HTTPS, &[("HTTP_PROXY", &at)], &None),
        (HTTP, &[("HTTPS_PROXY", &at)], &None),
        (HTTPS, &[("HTTPS_PROXY", &at), ("NO_PROXY", "invalid")], &None),
        (HTTPS, &[("HTTPS_PROXY", &at), ("NO_PROXY", "a.example, .idp.invalid")], &None),
        (HTTPS, &[("HTTPS_PROXY", &at), ("no_proxy", "*")], &None),
        (HTTPS, &[("HTTPS_PROXY", &at), ("NO_PROXY", "other.invalid")], &tunnel),
    ] {
        let (asked, said) = asked(url, env);
        assert_eq!(asked, *by_proxy, "{env:?}: {said}");
    }
    // Never for this machine.
    for url in [here, &by_name] {
        let env = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"].map(|name| (name, &*at));
        let (asked, said) = asked(url, &env);
        assert_eq!(asked, None, "{url}");
        assert!(said.contains("outcome: Ok"), "{url}: {said}");
    }
}
