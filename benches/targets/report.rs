//! `RESULTS.md`, and the pictures beside it.

use std::{
    env,
    error::Error,
    fmt::Write as _,
    fs,
    path::Path,
    process::Command,
    thread,
    time::{Duration, SystemTime},
};

use httpdate::fmt_http_date;
use tower_oauth_benches::{
    case,
    herd::{self, Look, Through},
    hot::{self, Kind},
    memory,
    refresh::{self, Latencies},
};

use crate::{
    full::{PEERS, Peers, best_herd, longest_stall, spread, turn_about},
    instructions::{Instructions, valgrind},
    pictures,
    row::{Row, number},
};

const FOLDER: &str = env!("CARGO_MANIFEST_DIR");
const RESULTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/RESULTS.md");
const REFRESHES: Duration = Duration::from_secs(12);

pub fn write(rows: &[Row], counts: &mut Instructions, peers: &Peers) -> Result<(), Box<dyn Error>> {
    let folder = Path::new(FOLDER);
    let mut text = String::new();
    head(&mut text)?;
    writeln!(text, "## Targets\n\n| what | measured | target | |\n|---|---|---|---|")?;
    for row in rows {
        let (measured, target) = (row.measured(), row.target());
        writeln!(text, "| {} | {measured} | {target} | {} |", row.name, row.verdict())?;
    }
    hot_table(&mut text, counts)?;
    memory_table(&mut text)?;
    herd_table(&mut text, folder)?;
    let (ours, blocking) = refresh::run(REFRESHES);
    refresh_table(&mut text, &ours, &blocking)?;
    pictures::latencies(
        &folder.join("refresh.svg"),
        "Tokens of 2 s, refreshed at an endpoint that takes 50 ms",
        &[("a cache that blocks", &blocking, false), ("tower-oauth", &ours, true)],
    )?;
    peer_tables(&mut text, peers, folder)?;
    fs::write(RESULTS, text)?;
    Ok(())
}

fn head(text: &mut String) -> Result<(), Box<dyn Error>> {
    let rustc = Command::new("rustc").arg("--version").output()?;
    let rustc = String::from_utf8_lossy(&rustc.stdout).trim().to_owned();
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let processor = processors
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("unknown", |(_, name)| name.trim());
    let count = thread::available_parallelism().map_or(1, usize::from);
    writeln!(
        text,
        "# What it costs\n\n\
         Written by `cargo bench --bench targets`; not to be edited. Instructions, allocations, \
         bytes and numbers of fetches are the same in every run of one build, to two instructions; times \
         depend on the machine and what else it does. Instructions are callgrind's: it does not \
         count what a clock read does in the kernel's page, about 8 ns for the tick that each \
         request of this crate reads, and an atomic operation counts as one like any other. SRH is tower-http's `SetRequestHeader` with a constant \
         value, which this crate is measured against. One request: build it, ready, call, await, \
         drop; a token of 1 KiB; one origin is set; the innermost service answers at once.\n\n\
         {}, {rustc}, {}, {processor}, {count} processors\n",
        fmt_http_date(SystemTime::now()),
        valgrind().unwrap_or_default(),
    )?;
    Ok(())
}

/// What the last run measured for a row.
pub fn recorded(name: &str) -> Option<f64> {
    let results = fs::read_to_string(RESULTS).ok()?;
    let row = results.lines().find_map(|line| line.strip_prefix(&format!("| {name} | ")))?;
    row.split(' ').next()?.parse().ok()
}

fn hot_table(text: &mut String, counts: &mut Instructions) -> Result<(), Box<dyn Error>> {
    writeln!(
        text,
        "\n## The hot path\n\n\
         | case | headers | instructions | with 6 response headers | clone per request | allocations | ns, 1 thread | ns, 2 threads |\n\
         |---|---|---|---|---|---|---|---|"
    )?;
    for headers in [0, 8] {
        let kinds: Vec<_> = case::ALL.iter().map(|case| Kind::new(case, headers)).collect();
        let [one, two] = [1, 2].map(|threads| turn_about(&kinds, threads, 3));
        for (n, kind) in kinds.into_iter().enumerate() {
            let [one, two] = [&one, &two].map(|times| spread(times.iter().map(|times| times[n])));
            let mut count = |kind| number(counts.of(kind).round());
            let instructions = [
                count(kind),
                count(Kind { response_headers: 6, ..kind }),
                count(Kind { clones: true, ..kind }),
            ];
            writeln!(
                text,
                "| {} | {headers} | {} | {} | {} | {} |",
                kind.case,
                instructions.join(" | "),
                number(hot::run(kind, 1000)),
                number(one[1].round()),
                number(two[1].round()),
            )?;
        }
    }
    let large = Kind { large: true, ..Kind::new("none", 8) };
    let clone = counts.of(Kind { clones: true, ..large }) - counts.of(large);
    writeln!(
        text,
        "\nA clone of the inner service of 304 bytes alone: {} instructions.",
        number(clone.round())
    )?;
    Ok(())
}

fn memory_table(text: &mut String) -> Result<(), Box<dyn Error>> {
    let memory = memory::measure();
    writeln!(
        text,
        "\n## Memory\n\n\
         | what | bytes |\n|---|---|\n\
         | `OAuthService` beyond the inner service | {} |\n\
         | what each of 1,000 clones holds elsewhere after three requests | {} |\n\
         | the same, if each was last used with another token, now replaced; without the secret, until its next request | {} |\n\
         | given back when the token was replaced, after requests on 40 threads | {} |\n\
         | left of it in the 40 idle clones, without the secret, until their next request | {} |",
        memory.size, memory.per_clone, memory.per_old_clone, memory.given_back, memory.left
    )?;
    Ok(())
}

