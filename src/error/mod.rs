//! What can go wrong, in one type that everybody who waited can share.

mod kind;

use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

use http::StatusCode;

pub use self::kind::ErrorKind;

/// tower's `BoxError`.
pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// What left now until something is tried again; see [`Error::retry_after`].
pub(crate) type TimeLeft = Arc<dyn Fn() -> Duration + Send + Sync>;

/// Why there is no token, or why a request was not sent.
///
/// Cheap to clone: everybody who waited for one fetch gets the same error, and clones share one
/// [`source`](StdError::source). It never holds a secret, a token, or the body of an answer.
///
/// A service that `OAuthService` wraps has an error type of its own, so the error of a request is
/// a [`BoxError`]. [`Error::find`] gets ours out of it, however deep other layers wrapped it.
#[derive(Clone)]
pub struct Error {
    inner: Arc<Inner>,
    left: Option<TimeLeft>,
}

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    status: Option<StatusCode>,
    oauth_code: Option<Box<str>>,
    description: Option<Box<str>>,
    field: Option<&'static str>,
    hint: Option<Box<str>>,
    retry_after: Option<Duration>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of this kind without a cause.
    ///
    /// A fetcher of one's own uses it to say more than a foreign error can: [`ErrorKind::Denied`]
    /// makes the cache wait longer before it asks again than [`ErrorKind::Unavailable`].
    pub fn new(kind: ErrorKind) -> Self {
        Self {
            inner: Arc::new(Inner {
                kind,
                status: None,
                oauth_code: None,
                description: None,
                field: None,
                hint: None,
                retry_after: None,
                source: None,
            }),
            left: None,
        }
    }

    /// Names what the token endpoint answered with.
    #[must_use]
    pub fn with_status(self, status: StatusCode) -> Self {
        self.with(|inner| inner.status = Some(status))
    }

    /// Sets the error code of RFC 6749 §5.2, for example `invalid_client`.
    #[must_use]
    pub fn with_oauth_code(self, code: impl Into<String>) -> Self {
        let code = code.into().into_boxed_str();
        self.with(|inner| inner.oauth_code = Some(code))
    }

    /// Sets the description that came with the answer. It is printed: it must hold no secret.
    #[must_use]
    pub fn with_description(self, description: impl Into<String>) -> Self {
        let description = description.into().into_boxed_str();
        self.with(|inner| inner.description = Some(description))
    }

    /// Sets what its reader should check. It is printed: it must hold no secret.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        let hint = hint.into().into_boxed_str();
        self.with(|inner| inner.hint = Some(hint))
    }

    /// Sets how long the token endpoint asked not to be asked again (RFC 9110 §10.2.3).
    #[must_use]
    pub fn with_retry_after(self, retry_after: Duration) -> Self {
        self.with(|inner| inner.retry_after = Some(retry_after))
    }

    /// Sets the cause. It can be printed by whoever reports the error: it must hold no secret.
    #[must_use]
    pub fn with_source(self, source: impl Into<BoxError>) -> Self {
        let source = Arc::from(source.into());
        self.with(|inner| inner.source = Some(source))
    }

    /// The value `field` of the configuration cannot be used, and why.
    pub(crate) fn config(field: &'static str, why: impl Into<String>) -> Self {
        let why = why.into().into_boxed_str();
        Self::new(ErrorKind::Config).with(|inner| {
            inner.field = Some(field);
            inner.description = Some(why);
        })
    }

    /// What a fetcher's error means to us: our own, wherever it is in the chain, or a foreign one.
    pub(crate) fn from_fetcher(error: BoxError) -> Self {
        match Self::find(&*error) {
            Some(ours) => ours.clone(),
            None => Self::new(ErrorKind::Fetcher).with_source(error),
        }
    }

    /// The same error, which from now on tells how long the next attempt is still away.
    pub(crate) fn with_time_left(&self, left: TimeLeft) -> Self {
        Self { inner: Arc::clone(&self.inner), left: Some(left) }
    }

    fn with(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.inner));
        self
    }

    /// Finds an error of this crate in `error` or anywhere in the chain of its sources.
    pub fn find<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(ours) = error.downcast_ref() {
                return Some(ours);
            }
            next = error.source();
        }
        None
    }

    /// What kind of error this is.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// Whether the same request may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        self.inner.kind.is_transient()
    }

    /// The status that the token endpoint answered with, if it answered.
    pub fn status(&self) -> Option<StatusCode> {
        self.inner.status
    }

    /// The error code of RFC 6749 §5.2 in its standard spelling, if the answer held one.
    pub fn oauth_code(&self) -> Option<&str> {
        self.inner.oauth_code.as_deref()
    }

    /// The token endpoint's description, escaped, cut and with secrets removed; or for
    /// [`ErrorKind::Config`] what is wrong with the value.
    pub fn description(&self) -> Option<&str> {
        self.inner.description.as_deref()
    }

    /// What to check, if something is known about it; the text is for people, and may change.
    pub fn hint(&self) -> Option<&str> {
        self.inner.hint.as_deref()
    }

    /// The field of the configuration that [`ErrorKind::Config`] is about.
    pub fn field(&self) -> Option<&'static str> {
        self.inner.field
    }

    /// How long from now until the next attempt is made, `None` if nothing is known about it.
    ///
    /// An error that a cache hands out while it does not ask counts down: two calls a second apart
    /// differ by a second. Elsewhere it is what the token endpoint said in `Retry-After`.
    pub fn retry_after(&self) -> Option<Duration> {
        match &self.left {
            Some(left) => Some(left()),
            None => self.inner.retry_after,
        }
    }

    /// The error as it is logged.
    pub(crate) fn with_causes(&self) -> WithCauses<'_> {
        WithCauses(self)
    }

    /// What the token endpoint itself asked for, whatever the cache made of it.
    pub(crate) fn asked_to_wait(&self) -> Option<Duration> {
        self.inner.retry_after
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.inner;
        f.write_str(inner.kind.message())?;
        if let Some(field) = inner.field {
            write!(f, ": `{field}`")?;
        }
        if let Some(status) = inner.status {
            write!(f, ": {status}")?;
        }
        if let Some(code) = &inner.oauth_code {
            write!(f, ": {code}")?;
        }
        if let Some(description) = &inner.description {
            write!(f, ": {description}")?;
        }
        if let Some(hint) = &inner.hint {
            write!(f, "; {hint}")?;
        }
        if let Some(left) = self.retry_after() {
            write!(f, "; next attempt in {:.1} s", left.as_secs_f64())?;
        }
        Ok(())
    }
}

/// An error and all of its causes, in one line.
pub(crate) struct WithCauses<'a>(&'a Error);

impl fmt::Display for WithCauses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)?;
        let mut next = StdError::source(self.0);
        while let Some(cause) = next {
            write!(f, ": {cause}")?;
            next = cause.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.inner;
        f.debug_struct("Error")
            .field("kind", &inner.kind)
            .field("status", &inner.status)
            .field("oauth_code", &inner.oauth_code)
            .field("description", &inner.description)
            .field("field", &inner.field)
            .field("hint", &inner.hint)
            .field("retry_after", &self.retry_after())
            .field("source", &inner.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner.source.as_deref().map(|source| source as _)
    }
}
