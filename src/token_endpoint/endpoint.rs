//! The fetcher.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Response, uri::Scheme};
use secrecy::ExposeSecret;
use tokio::time::Instant;
use tower::{ServiceExt, util::BoxCloneService};
use tower_service::Service;

use super::{
    builder::TokenEndpointBuilder,
    request::EndpointRequest,
    response::Withhold,
    settings::Settings,
    transport::{Ended, unavailable},
};
use crate::{
    cache::{Clock, SystemClock},
    error::{BoxError, Error},
    fetch::{Fetching, TokenRequest},
    token::Token,
};

pub(super) type Transport = BoxCloneService<EndpointRequest, Response<Bytes>, BoxError>;

/// A fetcher that gets tokens from a token endpoint over HTTP, by the client credentials grant
/// (RFC 6749 §4.4).
///
/// ```
/// use std::convert::Infallible;
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use tower::{ServiceExt, service_fn};
/// use tower_oauth::{RefreshReason, TokenEndpoint, TokenRequest};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tower_oauth::Error> {
/// let http = service_fn(|_request: Request<Bytes>| async {
///     let body = r#"{"access_token": "2YotnFZFEjr1zCsicMWpAA", "expires_in": 3600}"#;
///     Ok::<_, Infallible>(Response::new(body.to_owned()))
/// });
/// let fetcher = TokenEndpoint::builder("https://idp.example.com/oauth2/token")
///     .client_id("id")
///     .client_secret("secret")
///     .scope("read write")
///     .build_with(http)?;
///
/// let token = fetcher.oneshot(TokenRequest::new(RefreshReason::Cold)).await?;
/// assert_eq!(token.expose_secret(), "2YotnFZFEjr1zCsicMWpAA");
/// # Ok(())
/// # }
/// ```
///
/// Clones share the settings and the HTTP service. Each call takes a clone of that service, makes it
/// ready, and calls it: nothing is held while no token is needed. If the connection is closed before
/// a response comes, the call makes one more request at once. It repeats nothing else: that is for
/// `tower::retry` and the cache. Dropping the future drops the request.
///
/// # Responses
///
/// Any 2xx of up to 1 MiB with a token of up to 64 KiB is accepted. A byte order mark, trailing
/// commas, blanks around the token, unknown fields, a scope that was not asked for, and a lifetime
/// that is a string or a float do no harm. If the lifetime is missing or cannot be read, the cache's
/// default holds; a negative one counts as 0, and one longer than a year as a year;
/// [`LifetimeUnit`](crate::token_endpoint::LifetimeUnit) says which numbers are points in time. A
/// `token_type` that is missing or is `Bearer` or `BearerToken`, in any case, means `Bearer`.
///
/// # Errors
///
/// - [`Denied`](crate::ErrorKind::Denied): a code of RFC 6749 §5.2, or a 4xx that is not listed next,
///   whatever its body is; also a 2xx that has no token and names an error.
/// - [`Unavailable`](crate::ErrorKind::Unavailable): no response, 404, 408, 421, 423, 425, 429, 5xx,
///   the codes `server_error` and `temporarily_unavailable`, or a failure of a layer in between.
/// - [`InvalidResponse`](crate::ErrorKind::InvalidResponse): a redirect, which is not followed, unless
///   the client of `build_with` does so; a response that is HTML, empty, too long, or without a token; a
///   token that no header can carry, or that has an unknown type (RFC 6749 §7.1).
/// - [`Fetcher`](crate::ErrorKind::Fetcher): the file of a [`Secret`](crate::token_endpoint::Secret) cannot
///   be read, or a certificate cannot be used any more.
/// - [`Config`](crate::ErrorKind::Config): the environment variable of a secret is empty or not set.
///
/// [`oauth_code`](Error::oauth_code) and [`description`](Error::description) are what the server
/// said, in RFC 6749's form or in another: `errorCode`, `errcode`, `fault`, a list, nested objects,
/// XML, or plain text. A code of the standard is given in its standard spelling, any other as it was
/// sent. If no response came, the description has the host and the cause.
///
/// A text that may contain a secret is not shown: if it contains the longest run of letters and digits
/// of a secret, or of its base64 or hexadecimal form, it is withheld, and only status and code are left.
/// If no such run of a secret has at least 8 characters, every text is withheld.
#[doc(alias = "ClientCredentials")]
#[doc(alias = "client_credentials")]
#[doc(alias = "clientcredentials")]
#[doc(alias = "ClientCredentialsGrant")]
#[doc(alias = "OAuth2")]
#[doc(alias = "BasicClient")]
#[derive(Clone)]
pub struct TokenEndpoint {
    pub(super) settings: Arc<Settings>,
    /// Behind a lock because an HTTP client need not be `Sync`. It is held for one clone.
    pub(super) transport: Arc<Mutex<Transport>>,
    /// Why the client that `build` made cannot use TLS.
    pub(super) without_tls: Option<Error>,
}

