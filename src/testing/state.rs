//! What the server knows: one lock's worth.

use std::{collections::HashMap, sync::Arc, time::Duration};

use http::Response;

use super::{
    Answer, Body, Fetcher,
    answer::Kind,
    endpoint::Script,
    issuer::Issuer,
    resource::{self, Presented},
};

pub(super) struct State {
    pub(super) clients: HashMap<String, String>,
    pub(super) issuer: Issuer,

    pub(super) token_path: String,
    pub(super) delay: Duration,
    pub(super) token_endpoint: Script,
    pub(super) token_requests: u64,

    pub(super) resource: Script,
    pub(super) reject_next: u64,
    pub(super) rejection: Answer,
    pub(super) resource_requests: u64,
    pub(super) rejected_requests: u64,
    pub(super) seen: Vec<Arc<str>>,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            clients: HashMap::from([(Fetcher::CLIENT.to_owned(), "secret".to_owned())]),
            issuer: Issuer::new(Duration::from_secs(60 * 60)),
            token_path: "/token".to_owned(),
            delay: Duration::ZERO,
            token_endpoint: Script::new(),
            token_requests: 0,
            resource: Script::new(),
            reject_next: 0,
            rejection: Answer::usual(),
            resource_requests: 0,
            rejected_requests: 0,
            seen: Vec::new(),
        }
    }

    pub(super) fn knows(&self, id: &str, secret: &str) -> bool {
        self.clients.get(id).is_some_and(|known| known == secret)
    }

    /// What a token request is answered; `Usual` is still to be worked out.
    pub(super) fn token_request(&mut self) -> Answer {
        self.token_requests += 1;
        let mut answer = self.token_endpoint.take();
        answer.after = answer.after.saturating_add(self.delay);
        answer
    }

    /// What a request to the resource is answered; `Usual` means that it is served.
    pub(super) fn resource_request(&mut self, presented: &Presented<'_>) -> Answer {
        self.resource_requests += 1;
        if let Presented::Secret(secret) = presented {
            self.seen.push(self.issuer.shared(secret));
        }
        if self.reject_next > 0 {
            self.reject_next -= 1;
            return self.reject();
        }
        let answer = self.resource.take();
        let Kind::Usual = answer.kind else {
            return answer;
        };
        let refusal = match presented {
            Presented::Secret(secret) if self.issuer.is_alive(secret) => return answer,
            Presented::Secret(_) => self.reject(),
            Presented::Nothing => self.refuse(resource::no_token()),
            Presented::Malformed => self.refuse(resource::invalid_request()),
        };
        let after = refusal.after.saturating_add(answer.after);
        refusal.after(after)
    }

    fn reject(&mut self) -> Answer {
        let answer = match &self.rejection {
            Answer { kind: Kind::Usual, after } => {
                Answer::response(resource::invalid_token()).after(*after)
            }
            other => other.clone(),
        };
        self.rejected_requests += 1;
        answer
    }

    fn refuse(&mut self, response: Response<Body>) -> Answer {
        self.rejected_requests += 1;
        Answer::response(response)
    }
}
