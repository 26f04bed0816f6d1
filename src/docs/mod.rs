//! What does not fit beside one item: chapters.

#[doc = include_str!("performance.md")]
pub mod performance {}
#[doc = include_str!("rules.md")]
pub mod rules {}
