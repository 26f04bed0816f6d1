//! What can go wrong, in one type that everyone who waited can share.

mod chain;
mod kind;

use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

use http::StatusCode;

pub(crate) use self::chain::WithCauses;
pub use self::kind::ErrorKind;

/// A token endpoint that asks for it is left alone for so long at most.
pub(crate) const LONGEST_ASKED: Duration = Duration::from_secs(5 * 60);

/// tower's `BoxError`.
pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// The time that is left until the next attempt; see [`Error::retry_after`].
pub(crate) type TimeLeft = Arc<dyn Fn() -> Duration + Send + Sync>;

/// Why there is no token, or why a request was not sent.
///
/// It is cheap to clone: all callers that waited for one fetch get the same error, and its clones share
/// one [`source`](StdError::source). It never holds a secret, a token, or the body of a response.
///
/// The error of a request through an [`OAuthService`](crate::OAuthService) is a `tower::BoxError`,
/// since it may also be the inner service's. [`Error::find`] finds ours, however deeply other layers
/// wrapped it:
///
/// ```
/// use std::time::Duration;
/// use tower::BoxError;
/// use tower_oauth::Error;
///
/// /// When a failed request is worth another try.
/// fn retry_in(error: &BoxError) -> Option<Duration> {
///     let error = Error::find(&**error)?;
///     error.is_transient().then(|| error.retry_after().unwrap_or_default())
/// }
/// # use tower_oauth::ErrorKind;
/// # let error = Error::new(ErrorKind::Unavailable).with_retry_after(Duration::from_secs(1));
/// # assert_eq!(retry_in(&error.into()), Some(Duration::from_secs(1)));
/// ```
#[derive(Clone)]
pub struct Error {
    kind: ErrorKind,
    details: Arc<Details>,
    left: Option<TimeLeft>,
}

#[derive(Clone, Default)]
struct Details {
    status: Option<StatusCode>,
    response_status: Option<StatusCode>,
    oauth_code: Option<Box<str>>,
    description: Option<Box<str>>,
    field: Option<&'static str>,
    hint: Option<Box<str>>,
    retry_after: Option<Duration>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
    /// The source is a fetcher's own error, and its text is part of this one's.
    shows_source: bool,
}

impl Error {
    /// An error of this kind without a cause.
    ///
    /// A fetcher of your own can use it to say more than another type of error would: after
    /// [`ErrorKind::Denied`] the cache waits longer before it asks again than after
    /// [`ErrorKind::Unavailable`].
    pub fn new(kind: ErrorKind) -> Self {
        Self { kind, details: Arc::default(), left: None }
    }

    /// Sets the status of the token endpoint's response.
    #[must_use]
    pub fn with_status(self, status: StatusCode) -> Self {
        self.with(|details| details.status = Some(status))
    }

    /// Sets the token endpoint's error code, for example `invalid_client` (RFC 6749 §5.2).
    #[must_use]
    pub fn with_oauth_code(self, code: impl Into<String>) -> Self {
        let code = code.into().into_boxed_str();
        self.with(|details| details.oauth_code = Some(code))
    }

    /// Sets the description that came with the response. It is printed, so it must hold no secret.
    #[must_use]
    pub fn with_description(self, description: impl Into<String>) -> Self {
        let description = description.into().into_boxed_str();
        self.with(|details| details.description = Some(description))
    }

