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
/// The secret is overwritten in memory when the last copy is dropped, and is shown by nothing but
/// [`expose_secret`](Self::expose_secret): `Debug` prints the identity and the times, and there is
/// no `Display`.
///
/// ```
/// use std::time::Duration;
/// use tower_oauth::Token;
///
/// let token = Token::bearer("2YotnFZFEjr1zCsicMWpAA").lifetime(Duration::from_secs(3600));
/// assert!(!format!("{token:#?}").contains("2Yotn"));
/// ```
///
/// A token is also the simplest [`TokenSource`](crate::TokenSource): one that never changes.
#[derive(Clone)]
pub struct Token {
    secret: Arc<Secret>,
    lifetime: Option<Duration>,
    renew_after: Option<Duration>,
    age: Option<Duration>,
}

struct Secret {
    id: u64,
    /// The whole header value, `Bearer 2Yotn...`.
    rendered: Zeroizing<Vec<u8>>,
    /// Where the secret starts in it.
    start: usize,
    /// `None` where the secret has bytes that a header cannot carry.
    header: Option<HeaderValue>,
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
        Self::with_scheme("Bearer", secret)
    }

    /// A token that is sent with another authentication scheme (RFC 9110 §11.4), for example
    /// `DPoP` (RFC 9449 §7.1).
    pub fn with_scheme(scheme: impl AsRef<str>, secret: impl AsRef<str>) -> Self {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        let (scheme, secret) = (scheme.as_ref(), secret.as_ref());
        let mut rendered = Zeroizing::new(Vec::with_capacity(scheme.len() + 1 + secret.len()));
        rendered.extend_from_slice(scheme.as_bytes());
        rendered.push(b' ');
        rendered.extend_from_slice(secret.as_bytes());
        let sendable =
            |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_graphic());
        let header = (sendable(scheme) && sendable(secret)).then(|| render(&rendered)).flatten();
        Self {
            secret: Arc::new(Secret {
                id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
                rendered,
                start: scheme.len() + 1,
                header,
            }),
            lifetime: None,
            renew_after: None,
            age: None,
        }
    }

    /// How long the token is valid from the moment it was asked for: `expires_in` of RFC 6749 §5.1.
    ///
    /// Without it the cache goes by its policy's default, five minutes. It is capped at one year.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// When to renew it, if the server's documentation asks for another time than the cache's
    /// usual four fifths of its usable time. At least a second, and at most 95 % of the time in
    /// which it can be used, so that it is renewed before it expires whatever stands here.
    #[must_use]
    pub fn renew_after(mut self, renew_after: Duration) -> Self {
        self.renew_after = Some(renew_after);
        self
    }

    /// How long ago it was asked for, where the fetcher knows better than the cache, which takes
    /// the time since it called the fetcher: a store that hands out a token of ten minutes ago
    /// says ten minutes.
    #[must_use]
    pub fn age(mut self, age: Duration) -> Self {
        self.age = Some(age);
        self
    }

    /// A number that no other token of this process has. Clones share it.
    pub fn id(&self) -> u64 {
        self.secret.id
    }

    /// The secret itself, for a fetcher that keeps tokens in a store. It belongs in no log.
    pub fn expose_secret(&self) -> &str {
        std::str::from_utf8(&self.secret.rendered[self.secret.start..]).unwrap_or_default()
    }

    /// What [`lifetime`](Self::lifetime) was set to.
    pub fn get_lifetime(&self) -> Option<Duration> {
        self.lifetime
    }

    /// What [`renew_after`](Self::renew_after) was set to.
    pub fn get_renew_after(&self) -> Option<Duration> {
        self.renew_after
    }

    /// What [`age`](Self::age) was set to.
    pub fn get_age(&self) -> Option<Duration> {
        self.age
    }

    /// Whether the other one is sent with the very same header.
    pub(crate) fn has_secret_of(&self, other: &Self) -> bool {
        *self.secret.rendered == *other.secret.rendered
    }

    /// The value of the `Authorization` header, marked sensitive; clones share its bytes.
    pub(crate) fn authorization(&self) -> Result<HeaderValue, Error> {
        self.secret.header.clone().ok_or_else(|| {
            Error::new(ErrorKind::InvalidResponse)
                .with_description("the token has characters that a header cannot carry")
        })
    }

    /// The same value with bytes, and so a reference count, of its own.
    pub(crate) fn own_authorization(&self) -> Result<HeaderValue, Error> {
        let shared = self.authorization()?;
        Ok(render(&self.secret.rendered).unwrap_or(shared))
    }
}

fn render(bytes: &Zeroizing<Vec<u8>>) -> Option<HeaderValue> {
    let bytes = Bytes::from_owner(Padded(bytes.clone()));
    let mut value = HeaderValue::from_maybe_shared(bytes).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("id", &self.id())
            .field("lifetime", &self.lifetime)
            .field("renew_after", &self.renew_after)
            .field("age", &self.age)
            .finish_non_exhaustive()
    }
}
