//! The rows that are judged. They are the same in every run of one build.

use tower_oauth_benches::{
    herd::{self, CACHE, LARGE_SERVICE, SERVICE},
    hot::{Kind, allocations},
    memory,
};

use crate::{callgrind::instructions, report::Report};

const CALLERS: usize = 100_000;

pub fn judge(report: &mut Report) {
    report.table("Targets", "| what | measured | target | |");
    never(report);
    if_empty(report);
    herds(report);
    let [idle, one, sixteen] = memory::of_a_cache(16);
    report.judge("a cache, idle", idle as f64, " B", 1_200.0);
    report.judge("a cache, its token used by 1 thread", one as f64, " B", 3_000.0);
    report.judge("a cache, its token used by 16 threads", sixteen as f64, " B", 30_000.0);
}

fn over_srh(count: fn(&Kind<'_>) -> f64, kind: Kind<'_>) -> f64 {
    count(&kind) - count(&Kind { case: "srh", ..kind })
}

fn never(report: &mut Report) {
    for headers in [0, 8] {
        let kept = Kind::new("never", headers);
        let clones = Kind { clones: true, ..kept };
        for (kind, how, target) in [
            (kept, "", 240.0),
            (Kind { response_headers: 6, ..kept }, ", 6 in the response", 290.0),
            (clones, ", clone per request", 240.0),
        ] {
            let what = format!("instructions over SRH, `Never`, {headers} headers{how}");
            report.judge(what, over_srh(instructions, kind), "", target);
        }
        for (kind, how) in [(kept, ""), (clones, ", clone per request")] {
            let what = format!("allocations over SRH, `Never`, {headers} headers{how}");
            report.judge(what, over_srh(allocations, kind), "", 0.0);
        }
    }
}

fn if_empty(report: &mut Report) {
    for (made, how, target) in [(8, "made at run time", 1.25), (0, "constants", 1.36)] {
        let kind = Kind { made, ..Kind::new("if_empty", 8) };
        let ratio = instructions(&kind) / instructions(&Kind { case: "srh", ..kind });
        report.judge(format!("instructions, `IfEmpty`, 8 {how}"), ratio, " × SRH", target);
        let what = format!("allocations over SRH, `IfEmpty`, 8 {how}");
        report.judge(what, over_srh(allocations, kind), "", 2.0);
    }
}

fn herds(report: &mut Report) {
    for (through, bytes) in
        [(CACHE, 280.0), (SERVICE, 700.0 + 2.0 * 8.0), (LARGE_SERVICE, 700.0 + 2.0 * 304.0)]
    {
        let herd = herd::run(CALLERS, 0, through);
        report.judge(format!("herd of 100,000, {through}: fetches"), herd.fetches as f64, "", 1.0);
        let what = format!("herd of 100,000, {through}: memory per waiter");
        report.judge(what, herd.bytes.round(), " B", bytes);
    }
}
