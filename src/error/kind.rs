/// The kinds of [`Error`](crate::Error).
///
/// Which of them are [transient](crate::Error::is_transient), so that the same request may succeed later
/// without anyone changing anything:
///
/// | transient | not |
/// |---|---|
/// | [`DeadlineExceeded`](Self::DeadlineExceeded), [`Expired`](Self::Expired), [`Fetcher`](Self::Fetcher), [`InvalidResponse`](Self::InvalidResponse), [`Panicked`](Self::Panicked), [`Timeout`](Self::Timeout), [`Unavailable`](Self::Unavailable) | [`Config`](Self::Config), [`Denied`](Self::Denied), [`InsecureOrigin`](Self::InsecureOrigin), [`NoRuntime`](Self::NoRuntime), [`Recursive`](Self::Recursive), [`TooManyHeaders`](Self::TooManyHeaders) |
///
/// [`Rejected`](Self::Rejected) is as transient as its cause. Without a cause the fetch of another token was
/// still under way, and it is transient. [`Fetcher`](Self::Fetcher) is, because a file may come
/// yet; a variable that is not set is [`Config`](Self::Config).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A value in the configuration cannot be used, and [`Error::field`](crate::Error::field) names it; or
    /// the environment variable of a secret is not set.
    Config,
    /// The deadline of a gRPC call, its `grpc-timeout`, passed before it could be sent with a token. The
    /// call was not sent, or not sent again.
    DeadlineExceeded,
    /// The authorization server refused to issue a token. It will refuse again until someone changes
    /// something (RFC 6749 §5.2).
    Denied,
    /// Each token expired before it could be sent: the inner service took too long to become ready, or the
    /// task to be polled.
    Expired,
    /// The fetcher failed before it sent a request, for example because the file of a secret is missing;
    /// or it failed with an error of another type, which is then the
    /// [`source`](std::error::Error::source) of this one and part of its text.
    Fetcher,
    /// The request would have taken a token over plain HTTP to another machine. It was not sent.
    InsecureOrigin,
    /// The token endpoint responded, but not with a token that can be used.
    InvalidResponse,
    /// A token has to be fetched, and there is no tokio runtime with timers here.
    NoRuntime,
    /// The fetcher panicked.
    Panicked,
    /// The fetcher asked the cache that it fetches for.
    Recursive,
    /// The resource server rejected the token, and no other token came with which to send the request again. The
    /// response was dropped, because the wait for one took longer than a second;
    /// [`Error::response_status`](crate::Error::response_status) has its status. If the fetch failed,
    /// the cause says why, and [`Error::retry_after`](crate::Error::retry_after) when it is tried again.
    Rejected,
    /// The fetch took longer than [`RefreshPolicy::fetch_timeout`](crate::cache::RefreshPolicy::fetch_timeout).
    Timeout,
    /// The request has no room for one more header. It was not sent.
    TooManyHeaders,
    /// The token endpoint could not be reached, or said that it is unavailable now.
    Unavailable,
}

impl ErrorKind {
    pub(super) fn is_transient(self) -> bool {
        match self {
            Self::DeadlineExceeded
            | Self::Expired
            | Self::Fetcher
            | Self::InvalidResponse
            | Self::Panicked
            | Self::Rejected
            | Self::Timeout
            | Self::Unavailable => true,
            Self::Config
            | Self::Denied
            | Self::InsecureOrigin
            | Self::NoRuntime
            | Self::Recursive
            | Self::TooManyHeaders => false,
        }
    }

    pub(super) fn message(self) -> &'static str {
        match self {
            Self::Config => "invalid configuration",
            Self::DeadlineExceeded => {
                "the call's deadline passed before it could be sent with an access token; \
                 give it more time, or check how long the token endpoint takes; \
                 `TokenCache::warm_up` gets the first token ahead of the first call"
            }
            Self::Denied => "the authorization server refused to issue an access token",
            Self::Expired => {
                "every access token expired before it could be sent; \
                 the inner service takes longer to become ready than a token lives, or the task was polled too late"
            }
            Self::Fetcher => "the token fetcher failed",
            Self::InsecureOrigin => {
                "refused to send an access token over plain HTTP; \
                 use https, or allow the origin with `OAuthLayer::origin`"
            }
            Self::InvalidResponse => "the token endpoint's response has no usable access token",
            Self::NoRuntime => {
                "an access token has to be fetched, but there is no tokio runtime with timers here; \
                 call this inside a runtime that was built with `enable_all`"
            }
            Self::Panicked => "the token fetcher panicked",
            Self::Recursive => {
                "the token fetcher asked its own cache for a token; \
                 send its requests through a client without this `OAuthLayer`"
            }
            Self::Rejected => {
                "the resource server rejected the access token, and no other token came in time; \
                 the response was dropped after a second; check the token endpoint, \
                 and which tokens the resource server accepts"
            }
            Self::Timeout => "fetching an access token took too long",
            Self::TooManyHeaders => {
                "the request was not sent: it has too many headers to add an access token"
            }
            Self::Unavailable => "the token endpoint is unavailable",
        }
    }
}