impl TokenEndpoint {
    /// Starts with the URL of the token endpoint (RFC 6749 §3.2).
    ///
    /// It must be https, or http on this machine. A query in it is kept.
    pub fn builder(url: impl Into<String>) -> TokenEndpointBuilder {
        TokenEndpointBuilder::new(url.into())
    }

    /// Makes another endpoint that differs in some settings and shares this one's HTTP service, and
    /// so its connections: for example one for each tenant, audience or scope.
    ///
    /// `change` gets a builder with the settings of this endpoint. A list (scope, audience, resource,
    /// param, header) is replaced by the first call of its setter and added to by further calls.
    ///
    /// ```
    /// # use std::convert::Infallible;
    /// # use http::{Request, Response};
    /// # use tower::service_fn;
    /// use tower_oauth::{TokenCache, TokenEndpoint, token_endpoint::Secret};
    ///
    /// # let http = service_fn(|_: Request<bytes::Bytes>| async { Ok::<_, Infallible>(Response::new(String::new())) });
    /// let endpoint = TokenEndpoint::builder("https://idp.example.com/default/oauth2/token")
    ///     .client_id("id")
    ///     .client_secret(Secret::env("IDP_SECRET"))
    ///     .scope("read")
    ///     .build_with(http)?;
    ///
    /// let tokens_of = |tenant: &str| {
    ///     let url = format!("https://idp.example.com/{tenant}/oauth2/token");
    ///     let endpoint = endpoint.derive(|builder| builder.url(url).scope("read").scope("write"))?;
    ///     Ok::<_, tower_oauth::Error>(TokenCache::builder(endpoint).build())
    /// };
    /// let (blue, green) = (tokens_of("blue")?, tokens_of("green")?);
    /// # Ok::<_, tower_oauth::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config); [`Error::field`] names the setter, or `client`
    /// if the new URL is https and the client that `build` made found no root certificates.
    pub fn derive(
        &self,
        change: impl FnOnce(TokenEndpointBuilder) -> TokenEndpointBuilder,
    ) -> Result<Self, Error> {
        let builder = change(self.settings.builder.clone().inherited());
        Self { settings: Settings::check(builder)?, ..self.clone() }.with_tls_if_needed()
    }

    pub(super) fn with_tls_if_needed(self) -> Result<Self, Error> {
        match &self.without_tls {
            Some(error) if self.settings.uri.scheme() == Some(&Scheme::HTTPS) => Err(error.clone()),
            _ => Ok(self),
        }
    }
}

impl Service<TokenRequest> for TokenEndpoint {
    type Response = Token;
    type Error = Error;
    type Future = Fetching;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: TokenRequest) -> Self::Future {
        let settings = Arc::clone(&self.settings);
        // Only a panic in somebody's `clone` can have poisoned it; the service is still whole.
        let mut transport = self.transport.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Box::pin(async move {
            let ended = Ended::default();
            match ask(&settings, &mut transport, &ended).await {
                // The layers below get a request of its own: they may not prove the same one twice.
                Err(_) if ended.is_set() => ask(&settings, &mut transport, &ended).await,
                done => done,
            }
        })
    }
}

/// Makes one request.
async fn ask(
    settings: &Arc<Settings>,
    transport: &mut Transport,
    ended: &Ended,
) -> Result<Token, Error> {
    let (mut request, secrets) = Arc::clone(settings).request().await?;
    request.extensions.insert(ended.clone());
    let secret_url = request.has_query();
    let failed = |error| unavailable(error, None, secret_url);
    let transport = transport.ready().await.map_err(failed)?;
    let (sent, started) = (SystemClock.now(), Instant::now());
    let response = transport.call(request).await.map_err(failed)?;
    let withhold = Withhold::new(secrets.iter().map(ExposeSecret::expose_secret));
    // By the clock that counts sleep or by the one that a test can pause: it does no harm to take a
    // token for older than it is.
    let age = SystemClock.now().saturating_sub(sent).max(started.elapsed());
    let sends_secret = settings.builder.template.auth.needs_secret();
    let token = settings.builder.reader.token(&response, &withhold, sends_secret)?;
    Ok(token.with_age(age))
}

impl fmt::Debug for TokenEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenEndpoint")
            .field("host", &self.settings.uri.host())
            .finish_non_exhaustive()
    }
}
