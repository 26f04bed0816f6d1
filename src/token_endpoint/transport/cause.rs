//! Why no response came, in words.

use std::{error::Error as StdError, io};

use zeroize::Zeroizing;

#[cfg(feature = "client-no-provider")]
use super::client::ThroughProxy;

/// Why no response came, and what to check.
pub(super) struct Cause {
    pub(super) says: String,
    pub(super) hint: Option<&'static str>,
    /// There was a connection, and it ended before a response. A new one may do better at once.
    pub(super) ended: bool,
}

impl Cause {
    /// The cause that is furthest down, if it is one that is known. What a client says may have the
    /// URL in it, so the words are ours.
    pub(super) fn find(error: &(dyn StdError + 'static)) -> Option<Self> {
        let cause = chain(error).filter_map(Self::of).last();
        #[cfg(feature = "client-no-provider")]
        if let Some(proxy) = chain(error).find_map(|error| error.downcast_ref::<ThroughProxy>()) {
            let (says, ended) = cause.map_or_else(
                || (String::from("it cannot be used"), false),
                |cause| (cause.says, cause.ended),
            );
            return Some(Self { says: format!("{proxy}: {says}"), hint: Some(CHECK_PROXY), ended });
        }
        cause
    }

    fn of(error: &(dyn StdError + 'static)) -> Option<Self> {
        let text = Zeroizing::new(error.to_string().to_ascii_lowercase());
        if let Some((_, says, hint)) = KNOWN.iter().find(|(words, ..)| text.contains(words)) {
            return Some(Self { says: (*says).to_owned(), hint: Some(hint), ended: false });
        }
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if ENDED.iter().any(|words| text.contains(words)) || kind.is_some_and(is_end) {
            return Some(Self { says: CLOSED.to_owned(), hint: None, ended: true });
        }
        let kind = kind.filter(|kind| *kind != io::ErrorKind::Other)?;
        Some(Self { says: kind.to_string(), hint: Some(CHECK_NETWORK), ended: false })
    }
}

/// The error and what led to it.
pub(super) fn chain<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        // Its `source` would be the source of this one, which would be left out.
        inner.map(|inner| inner as _).or_else(|| error.source())
    })
}

fn is_end(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(kind, BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

const CLOSED: &str = "the connection was closed before a response came";
const NO_NAME: &str = "the host name cannot be resolved (DNS)";

const CHECK_NAME: &str = "check the host in `url`, and the network or VPN";
const CHECK_PORT: &str = "check the host and the port of `url`, or of the proxy";
const CHECK_SCHEME: &str = "check the scheme and the port of `url`";
const CHECK_NETWORK: &str = "check the network, the proxy and the firewall";
#[cfg(feature = "client-no-provider")]
const CHECK_PROXY: &str = "check the proxy, and the user name and password in its URL";
const CHECK_CLOCK: &str = "check this machine's clock and the dates of the server's certificate";
const TRUST: &str = "add a certificate that the platform does not know with `ca_certificate`, \
                     or to the client that `build_with` was given";
const NO_CA: &str = "the server needs a certificate of its own: `openssl req -x509 -addext basicConstraints=critical,CA:FALSE`";
const NAME: &str = "the certificate must name the host: `openssl req -addext subjectAltName=DNS:<host>`, or `IP:<address>`";
const CLIENT: &str = "check the host in `url`, and whether the server asks for a client certificate \
                      and knows it (`client_identity`)";

/// What rustls, hyper, hyper-util and resolvers say, in lower case; what it means; what to check.
const KNOWN: [(&str, &str, &str); 13] = [
    ("unknownissuer", "the server's certificate is not trusted (UnknownIssuer)", TRUST),
    ("causedasendentity", "the server presents the certificate of a certificate authority", NO_CA),
    ("not valid for name", "the server's certificate does not name the host", NAME),
    ("certificate expired", "the server's certificate has expired", CHECK_CLOCK),
    ("certificate not valid yet", "the server's certificate is not valid yet", CHECK_CLOCK),
    ("peer certificate", "the server's certificate is not accepted", TRUST),
    ("fatal alert", "the server refused the TLS handshake", CLIENT),
    ("corrupt message", "the server does not speak TLS", CHECK_SCHEME),
    ("invalid http version", "the server does not speak HTTP", CHECK_SCHEME),
    ("dns error", NO_NAME, CHECK_NAME),
    ("lookup address", NO_NAME, CHECK_NAME),
    ("connection refused", "connection refused", CHECK_PORT),
    ("authorization required", "the proxy requires a user name and a password", CHECK_NETWORK),
];

/// What they say if a connection ended too early.
const ENDED: [&str; 9] = [
    "closed before message completed",
    "connection closed",
    "channel closed",
    "operation was canceled",
    "stream error received",
    "connection error received",
    "broken pipe",
    "connection reset",
    "end of file",
];
