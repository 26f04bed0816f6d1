//! What an error tells its reader to check.

use http::StatusCode;

use super::said::Said;

/// What to check, by code or by status, where an API's own documentation says more.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hints(pub(crate) Vec<(String, String)>);

impl Hints {
    /// The hint for the code, else for the status.
    pub(super) fn find(&self, status: StatusCode, code: Option<&str>) -> Option<&str> {
        let of = |key: &str| {
            self.0.iter().rev().find_map(|(known, hint)| (known == key).then_some(hint.as_str()))
        };
        code.and_then(of).or_else(|| of(status.as_str()))
    }
}

/// What to check, whatever the API is. An error is silent if it says nothing that may be shown.
pub(super) fn general(
    status: StatusCode,
    code: Option<&str>,
    said: &Said<'_>,
    is_silent: bool,
    sends_secret: bool,
) -> Option<&'static str> {
    Some(match (code.unwrap_or_default(), status.as_u16()) {
        ("unauthorized_client", _) => "check that the client may use this grant and scope",
        ("unsupported_grant_type", _) => {
            "check the grant type, and that the server reads parameters where they are sent"
        }
        ("invalid_scope", _) => "check the scope",
        ("invalid_target", _) => "check the resource and the audience",
        ("invalid_request", _) => "check which parameters the server wants, and where",
        ("access_denied" | "invalid_grant", _) => return None,
        ("invalid_client", _) | (_, 401) if sends_secret => {
            "check the client's id and secret, and how the server wants them sent (`auth`)"
        }
        ("invalid_client", _) | (_, 401) => {
            "check the client's id, and whether the server wants a secret from it or knows its \
             certificate (`auth`)"
        }
        (_, 300..=399) => "redirects are not followed; check the URL of the token endpoint",
        // An error of its own proves the endpoint.
        (_, 404 | 410) if said.is_of_endpoint(status) => {
            "check the client's id, and what it asks for"
        }
        (_, 404 | 410) => "check the URL of the token endpoint",
        (_, 405) => "check the method and the URL of the token endpoint",
        (_, 407) => "check the proxy",
        (_, 415) => "check how the parameters are encoded (`param_encoding`)",
        _ if said.is_page(status) => {
            "check the URL of the token endpoint, and any proxy in between"
        }
        (_, 403) => "check the scope, and that the client may get a token",
        (_, 400) if is_silent => "check which parameters the server wants, and where",
        _ => return None,
    })
}
