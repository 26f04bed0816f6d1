//! The rows that are the same in every run: instructions, allocations, bytes, numbers of fetches.

use tower_oauth_benches::{
    fetches,
    herd::{self, Look, Through},
    hot::{self, Kind},
    memory,
};

use crate::{
    instructions::Instructions,
    row::{
        Row,
        Target::{AtMost, Exactly},
    },
};

const REQUESTS: u64 = 1000;

/// `limit` is what becomes of the target of the row with this name.
pub fn instructions(
    counts: &mut Instructions,
    limit: fn(&str, f64) -> f64,
    print: &mut dyn FnMut(Row),
) {
    for (clones, how, target) in [(false, "", 250.0), (true, ", clone per request", 300.0)] {
        for headers in [0, 8] {
            for response_headers in [0, 6] {
                let kind = Kind { response_headers, clones, ..Kind::new("never", headers) };
                let name = format!(
                    "instructions over SRH, Never, {headers} + {response_headers} headers{how}"
                );
                let limit = limit(&name, target);
                print(Row::new(name, counts.over_srh(kind).round(), "", AtMost(limit)));
            }
        }
    }
    let large = Kind { large: true, ..Kind::new("empty_body", 8) };
    let ratio = counts.of(large) / counts.of(Kind { case: "srh", ..large });
    let name = "instructions, IfEmpty, 8 headers, inner of 304 bytes";
    print(Row::new(name, ratio, " × SRH", AtMost(1.6)));
}

pub fn allocations(print: &mut dyn FnMut(Row)) {
    for headers in [0, 8] {
        for clones in [false, true] {
            let kind = Kind { clones, ..Kind::new("never", headers) };
            let over = over_srh(kind);
            let how = if clones { ", clone per request" } else { "" };
            let name = format!("allocations over SRH, Never, {headers} headers{how}");
            print(Row::new(name, over, "", Exactly(0.0)));
        }
    }
    let large = Kind { large: true, ..Kind::new("empty_body", 8) };
    let name = "allocations over SRH, IfEmpty, 8 headers, inner of 304 bytes";
    print(Row::new(name, over_srh(large), "", AtMost(3.0)));
}

fn over_srh(kind: Kind<'_>) -> f64 {
    hot::run(kind, REQUESTS) - hot::run(Kind { case: "srh", ..kind }, REQUESTS)
}

pub fn fetches(print: &mut dyn FnMut(Row)) {
    for callers in [1000, 10_000, 100_000] {
        for (workers, runtime) in [(0, "current thread"), (2, "2 workers")] {
            for through in [Through::Cache, Through::Service] {
                let herd = herd::run(callers, workers, through, Look::Time);
                assert_eq!(herd.served, callers, "callers without an answer");
                let name = format!("herd of {callers}, {runtime}, {through}: fetches");
                print(Row::new(name, herd.fetches as f64, "", Exactly(1.0)));
            }
        }
    }
    print(Row::new(
        "endpoint down, 1000 callers: fetches",
        fetches::down(1000) as f64,
        "",
        Exactly(1.0),
    ));
    let (attempt, fetched) = fetches::give_up();
    print(Row::new(
        "give-ups at 30 of 50 ms: the try that is served",
        attempt as f64,
        "",
        Exactly(2.0),
    ));
    print(Row::new("give-ups at 30 of 50 ms: fetches", fetched as f64, "", Exactly(1.0)));
    let (refreshes, served) = fetches::late_401s(50);
    assert_eq!(served, 50, "requests that were not sent again");
    print(Row::new("50 late 401s: refreshes", refreshes as f64, "", Exactly(1.0)));
}

pub fn memory(print: &mut dyn FnMut(Row)) {
    const CALLERS: usize = 100_000;
    let bytes = |through| {
        let herd = herd::run(CALLERS, 0, through, Look::Bytes);
        herd.bytes as f64 / CALLERS as f64
    };
    for (through, target) in [
        (Through::Cache, 280.0),
        (Through::Service, 700.0 + 2.0 * 8.0),
        (Through::LargeService, 700.0 + 2.0 * 304.0),
    ] {
        let name = format!("herd of {CALLERS}, {through}: memory per waiter");
        print(Row::new(name, bytes(through), " B", AtMost(target)));
    }
    let memory = memory::measure();
    print(Row::new(
        "memory of an idle clone, elsewhere",
        memory.per_clone as f64,
        " B",
        Exactly(0.0),
    ));
}