fn herd_table(text: &mut String, folder: &Path) -> Result<(), Box<dyn Error>> {
    writeln!(
        text,
        "\n## The herd\n\n\
         Callers without a token; the endpoint answers when all of them wait. Time and processor \
         time are of all of it, tasks included. The stall of \"2 workers\" is that of one worker: of two, the \
         other one goes on.\n\n\
         | callers | runtime | through | fetches | µs per waiter | CPU µs per waiter | bytes per waiter | longest stall, ms |\n\
         |---|---|---|---|---|---|---|---|"
    )?;
    let mut bars = Vec::new();
    for callers in [1000, 10_000, 100_000] {
        for (workers, runtime) in [(0, "current thread"), (2, "2 workers")] {
            for through in [Through::Cache, Through::Service, Through::LargeService] {
                let herd = best_herd(callers, workers, through);
                let bytes = herd::run(callers, workers, through, Look::Bytes).bytes;
                let stall = longest_stall(callers, workers.min(1), through);
                let per_waiter = |time: Duration| time.as_secs_f64() * 1e6 / callers as f64;
                writeln!(
                    text,
                    "| {callers} | {runtime} | {through} | {} | {:.2} | {:.2} | {:.0} | {:.2} |",
                    herd.fetches,
                    per_waiter(herd.time),
                    per_waiter(herd.cpu),
                    bytes as f64 / callers as f64,
                    stall.as_secs_f64() * 1e3,
                )?;
                if workers == 0 {
                    let name =
                        format!("{callers}, {through}").replace(", inner of 304 bytes", " (304)");
                    bars.push((name, per_waiter(herd.time), true));
                }
            }
        }
    }
    pictures::bars(
        &folder.join("herd.svg"),
        "Callers without a token: time per caller, one fetch for all",
        "µs",
        &bars,
    )
}

fn refresh_table(
    text: &mut String,
    ours: &Latencies,
    blocking: &Latencies,
) -> Result<(), Box<dyn Error>> {
    writeln!(
        text,
        "\n## Refresh\n\n\
         What requests wait, in µs, while tokens of 2 s are refreshed at an endpoint that takes 50 ms, for {} s.\n\n\
         | cache | requests | p50 | p99 | p99.9 | longest |\n|---|---|---|---|---|---|",
        REFRESHES.as_secs()
    )?;
    for (name, latencies) in [("tower-oauth", ours), ("one that blocks", blocking)] {
        let [p50, p99, p999, max] = [0.5, 0.99, 0.999, 1.0]
            .map(|share| number((latencies.quantile(share).as_secs_f64() * 1e7).round() / 10.0));
        writeln!(text, "| {name} | {} | {p50} | {p99} | {p999} | {max} |", latencies.0.len())?;
    }
    Ok(())
}

fn peer_tables(text: &mut String, peers: &Peers, folder: &Path) -> Result<(), Box<dyn Error>> {
    writeln!(
        text,
        "\n## Other crates\n\n\
         By [`benches/peers`](peers), whose README says how each is driven and in which wrapper. \
         Net: less what a request without a layer costs.\n\n\
         | case | net instructions, 0 headers | 8 headers | × ours | allocations | bytes |\n|---|---|---|---|---|---|"
    )?;
    let cases = ["srh", "add_authorization", "ours", "ours_empty_body", "filter"];
    let mut bars = Vec::new();
    for case in cases.iter().chain(PEERS) {
        let net = |headers| peers.net(case, headers);
        let show =
            |value: Option<f64>| value.map_or("n/a".to_owned(), |value| format!("{value:.0}"));
        let ratio = net(0).zip(peers.net("ours", 0)).map(|(theirs, ours)| theirs / ours);
        writeln!(
            text,
            "| {case} | {} | {} | {} | {} | {} |",
            show(net(0)),
            show(net(8)),
            ratio.map_or("n/a".to_owned(), |ratio| format!("{ratio:.1}")),
            peers.value(&format!("allocations.{case}.headers0.calls")),
            peers.value(&format!("allocations.{case}.headers0.bytes")),
        )?;
        if let (Some(net), false) = (net(0), *case == "filter") {
            bars.push(((*case).to_owned(), net, case.starts_with("ours")));
        }
    }
    pictures::bars(
        &folder.join("hot.svg"),
        "A request that finds a token: instructions beyond those without a layer",
        "",
        &bars,
    )?;
    writeln!(
        text,
        "\nfetches: 1,000 and 10,000 callers without a token; requests of 1,000 callers while the \
         endpoint is down, and the slowest of them; callers that give up after 30 ms of a fetch \
         that takes 50; 50 requests in flight whose token is rejected.\n\n\
         | case | herd of 1,000 | 10,000 | down | slowest, ms | give-ups: served on try | requests | late 401s: refreshes |\n\
         |---|---|---|---|---|---|---|---|"
    )?;
    for case in ["ours", "ours_empty_body"].iter().chain(PEERS) {
        let values = [
            "herd.{}.1000.fetches",
            "herd.{}.10000.fetches",
            "down.{}.1000.requests",
            "down.{}.1000.slowest_ms",
            "giveup.{}.try",
            "giveup.{}.requests",
            "late401.{}.refreshes",
        ]
        .map(|name| peers.value(&name.replace("{}", case)));
        writeln!(text, "| {case} | {} |", values.join(" | "))?;
    }
    let versions: Vec<_> = peers
        .values
        .iter()
        .filter_map(|(name, value)| Some(format!("{} {value}", name.strip_prefix("version.")?)))
        .collect();
    if !versions.is_empty() {
        writeln!(text, "\nVersions: {}.", versions.join(", "))?;
    }
    for note in &peers.notes {
        writeln!(text, "\n{note}")?;
    }
    Ok(())
}
