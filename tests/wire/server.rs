//! Servers whose every byte is ours, to see what becomes of connections.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use rcgen::{CertificateParams, Issuer, KeyPair};
use rustls::{ServerConfig, pki_types::PrivatePkcs8KeyDer};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use tower_oauth::{TokenEndpoint, token_endpoint::TokenEndpointBuilder};

use crate::OK;

/// What becomes of one connection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Act {
    /// It is closed, or reset, before anything is read.
    CloseAtOnce,
    ResetAtOnce,
    /// It is closed, or reset, when the request is there.
    Close,
    Reset,
    /// The response breaks off in its head, or in its body.
    BreakOff,
    BreakOffInBody,
    /// HTTP/2: this stream is reset for a reason, or the connection goes away for one.
    ResetStream(u32),
    GoAway(u32),
    /// Nothing comes, and nothing ends.
    Silent,
    Status(u16),
    Ok,
}

/// A server that does these things with its connections, one after the other, and keeps to the last.
pub(crate) struct Server {
    url: String,
    ca: Option<String>,
    accepted: Arc<AtomicUsize>,
    closed: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// HTTP/1.1 without TLS.
    pub(crate) async fn plain(acts: &[Act]) -> Self {
        Self::start(acts, None, false).await
    }

    /// HTTP/2 over TLS.
    pub(crate) async fn h2(acts: &[Act]) -> Self {
        Self::start(acts, Some(Certificate::of(|_| {})), true).await
    }

    /// HTTP/1.1 over TLS.
    pub(crate) async fn tls(acts: &[Act], certificate: Certificate) -> Self {
        Self::start(acts, Some(certificate), false).await
    }

