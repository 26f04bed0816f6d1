//! What the benches share: requests, the cases that they go through, and what happens to them.
#![forbid(unsafe_code)]

pub mod api;
pub mod case;
pub mod failures;
pub mod herd;
pub mod hot;
pub mod memory;
