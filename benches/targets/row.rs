//! One target: what was measured, what it should be, and whether it is.

use std::fmt;

pub struct Row {
    pub name: String,
    pub measured: f64,
    pub unit: &'static str,
    pub target: Target,
    /// What else there is to say, or nothing.
    pub note: String,
}

/// All of them are met by what is equal.
#[derive(Clone, Copy)]
pub enum Target {
    AtMost(f64),
    AtLeast(f64),
    Exactly(f64),
}

impl Row {
    pub fn new(name: impl Into<String>, measured: f64, unit: &'static str, target: Target) -> Self {
        Self { name: name.into(), measured, unit, target, note: String::new() }
    }

    pub fn is_met(&self) -> bool {
        match self.target {
            Target::AtMost(most) => self.measured <= most,
            Target::AtLeast(least) => self.measured >= least,
            Target::Exactly(value) => self.measured == value,
        }
    }

    pub fn verdict(&self) -> String {
        let verdict = if self.is_met() { "ok" } else { "MISS" };
        format!("{verdict}{}", self.note)
    }

    pub fn measured(&self) -> String {
        format!("{}{}", number(self.measured), self.unit)
    }

    pub fn target(&self) -> String {
        let (sign, value) = match self.target {
            Target::AtMost(value) => ("≤ ", value),
            Target::AtLeast(value) => ("≥ ", value),
            Target::Exactly(value) => ("", value),
        };
        format!("{sign}{}{}", number(value), self.unit)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (measured, target) = (self.measured(), self.target());
        write!(f, "{:<62} {measured:>14} {target:>14} {}", self.name, self.verdict())
    }
}

/// Without digits that mean nothing.
pub fn number(value: f64) -> String {
    if value.fract() == 0.0 || value.abs() >= 1000.0 {
        format!("{value:.0}")
    } else if value.abs() >= 100.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.3}")
    }
}
