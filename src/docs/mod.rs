//! What does not fit beside one item: chapters.

#[cfg(feature = "shared")]
#[cfg_attr(docsrs, doc(cfg(feature = "shared")))]
#[doc = include_str!("fleet.md")]
#[doc = include_str!("fleet_figures.md")]
#[doc = include_str!("fleet_limits.md")]
pub mod fleet {}
#[doc = include_str!("performance.md")]
pub mod performance {}
#[doc = include_str!("rules.md")]
pub mod rules {}
