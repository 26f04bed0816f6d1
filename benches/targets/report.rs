//! `RESULTS.md`, which is also what is printed.

use std::{fmt::Display, fs, process::Command, thread};

#[derive(Default)]
pub struct Report {
    pub text: String,
    pub missed: usize,
}

impl Report {
    pub fn head(&mut self, valgrind: &str) {
        let rustc = Command::new("rustc").arg("--version").output();
        let rustc = rustc.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let processor = cpuinfo.lines().find_map(|line| line.strip_prefix("model name\t: "));
        let processor = processor.unwrap_or("unknown processor");
        let count = thread::available_parallelism().map_or(1, usize::from);
        self.line("# What it costs\n");
        self.line(
            "Written by `cargo bench --bench targets`. SRH is tower-http's `SetRequestHeader` with a \
             constant value. One request: parse its URI; make half of its headers at run time, and \
             take the others from constants, unless the row says otherwise; ready, call, await, \
             drop. The token has 1 KiB, one origin is set, and the innermost service responds at \
             once. Instructions are callgrind's. All but times are the same in every run of one \
             build.\n",
        );
        self.line(format!("{}, {valgrind}, {count} × {processor}", rustc.unwrap_or_default()));
    }

    pub fn table(&mut self, title: &str, columns: &str) {
        let rule = "---|".repeat(columns.matches('|').count() - 1);
        self.line(format!("\n## {title}\n\n{columns}\n|{rule}"));
    }

    /// A row that is at most that, or missed.
    pub fn judge(&mut self, what: impl Display, measured: f64, unit: &str, target: f64) {
        let is_met = measured <= target;
        self.missed += usize::from(!is_met);
        let verdict = if is_met { "ok" } else { "MISS" };
        let (measured, target) = (number(measured), number(target));
        self.line(format!("| {what} | {measured}{unit} | ≤ {target}{unit} | {verdict} |"));
    }

    pub fn line(&mut self, line: impl Display) {
        let line = line.to_string();
        println!("{line}");
        self.text += &line;
        self.text += "\n";
    }
}

/// Without digits that mean nothing.
pub fn number(value: f64) -> String {
    if value.fract() == 0.0 || value.abs() >= 100.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}
