//! Chapters, to read.

#[doc = include_str!("rules.md")]
pub mod rules {}