    async fn start(acts: &[Act], tls: Option<Certificate>, h2: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let server = Self {
            url: format!("{scheme}://{}/token", listener.local_addr().unwrap()),
            ca: tls.as_ref().map(|tls| tls.ca.clone()),
            accepted: Arc::default(),
            closed: Arc::default(),
            requests: Arc::default(),
        };
        let acceptor = tls.map(|tls| tls.acceptor(if h2 { b"h2" } else { b"http/1.1" }));
        let (accepted, closed) = (Arc::clone(&server.accepted), Arc::clone(&server.closed));
        let (requests, acts) = (Arc::clone(&server.requests), acts.to_vec());
        tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let number = accepted.fetch_add(1, Ordering::SeqCst);
                let act = acts[number.min(acts.len() - 1)];
                if matches!(act, Act::ResetAtOnce | Act::Reset) {
                    reset_when_dropped(&tcp);
                }
                if matches!(act, Act::CloseAtOnce | Act::ResetAtOnce) {
                    continue;
                }
                let (acceptor, closed) = (acceptor.clone(), Arc::clone(&closed));
                let requests = Arc::clone(&requests);
                tokio::spawn(async move {
                    let _ = match acceptor {
                        None => h1(tcp, act, &requests).await,
                        Some(acceptor) => match acceptor.accept(tcp).await {
                            Ok(tls) if h2 => h2_connection(tls, act, &requests).await,
                            Ok(tls) => h1(tls, act, &requests).await,
                            Err(error) => Err(error),
                        },
                    };
                    closed.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        server
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// An endpoint here, whose certificate is trusted.
    pub(crate) fn builder(&self) -> TokenEndpointBuilder {
        let builder = TokenEndpoint::builder(&self.url).client_id("id").client_secret("secret");
        match &self.ca {
            Some(ca) => builder.ca_certificate(ca),
            None => builder,
        }
    }

    /// How many connections there were.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// How many have ended.
    pub(crate) fn closed(&self) -> usize {
        self.closed.load(Ordering::SeqCst)
    }

    /// Head and body of each HTTP/1.1 request; nothing but a dot for one over HTTP/2.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn reset_when_dropped(tcp: &TcpStream) {
    #[allow(deprecated)] // zero seconds block nobody
    tcp.set_linger(Some(std::time::Duration::ZERO)).unwrap();
}

/// A certificate authority, and a certificate of its for this machine.
pub(crate) struct Certificate {
    pub(crate) ca: String,
    config: ServerConfig,
}

impl Certificate {
    pub(crate) fn of(change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut ca = CertificateParams::new([]).unwrap();
        ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        ca.distinguished_name.push(rcgen::DnType::CommonName, "test authority");
        let ca_key = KeyPair::generate().unwrap();
        let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::new(ca, ca_key);
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let provider = rustls::crypto::ring::default_provider();
        let config = ServerConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        Self { ca: ca_pem, config }
    }

    pub(crate) fn acceptor(self, protocol: &[u8]) -> TlsAcceptor {
        let mut config = self.config;
        config.alpn_protocols = vec![protocol.to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}

/// One request: its head and its body.
pub(crate) async fn read_request<IO: AsyncRead + Unpin>(io: &mut IO) -> io::Result<String> {
    let mut read = Vec::new();
    loop {
        let mut byte = [0];
        io.read_exact(&mut byte).await?;
        read.push(byte[0]);
        if !read[0].is_ascii_alphabetic() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let text = String::from_utf8_lossy(&read).to_ascii_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
            return Ok(String::from_utf8(read).unwrap());
        }
    }
}

/// Serves every request of a connection, as servers do who keep it.
async fn h1<IO: AsyncRead + AsyncWrite + Unpin>(
    mut io: IO,
    act: Act,
    requests: &Mutex<Vec<String>>,
) -> io::Result<()> {
    loop {
        let request = match read_request(&mut io).await {
            // What servers say to who speaks TLS to them.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return io.write_all(response(400, "").as_bytes()).await;
            }
            request => request?,
        };
        requests.lock().unwrap().push(request);
        let response = match act {
            Act::Ok => response(200, OK),
            Act::Status(status) => response(status, "{}"),
            Act::BreakOff => "HTTP/1.1 200 OK\r\nContent-Le".to_owned(),
            Act::BreakOffInBody => response(200, OK).split_at(100).0.to_owned(),
            Act::Silent => io.read_to_end(&mut Vec::new()).await.map(|_| String::new())?,
            _ => String::new(),
        };
        io.write_all(response.as_bytes()).await?;
        if !matches!(act, Act::Ok | Act::Status(_)) {
            return Ok(());
        }
    }
}

pub(crate) fn response(status: u16, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} Whatever\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Serves every stream of an HTTP/2 connection (RFC 9113).
async fn h2_connection<IO: AsyncRead + AsyncWrite + Unpin>(
    mut io: IO,
    act: Act,
    requests: &Mutex<Vec<String>>,
) -> io::Result<()> {
    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    const SETTINGS: u8 = 4;
    const GOAWAY: u8 = 7;
    const END_STREAM: u8 = 1;
    const ACK: u8 = 1;
    const END_HEADERS: u8 = 4;
    io.read_exact(&mut [0; b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len()]).await?;
    io.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
    loop {
        let mut head = [0; 9];
        io.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        io.read_exact(&mut vec![0; length as usize]).await?;
        let (kind, flags) = (head[3], head[4]);
        if kind == SETTINGS && flags & ACK == 0 {
            io.write_all(&frame(SETTINGS, ACK, 0, &[])).await?;
        }
        if !matches!(kind, DATA | HEADERS) || flags & END_STREAM == 0 {
            continue;
        }
        requests.lock().unwrap().push(".".to_owned());
        let frames = match act {
            Act::Ok => [
                // `:status: 200` is number 8 of HPACK's table.
                frame(HEADERS, END_HEADERS, stream, &[0x88]),
                frame(DATA, END_STREAM, stream, OK.as_bytes()),
            ]
            .concat(),
            Act::ResetStream(reason) => frame(RST_STREAM, 0, stream, &reason.to_be_bytes()),
            Act::GoAway(reason) => {
                frame(GOAWAY, 0, 0, &[0_u32.to_be_bytes(), reason.to_be_bytes()].concat())
            }
            Act::Silent => io.read_to_end(&mut Vec::new()).await.map(|_| Vec::new())?,
            _ => return Ok(()),
        };
        io.write_all(&frames).await?;
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}
