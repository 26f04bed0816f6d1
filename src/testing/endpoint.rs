//! What one half of the server has been told to answer.

use std::{collections::VecDeque, fmt};

use super::{Answer, AuthorizationServer, state::State};

/// One half of an [`AuthorizationServer`]: what it answers can be written down beforehand.
///
/// Answers that were queued with [`next`](Self::next) come first, one per request; then the one
/// that was set with [`always`](Self::always), at the beginning [`Answer::usual`].
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

    /// Queues an answer for one request.
    pub fn next(&self, answer: Answer) -> &Self {
        self.next_times(1, answer)
    }

    /// Queues the same answer for as many requests.
    pub fn next_times(&self, times: usize, answer: Answer) -> &Self {
        let mut state = self.server.state();
        (self.script)(&mut state).queue.extend(std::iter::repeat_n(answer, times));
        drop(state);
        self
    }

    /// Answers this whenever nothing is queued. [`Answer::usual`] undoes it.
    pub fn always(&self, answer: Answer) -> &Self {
        (self.script)(&mut self.server.state()).always = answer;
        self
    }
}

impl fmt::Debug for Endpoint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.script)(&mut self.server.state()).fmt(f)
    }
}

#[derive(Debug)]
pub(super) struct Script {
    queue: VecDeque<Answer>,
    always: Answer,
}

impl Script {
    pub(super) fn new() -> Self {
        Self { queue: VecDeque::new(), always: Answer::usual() }
    }

    /// The answer to one request.
    pub(super) fn take(&mut self) -> Answer {
        self.queue.pop_front().unwrap_or_else(|| self.always.clone())
    }
}
