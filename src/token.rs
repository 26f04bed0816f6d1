//! An access token: its secret, its lifetime, and an identity from birth.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::HeaderValue;
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind};

/// An access token, as a fetcher returns it.
///
/// Times are durations, never points in time: a fetcher needs no clock.
///
/// The secret is overwritten in memory when the last copy is dropped. Nothing shows it but
/// [`expose_secret`](Self::expose_secret) and [`header_value`](Self::header_value): `Debug` prints
/// the id and the times, and there is no `Display`.
///
/// ```
/// use std::time::Duration;
/// use tower_oauth::Token;
///
/// let token = Token::bearer("2YotnFZFEjr1zCsicMWpAA").with_lifetime(Duration::from_secs(3600));
/// assert_eq!(token.scheme(), "Bearer");
/// assert!(!format!("{token:#?}").contains("2Yotn"));
/// ```
///
/// A token is also the simplest [`TokenSource`](crate::source::TokenSource): one that never
/// changes.
#[derive(Clone)]
pub struct Token {
    shared: Arc<Shared>,
    lifetime: Option<Duration>,
    refresh_after: Option<Duration>,
    age: Option<Duration>,
}

/// What clones of a token share. The secret is in it once.
struct Shared {
    id: u64,
    /// The length of the scheme in the credentials. Without one there is no space either.
    scheme: usize,
    credentials: Credentials,
}

/// Scheme, a space and secret: `Bearer 2Yotn...`. Or the secret alone.
enum Credentials {
    Sendable(HeaderValue),
    /// Kept all the same, for whoever wants to see what came.
    Unsendable(Zeroizing<Vec<u8>>),
}

/// Bytes that no other thread's reference count shares a cache line with.
#[repr(align(128))]
struct Padded(Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for Padded {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Token {
    /// A bearer token (RFC 6750).
    ///
    /// It is not checked here, so that a fetcher needs no error path for it: a secret that is
    /// empty, or that has a byte other than visible ASCII, becomes
    /// [`ErrorKind::InvalidResponse`] to everybody who waits for the token.
    pub fn bearer(secret: impl AsRef<str>) -> Self {
        Self::new("Bearer", secret)
    }

    /// A token that is sent with another authentication scheme (RFC 9110 §11.4), for example
    /// `DPoP` (RFC 9449 §7.1). With an empty scheme the secret is sent alone, for headers that want
    /// nothing else; see [`OAuthLayer::header`](crate::OAuthLayer::header).
    pub fn new(scheme: impl AsRef<str>, secret: impl AsRef<str>) -> Self {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        let (scheme, secret) = (scheme.as_ref(), secret.as_ref());
        let mut bytes = Zeroizing::new(Vec::with_capacity(scheme.len() + 1 + secret.len()));
        if !scheme.is_empty() {
            bytes.extend_from_slice(scheme.as_bytes());
            bytes.push(b' ');
        }
        bytes.extend_from_slice(secret.as_bytes());
        let is_graphic = |part: &str| part.bytes().all(|byte| byte.is_ascii_graphic());
        let sendable = is_graphic(scheme) && is_graphic(secret) && !secret.is_empty();
        let credentials = match sendable.then(|| render(&bytes)) {
            Some(Some(value)) => Credentials::Sendable(value),
            _ => Credentials::Unsendable(bytes),
        };
        Self {
            shared: Arc::new(Shared {
                id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
                scheme: scheme.len(),
                credentials,
            }),
            lifetime: None,
            refresh_after: None,
            age: None,
        }
    }

    /// Sets how long the token is valid from the moment it was asked for: `expires_in` of RFC 6749
    /// §5.1.
    ///
    /// Without it the cache goes by its policy's default, five minutes. It is capped at one year.
    #[must_use]
    pub fn with_lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// Sets when to refresh it, counted from the moment it was asked for, if the server's
    /// documentation asks for a time other than the cache's usual four fifths of its usable time.
    ///
    /// The cache limits it to at least a second and at most 95 % of the time in which the token can be
    /// used, so the token is always refreshed before it expires.
    #[must_use]
    pub fn with_refresh_after(mut self, refresh_after: Duration) -> Self {
        self.refresh_after = Some(refresh_after);
        self
    }

    /// Sets how long ago the token was asked for, where the fetcher knows better than the cache,
    /// which takes the time since it called the fetcher: a store that hands out a token of ten
    /// minutes ago says ten minutes.
    #[must_use]
    pub fn with_age(mut self, age: Duration) -> Self {
        self.age = Some(age);
        self
    }

    /// A number that is unique in this process. Clones share it.
    pub fn id(&self) -> u64 {
        self.shared.id
    }

    /// The authentication scheme, for example `Bearer`. It is empty if the secret is sent alone.
    pub fn scheme(&self) -> &str {
        text(&self.credentials()[..self.shared.scheme])
    }

    /// The secret itself, without the scheme: for a fetcher that keeps tokens in a store. It
    /// belongs in no log.
    pub fn expose_secret(&self) -> &str {
        let before = match self.shared.scheme {
            0 => 0,
            scheme => scheme + 1,
        };
        text(&self.credentials()[before..])
    }

    /// What to send as `Authorization`: the scheme, if there is one, a space and the secret. It is marked
    /// sensitive, and clones of the token share its bytes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidResponse`] if the secret is empty or has a byte that is not visible
    /// ASCII.
    pub fn header_value(&self) -> Result<HeaderValue, Error> {
        match &self.shared.credentials {
            Credentials::Sendable(value) => Ok(value.clone()),
            Credentials::Unsendable(_) => Err(Error::new(ErrorKind::InvalidResponse)
                .with_description(
                    "the token is empty, or has characters that a header cannot carry",
                )),
        }
    }

    /// The time from [`with_lifetime`](Self::with_lifetime).
    pub fn lifetime(&self) -> Option<Duration> {
        self.lifetime
    }

    /// The time from [`with_refresh_after`](Self::with_refresh_after).
    pub fn refresh_after(&self) -> Option<Duration> {
        self.refresh_after
    }

    /// The time from [`with_age`](Self::with_age).
    pub fn age(&self) -> Option<Duration> {
        self.age
    }

    /// Whether the other one is sent with the very same header.
    pub(crate) fn has_secret_of(&self, other: &Self) -> bool {
        self.credentials() == other.credentials()
    }

    /// The same header value with bytes, and so a reference count, of its own.
    pub(crate) fn copied_header_value(&self) -> Result<HeaderValue, Error> {
        let shared = self.header_value()?;
        Ok(render(shared.as_bytes()).unwrap_or(shared))
    }

    fn credentials(&self) -> &[u8] {
        match &self.shared.credentials {
            Credentials::Sendable(value) => value.as_bytes(),
            Credentials::Unsendable(bytes) => bytes,
        }
    }
}

/// Both parts came as `str`.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

fn render(bytes: &[u8]) -> Option<HeaderValue> {
    let bytes = Bytes::from_owner(Padded(Zeroizing::new(bytes.to_vec())));
    let mut value = HeaderValue::from_maybe_shared(bytes).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("id", &self.id())
            .field("lifetime", &self.lifetime)
            .field("refresh_after", &self.refresh_after)
            .field("age", &self.age)
            .finish_non_exhaustive()
    }
}
