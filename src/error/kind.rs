/// The kinds of [`Error`](crate::Error).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A value of the configuration cannot be used; [`Error::field`](crate::Error::field) names it.
    Config,
    /// No token stayed usable for as long as the inner service took to become ready.
    Expired,
    /// The fetcher failed before it asked, or with an error that is not of this crate: a secret's
    /// file or environment variable that is not there.
    Fetcher,
    /// The request would take a token over plain HTTP to a host that is not this machine.
    InsecureOrigin,
    /// The token endpoint answered, but what it said is no token that can be used.
    InvalidResponse,
    /// There is no tokio runtime with timers here to fetch a token on.
    NoRuntime,
    /// The fetcher panicked.
    Panicked,
    /// A fetch asked the very cache that it is fetching for.
    Recursive,
    /// The authorization server refused: the same request will be refused again until somebody
    /// changes something (RFC 6749 §5.2).
    Denied,
    /// The request cannot take one more header.
    TooManyHeaders,
    /// The fetch took longer than it may.
    Timeout,
    /// The token endpoint could not be reached, or said that it cannot answer now.
    Unavailable,
}

impl ErrorKind {
    pub(super) fn is_transient(self) -> bool {
        match self {
            Self::Expired
            | Self::Fetcher
            | Self::InvalidResponse
            | Self::Panicked
            | Self::Timeout
            | Self::Unavailable => true,
            Self::Config
            | Self::InsecureOrigin
            | Self::NoRuntime
            | Self::Recursive
            | Self::Denied
            | Self::TooManyHeaders => false,
        }
    }

    pub(super) fn message(self) -> &'static str {
        match self {
            Self::Config => "invalid configuration",
            Self::Expired => {
                "every token expired while the inner service was getting ready; \
                 it is slower than the tokens live"
            }
            Self::Fetcher => "fetching an access token failed",
            Self::InsecureOrigin => {
                "refused to send an access token over plain HTTP; \
                 use https, or name the origin with `OAuthLayer::origin`"
            }
            Self::InvalidResponse => "the token endpoint's answer is no usable token",
            Self::NoRuntime => {
                "fetching an access token needs a tokio runtime with timers, \
                 and there is none here"
            }
            Self::Panicked => "the token fetcher panicked",
            Self::Recursive => "the token fetcher asked the cache that it is fetching for",
            Self::Denied => "the authorization server refused to give a token",
            Self::TooManyHeaders => {
                "the request cannot take an Authorization header: it has too many"
            }
            Self::Timeout => "fetching an access token took too long",
            Self::Unavailable => "the token endpoint is unavailable",
        }
    }
}
