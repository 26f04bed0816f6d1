//! What one half of the server has been told.

use std::{collections::VecDeque, fmt, time::Duration};

use super::{AuthorizationServer, ResponseTemplate, state::State};

/// One half of an [`AuthorizationServer`]: the token endpoint or the resource, which can be told
/// beforehand what to respond with and how long to take.
///
/// Templates that were queued with [`next`](Self::next) come first, one per request; then the one
/// that was set with [`always`](Self::always), at the beginning [`ResponseTemplate::usual`].
///
/// ```
/// use std::time::Duration;
/// use tower_oauth::testing::{AuthorizationServer, ResponseTemplate};
///
/// let server = AuthorizationServer::new();
/// // The first token comes after 250 ms; then the token endpoint hangs.
/// server
///     .token_endpoint()
///     .delay(Duration::from_millis(250))
///     .next(ResponseTemplate::usual())
///     .always(ResponseTemplate::never());
/// // Each request to the resource takes 20 ms.
/// server.resource().delay(Duration::from_millis(20));
/// ```
pub struct Endpoint<'a> {
    server: &'a AuthorizationServer,
    script: fn(&mut State) -> &mut Script,
}

impl<'a> Endpoint<'a> {
    pub(super) fn new(
        server: &'a AuthorizationServer,
        script: fn(&mut State) -> &mut Script,
    ) -> Self {
        Self { server, script }
    }

    /// Queues a response for one request.
    pub fn next(&self, template: ResponseTemplate) -> &Self {
        self.next_times(1, template)
    }

    /// Queues the same response for as many requests.
    pub fn next_times(&self, times: usize, template: ResponseTemplate) -> &Self {
        let mut state = self.server.state();
        (self.script)(&mut state).queue.extend(std::iter::repeat_n(template, times));
        drop(state);
        self
    }

    /// Responds with this whenever nothing is queued. [`ResponseTemplate::usual`] undoes it.
    pub fn always(&self, template: ResponseTemplate) -> &Self {
        (self.script)(&mut self.server.state()).always = template;
        self
    }

    /// Sets how long every response takes, on tokio's clock; by default no time.
    /// [`ResponseTemplate::after`] comes on top.
    ///
    /// It is the way back that is slow: a request is judged, and a token is born, when the request
    /// comes.
    pub fn delay(&self, delay: Duration) -> &Self {
        (self.script)(&mut self.server.state()).delay = delay;
        self
    }
}

impl fmt::Debug for Endpoint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.script)(&mut self.server.state()).fmt(f)
    }
}

#[derive(Debug, Default)]
pub(super) struct Script {
    queue: VecDeque<ResponseTemplate>,
    always: ResponseTemplate,
    pub(super) delay: Duration,
}

impl Script {
    /// What the next request is responded with.
    pub(super) fn take(&mut self) -> ResponseTemplate {
        self.queue.pop_front().unwrap_or_else(|| self.always.clone())
    }
}
