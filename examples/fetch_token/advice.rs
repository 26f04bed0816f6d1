//! What went wrong, and what to try next.

use std::{error::Error as _, fmt::Write};

use tower_oauth::{Error, ErrorKind};

pub(crate) fn on(error: &Error, own_certificate: bool) -> String {
    let said = error.to_string();
    // A cache makes a next attempt; this program does not.
    let said = match (error.retry_after(), said.rsplit_once("; next attempt in ")) {
        (Some(wait), Some((said, _))) => {
            format!("{said}; it asks to wait for {} s", wait.as_secs())
        }
        _ => said,
    };
    let mut out = format!("  {said}\n");
    let mut causes = String::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let _ = writeln!(out, "  because: {cause}");
        causes += &format!("{cause} {cause:?} ").to_lowercase();
        next = cause.source();
    }
    let said = error.description().unwrap_or_default().to_lowercase();
    let says = |what: &str| causes.contains(what) || said.contains(what);
    let status = error.status().map(|status| status.as_u16());
    let advice: &[&str] = match error.kind() {
        ErrorKind::Denied if matches!(status, Some(404 | 405 | 410)) => {
            &["Check that `url` is the token endpoint itself, down to the slash at its end."]
        }
        ErrorKind::Denied => match error.oauth_code() {
            Some("invalid_client" | "unauthorized_client") | None => &[
                "Compare id and secret with what the API's console shows, down to trailing spaces.",
                "Try another `auth`: \"basic\", \"basic_raw\" and \"body\" are all common.",
                "Make sure that they are for this host: test and production seldom share them.",
            ],
            Some("invalid_scope") => {
                &["Ask whoever runs the API how to spell `scope`, or try without it."]
            }
            Some("unsupported_grant_type") => &[
                "Ask whether the client may use the grant `client_credentials`.",
                "The server may look for the grant elsewhere: try another `param_encoding`.",
            ],
            Some("invalid_target") => &["Check `resource` and `audience`."],
            Some(_) => &[
                "Compare the parameters above with those in the API's documentation.",
                "Try another `param_encoding`: \"form\", \"json\" or \"query\".",
            ],
        },
        ErrorKind::Unavailable if says("causedasendentity") => &[
            "The server's certificate is a certificate authority's (`openssl req -x509` makes those),",
            "which a server must not use. Make one with `-addext basicConstraints=critical,CA:FALSE`.",
        ],
        ErrorKind::Unavailable if says("notvalidforname") => &[
            "The server's certificate does not name the host in `url`: use the name that it has, or",
            "make one with `-addext subjectAltName=DNS:<host>` (`IP:<address>`); a CN does not count.",
        ],
        ErrorKind::Unavailable if says("certificate") && own_certificate => {
            &["The certificate of --ca is not the one that this server uses."]
        }
        ErrorKind::Unavailable if says("certificate") => &[
            "If the server's certificate is self-signed, save it to a file and name it with --ca.",
        ],
        ErrorKind::Unavailable if says("dns") || says("lookup") => {
            &["The host's name is not known here: check `url`, and the network or VPN."]
        }
        ErrorKind::Unavailable if says("refused") => {
            &["Nothing listens there: check the host and the port in `url`."]
        }
        ErrorKind::Unavailable if status.is_none() => {
            &["Check the network, the proxy and the firewall between here and the host in `url`."]
        }
        ErrorKind::Unavailable => &["The server has a problem of its own, or asks you to wait."],
        ErrorKind::Timeout => {
            &["Check the network and the firewall; `fetch_timeout` in [refresh] allows more time."]
        }
        ErrorKind::InvalidResponse => &[
            "Check that `url` is the token endpoint itself, down to the slash at its end.",
            "If the token is elsewhere in the response, say where in [fetcher.response_field].",
        ],
        ErrorKind::Fetcher => &["Set what `client_secret` names in the configuration."],
        ErrorKind::Config => &["Change the field in the configuration that is named above."],
        _ => &[],
    };
    if !advice.is_empty() {
        out += "\n  What to try next:\n";
    }
    advice.iter().fold(out, |out, line| out + "  - " + line + "\n")
}