    /// Sets what the reader of the error should check. It is printed, so it must hold no secret.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        let hint = hint.into().into_boxed_str();
        self.with(|details| details.hint = Some(hint))
    }

    /// Sets how long the token endpoint wants to be left alone: its `Retry-After` (RFC 9110 §10.2.3).
    #[must_use]
    pub fn with_retry_after(self, retry_after: Duration) -> Self {
        self.with(|details| details.retry_after = Some(retry_after))
    }

    /// Sets the cause. Whoever reports the error may print it, so it must hold no secret.
    #[must_use]
    pub fn with_source(self, source: impl Into<BoxError>) -> Self {
        let source = Arc::from(source.into());
        self.with(|details| details.source = Some(source))
    }

    /// The value of `field` in the configuration cannot be used, and why.
    pub(crate) fn config(field: &'static str, why: impl Into<String>) -> Self {
        let why = why.into().into_boxed_str();
        Self::new(ErrorKind::Config).with(|details| {
            (details.field, details.description) = (Some(field), Some(why));
        })
    }

    /// A fetcher's error: ours, wherever it is in the chain, or one of ours around it.
    pub(crate) fn from_fetcher(error: BoxError) -> Self {
        if let Some(ours) = Self::find(&*error) {
            return ours.clone();
        }
        let error = Arc::from(error);
        Self::new(ErrorKind::Fetcher).with(|details| {
            details.source = Some(error);
            details.shows_source = true;
        })
    }

    /// The status of the resource server's response, which nobody gets any more.
    pub(crate) fn with_response_status(self, status: StatusCode) -> Self {
        self.with(|details| details.response_status = Some(status))
    }

    /// The same error, which from now on counts down to the next attempt.
    pub(crate) fn with_time_left(&self, left: TimeLeft) -> Self {
        Self { left: Some(left), ..self.clone() }
    }

    fn with(mut self, change: impl FnOnce(&mut Details)) -> Self {
        change(Arc::make_mut(&mut self.details));
        self
    }

    /// What kind of error this is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the same request may succeed later without anyone changing anything: the table of
    /// [`ErrorKind`] says which do.
    pub fn is_transient(&self) -> bool {
        self.failed_fetch().map_or_else(|| self.kind.is_transient(), Self::is_transient)
    }

    /// The fetch of another token, which is what a rejected request waits for.
    fn failed_fetch(&self) -> Option<&Self> {
        let source = self.details.source.as_ref().filter(|_| self.kind == ErrorKind::Rejected)?;
        source.downcast_ref()
    }

    /// The status of the token endpoint's response, if there was one.
    pub fn status(&self) -> Option<StatusCode> {
        self.details.status
    }

    /// The status of the resource server's response, for [`ErrorKind::Rejected`].
    pub fn response_status(&self) -> Option<StatusCode> {
        self.details.response_status
    }

    /// The error code that the token endpoint sent, if it sent one. A code of RFC 6749 §5.2 is given in
    /// its standard spelling (`invalid_client`); any other is kept as it was sent.
    pub fn oauth_code(&self) -> Option<&str> {
        self.details.oauth_code.as_deref()
    }

    /// The token endpoint's own description, shortened to 256 characters, and withheld if it may contain
    /// a secret. For [`ErrorKind::Config`] it says what is wrong with the value. If no response came, it
    /// has the host and the cause.
    pub fn description(&self) -> Option<&str> {
        self.details.description.as_deref()
    }

    /// What to check, if that is known. The text is for people, and may change.
    pub fn hint(&self) -> Option<&str> {
        self.details.hint.as_deref()
    }

    /// The field of the configuration that [`ErrorKind::Config`] is about.
    pub fn field(&self) -> Option<&'static str> {
        self.details.field
    }

    /// The time from now until the next attempt, or `None` if it is not known.
    ///
    /// An error that a cache hands out in the cooldown after a failure counts down: two calls a
    /// second apart differ by a second. Elsewhere it is the token endpoint's `Retry-After`.
    pub fn retry_after(&self) -> Option<Duration> {
        match &self.left {
            Some(left) => Some(left()),
            None => self.details.retry_after.or_else(|| self.failed_fetch()?.retry_after()),
        }
    }

    /// What is left of the token endpoint's `Retry-After`, as far as it is obeyed, and not of a cooldown
    /// without one.
    pub(crate) fn asked_to_wait(&self) -> Duration {
        match (self.details.retry_after, &self.left) {
            (Some(asked), Some(left)) => asked.min(left()).min(LONGEST_ASKED),
            (Some(asked), None) => asked.min(LONGEST_ASKED),
            (None, _) => self.failed_fetch().map(Self::asked_to_wait).unwrap_or_default(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let details = &*self.details;
        let parts = [
            details.field.map(|field| format!(": `{field}`")),
            details.status.map(|status| format!(": {status}")),
            details.response_status.map(|status| format!(": {status}")),
            details.oauth_code.as_ref().map(|code| format!(": {code}")),
            details.description.as_ref().map(|description| format!(": {description}")),
            details.source.as_ref().filter(|_| details.shows_source).map(|it| format!(": {it}")),
            details.hint.as_ref().map(|hint| format!("; {hint}")),
            self.retry_after().map(|left| format!("; next attempt in {:.1} s", left.as_secs_f64())),
        ];
        f.write_str(self.kind.message())?;
        parts.iter().flatten().try_for_each(|part| f.write_str(part))
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is in `details` is in the message, and a `main` that fails prints this.
        let mut debug = f.debug_struct("Error");
        debug.field("kind", &self.kind).field("message", &format_args!("{self}"));
        if let Some(source) = self.details.source.as_ref().filter(|_| !self.details.shows_source) {
            debug.field("source", source);
        }
        debug.finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.details.source.as_deref().map(|source| source as _)
    }
}
