//! What the benches and the judging command `targets` share: the cases, the loads, and what counts.

pub mod allocations;
pub mod api;
pub mod case;
pub mod cpu;
pub mod fetches;
pub mod herd;
pub mod hot;
pub mod memory;
pub mod refresh;
