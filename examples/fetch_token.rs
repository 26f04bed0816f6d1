//! Asks a token endpoint for a token, and shows what goes over the wire: for the day when it does
//! not work.
//!
//! ```sh
//! cargo run --example fetch_token --features client -- --config src/vendor/dqe.toml
//! ```
//!
//! Secrets and tokens are never shown. The exit status is 0 only with a token: 1 without one, 2 if
//! the configuration or the command line cannot be used, 3 after a dry run.

#[path = "fetch_token/http.rs"]
mod http_client;
#[path = "fetch_token/mask.rs"]
mod mask;
#[path = "fetch_token/odd.rs"]
mod odd;
#[path = "fetch_token/screen.rs"]
mod screen;
#[path = "fetch_token/show.rs"]
mod show;

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};

use clap::Parser;
use serde::Deserialize;
use tower::ServiceExt;
use tower_oauth::{
    Error, ErrorKind, Token, TokenCache,
    cache::RefreshPolicy,
    token_endpoint::{Secret, TokenEndpointBuilder},
};

use http_client::{Before, Record, Recorder};
use mask::Mask;
use screen::Screen;

/// Asks a token endpoint for a token, and shows what goes over the wire.
///
/// Secrets and tokens are never shown. The exit status is 0 only with a token: 1 without one, 2 if
/// the configuration or the command line cannot be used, 3 after a dry run.
#[derive(Parser)]
struct Arguments {
    /// The settings of the token endpoint, in TOML; examples are in `src/vendor/`
    #[arg(long, value_name = "FILE")]
    config: PathBuf,

    /// Trust this certificate (PEM) too, as `ca_certificate` in the configuration does
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,

    /// Show this certificate and its key (PEM) to the server, as `client_identity` in the configuration
    /// does; give it twice if they are in two files
    #[arg(long, value_name = "FILE")]
    cert: Vec<PathBuf>,

    /// Show the request and send nothing
    #[arg(long)]
    dry_run: bool,
}

/// The configuration file.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Endpoint {
    fetcher: TokenEndpointBuilder,
    #[serde(default)]
    refresh: RefreshPolicy,
}

/// The exit statuses.
const TOKEN: u8 = 0;
const NO_TOKEN: u8 = 1;
const UNUSABLE: u8 = 2;
const DRY_RUN: u8 = 3;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let code = run(&Arguments::parse(), Arc::new(Mutex::new(io::stdout()))).await;
    code.unwrap_or_else(|why| {
        eprintln!("{why}");
        UNUSABLE
    })
    .into()
}

