//! Instructions per request: this program runs itself under callgrind.

use std::{env, process::Command};

use tower_oauth_benches::hot::{Kind, on_used_heap, uncounted};

/// The argument that makes this program such a run.
pub const LOOP: &str = "loop";
const REQUESTS: u64 = 1000;

/// Nothing but the loop, as the arguments after `LOOP` describe it.
pub fn run_loop(kind: &[&str]) {
    let [case, numbers @ ..] = kind else { panic!("no case") };
    let numbers: Vec<_> = numbers.iter().map(|number| number.parse().unwrap()).collect();
    let [headers, made, response_headers, clones, large] = numbers[..] else {
        panic!("not a kind of request: {kind:?}")
    };
    let (clones, large) = (clones > 0, large > 0);
    let kind = Kind { case, headers, made, response_headers, clones, large };
    let mut service = kind.service();
    on_used_heap(&kind, || {
        service.send(&kind, 3);
        uncounted(&mut *service, &kind, REQUESTS);
    });
}

pub fn version() -> String {
    let output = Command::new("valgrind").arg("--version").output();
    let output = output.expect("valgrind, which counts instructions, is not installed");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

pub fn instructions(kind: &Kind<'_>) -> f64 {
    let Kind { case, headers, made, response_headers, clones, large } = *kind;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg("--toggle-collect=*::hot::uncounted*")
        .arg(env::current_exe().unwrap())
        .args([LOOP, case])
        .args([headers, made, response_headers, clones.into(), large.into()].map(|n| n.to_string()))
        .output()
        .unwrap();
    // ==1234== Collected : 56789
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let collected = stderr.lines().find_map(|line| line.split_once("Collected :"));
    let collected = collected.and_then(|(_, count)| count.trim().parse::<f64>().ok());
    (collected.filter(|count| *count > 0.0).expect(&stderr) / REQUESTS as f64).round()
}
