//! A resource that looks at the token of each request.

use std::{
    collections::HashSet,
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header::WWW_AUTHENTICATE};
use http_body_util::Full;
use tokio::time::sleep;
use tower::BoxError;

use super::authorization;

pub type Answered = Response<Full<Bytes>>;

/// Answers 200 to a token that is not revoked and 401 to one that is, or to every `reject_every`th
/// request. It judges a request when it comes, and answers after its delay.
#[derive(Clone, Default)]
pub struct Guard(Arc<Inner>);

#[derive(Default)]
struct Inner {
    revoked: Mutex<HashSet<String>>,
    seen: Mutex<Vec<String>>,
    requests: AtomicUsize,
    reject_every: AtomicUsize,
    delay: Mutex<Duration>,
}

impl Guard {
    pub fn revoke(&self, secret: &str) {
        self.0.revoked.lock().unwrap().insert(format!("Bearer {secret}"));
    }

    /// Rejects one request in `n`, whatever its token: 1 rejects all of them, 0 none.
    pub fn reject_every(&self, n: usize) {
        self.0.reject_every.store(n, Ordering::SeqCst);
    }

    pub fn delay(&self, delay: Duration) {
        *self.0.delay.lock().unwrap() = delay;
    }

    /// The `Authorization` of every request, in the order in which they came.
    pub fn seen(&self) -> Vec<String> {
        self.0.seen.lock().unwrap().clone()
    }

    pub fn requests(&self) -> usize {
        self.0.requests.load(Ordering::SeqCst)
    }

    fn judge(&self, authorization: String) -> Answered {
        let number = self.0.requests.fetch_add(1, Ordering::SeqCst) + 1;
        let every = self.0.reject_every.load(Ordering::SeqCst);
        let rejected = (every > 0 && number % every == 0)
            || self.0.revoked.lock().unwrap().contains(&authorization);
        self.0.seen.lock().unwrap().push(authorization);
        if rejected { unauthorized() } else { Response::new(Full::from("here you are")) }
    }

    pub fn service<B: Send + 'static>(
        &self,
    ) -> impl tower::Service<
        Request<B>,
        Response = Answered,
        Error = BoxError,
        Future: Future<Output = Result<Answered, BoxError>> + Send + 'static,
    > + Clone
    + Send
    + Sync
    + 'static {
        let this = self.clone();
        tower::service_fn(move |request: Request<B>| {
            let this = this.clone();
            async move {
                let answer = this.judge(authorization(request.headers()).unwrap_or_default());
                let delay = *this.0.delay.lock().unwrap();
                if !delay.is_zero() {
                    sleep(delay).await;
                }
                Ok::<_, BoxError>(answer)
            }
        })
    }
}

/// A 401 that can be told from any other.
pub fn unauthorized() -> Answered {
    Response::builder()
        .status(StatusCode::UNAUTHORIZED)
        .header(WWW_AUTHENTICATE, "Bearer error=\"invalid_token\"")
        .header("x-resource", "its own answer")
        .body(Full::from("its own words"))
        .unwrap()
}