async fn run(arguments: &Arguments, out: Arc<Mutex<dyn Write + Send>>) -> Result<u8, String> {
    let file = arguments.config.display().to_string();
    let text = fs::read_to_string(&arguments.config)
        .map_err(|error| format!("{file} cannot be read: {error}"))?;
    let mut endpoint = parse(&text).map_err(|why| format!("{file}: {why}"))?;
    let mut alone = endpoint.fetcher.clone();
    if let Some(path) = &arguments.ca {
        endpoint.fetcher = endpoint.fetcher.ca_certificate(Secret::file(path));
    }
    for path in &arguments.cert {
        endpoint.fetcher = endpoint.fetcher.client_identity(Secret::file(path));
    }
    if let Err(error) = endpoint.fetcher.clone().http_client() {
        // The mistake is in what was added, if the file can be used without it.
        let blamed = if alone.http_client().is_ok() { "--ca or --cert" } else { &*file };
        return Err(format!("{blamed}: {error}"));
    }
    let places = odd::Places::of(&text);
    let screen = Screen::new(out, Mask::of(&text));
    // Before it is sent: who waits in vain for a response sees what was asked.
    let before: Before = {
        let screen = screen.clone();
        Arc::new(move |request| {
            screen.learn(|mask| mask.hide_request(request));
            screen.say(&format!("Request\n{}\n", show::request(request, &screen.mask())));
        })
    };
    let fetch = |endpoint: Endpoint| fetch(endpoint, Arc::clone(&before), arguments.dry_run);
    let named = |error: Error| format!("{file}: {error}");

    let (mut result, mut record) = fetch(endpoint.clone()).await.map_err(named)?;
    let secret_is_missing =
        |error: &&Error| matches!(error.kind(), ErrorKind::Fetcher | ErrorKind::Config);
    let missing = result.as_ref().err().filter(|_| arguments.dry_run).filter(secret_is_missing);
    if let Some(error) = missing {
        screen.say(&format!("{error}.\nThe request is shown with a stand-in for the secret.\n\n"));
        endpoint.fetcher = endpoint.fetcher.client_secret("stand-in");
        (result, record) = fetch(endpoint).await.map_err(named)?;
    }

    if arguments.dry_run && record.request.is_some() {
        screen.say("Nothing was sent.\n");
        return Ok(DRY_RUN);
    }
    screen.learn(|mask| {
        let seen = record.response.as_ref().map(|response| odd::Seen::of(&response.body, &places));
        let found = seen.as_ref().and_then(|seen| seen.at(&places.access_token)?.as_str());
        let token = result.as_ref().ok().map(|(token, _)| token.expose_secret());
        found.into_iter().chain(token).for_each(|token| mask.hide(token));
    });
    let mask = screen.mask();
    if let Some(response) = &record.response {
        screen.say(&format!("Response\n{}\n", show::response(response, &places, &mask)));
    }
    let code = match &result {
        Ok((token, tokens)) => {
            let token = show::token(token, tokens, &record, &places, &mask);
            screen.say(&format!("Token\n{token}\n"));
            TOKEN
        }
        Err(error) => {
            screen.say(&format!("No token\n{}\n", show::error(error)));
            NO_TOKEN
        }
    };
    if let Some(response) = &record.response {
        let asked = record.scope(mask.scope_param());
        let odd = odd::findings(response, &places, asked.as_deref(), &mask);
        if !odd.is_empty() {
            screen.say(&format!("What is odd about the response\n{}\n", show::list(&odd)));
        }
    }
    Ok(code)
}

type Fetched = (Result<(Token, TokenCache), Error>, Record);

/// One fetch as a program would make it: through a cache, under the policy, over the same HTTP client.
async fn fetch(endpoint: Endpoint, before: Before, dry_run: bool) -> Result<Fetched, Error> {
    let Endpoint { mut fetcher, refresh } = endpoint;
    let record = Arc::new(Mutex::new(Record::default()));
    let http = fetcher.http_client()?;
    let recorder = Recorder { http, record: Arc::clone(&record), before, dry_run };
    // The error before the cache adds when it would try again, which this program does not.
    let first_hand = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&first_hand);
    let fetcher = fetcher.build_with(recorder)?.map_err(move |error| {
        *keep.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
        error
    });
    let tokens = TokenCache::builder(fetcher)
        .refresh(refresh)
        // The latest time that there is for the refresh, which is told.
        .jitter_source(|| 0.0)
        .build();
    let result = match tokens.token().await {
        Ok(token) => Ok((token, tokens)),
        Err(error) => {
            let first_hand = first_hand.lock().unwrap_or_else(PoisonError::into_inner).take();
            // The cache's own is of a kind and no more.
            Err(first_hand.unwrap_or_else(|| Error::new(error.kind())))
        }
    };
    let record = std::mem::take(&mut *record.lock().unwrap_or_else(PoisonError::into_inner));
    Ok((result, record))
}

/// Says what is wrong and where, without the line itself: that may be the one with the secret.
fn parse(text: &str) -> Result<Endpoint, String> {
    toml::from_str(text).map_err(|error: toml::de::Error| {
        let at = error.span().map(|span| text[..span.start].matches('\n').count() + 1);
        match at {
            Some(line) => format!("line {line}: {}", error.message()),
            None => error.message().to_owned(),
        }
    })
}

#[cfg(test)]
#[path = "fetch_token/tests.rs"]
mod tests;
