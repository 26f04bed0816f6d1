//! What is measured of a case, and the table of it.

use tower::BoxError;

use crate::{
    hot,
    scenario::{down, giveup, late401},
    versions,
};

pub struct Row {
    pub name: &'static str,
    /// Nothing of a constant, which is not fetched.
    pub failures: Option<Failures>,
    /// Beyond a request without a layer.
    pub instructions: f64,
    pub allocations: f64,
}

pub struct Failures {
    /// Token requests of 1,000 callers while the endpoint is down, and what the slowest waited.
    pub down: usize,
    pub slowest: f64,
    /// The first of 20 impatient callers that is served, and the token requests until then.
    pub served: Option<usize>,
    pub requests: usize,
    /// Token requests for 50 late 401s, if the peer can do anything about one.
    pub refreshes: Option<usize>,
}

impl Row {
    pub fn measure(case: &str, name: &'static str, none: (f64, f64)) -> Result<Self, BoxError> {
        Ok(Self {
            name,
            failures: if case == "srh" { None } else { Some(Failures::measure(case)?) },
            instructions: hot::instructions(case)? - none.0,
            allocations: hot::allocations(case)? - none.1,
        })
    }
}

impl Failures {
    fn measure(case: &str) -> Result<Self, BoxError> {
        let (down, slowest) = down(case)?;
        let (served, requests) = giveup(case)?;
        let (slowest, refreshes) = (slowest.as_secs_f64(), late401(case)?);
        Ok(Self { down, slowest, served, requests, refreshes })
    }
}

pub fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| | endpoint down, 1,000 callers: token requests | slowest caller | callers that wait 100 ms for \
         a fetch of 150: served (token requests) | 50 late 401s: token requests | a request: instructions | allocations |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let failures = match &row.failures {
            Some(Failures { down, slowest, served, requests, refreshes }) => {
                let served = served.map_or("never".to_owned(), |n| format!("try {n}"));
                let refreshes = refreshes.map_or("cannot".to_owned(), |n| n.to_string());
                format!("{down} | {slowest:.2} s | {served} ({requests}) | {refreshes}")
            }
            None => "| | |".to_owned(),
        };
        let Row { name, instructions, allocations, .. } = row;
        text += &format!("| {name} | {failures} | {instructions:.0} | {allocations} |\n");
    }
    let versions = versions::of(|name| rows.iter().any(|row| row.name.contains(name)));
    text + &format!("\n{versions}.\n")
}
