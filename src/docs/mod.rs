//! Chapters, from the first steps to what each rule is for.

#[doc = include_str!("coming_from.md")]
pub mod coming_from {}
#[doc = include_str!("failures.md")]
pub mod failures {}
#[cfg(feature = "shared")]
#[cfg_attr(docsrs, doc(cfg(feature = "shared")))]
#[doc = include_str!("fleet.md")]
#[doc = include_str!("fleet_figures.md")]
#[doc = include_str!("fleet_limits.md")]
pub mod fleet {}
#[doc = include_str!("layers.md")]
pub mod layers {}
#[doc = include_str!("life.md")]
pub mod life {}
#[doc = include_str!("limits.md")]
pub mod limits {}
#[doc = include_str!("performance.md")]
pub mod performance {}
#[doc = include_str!("recipes.md")]
pub mod recipes {}
#[doc = include_str!("rules.md")]
pub mod rules {}
#[doc = include_str!("start.md")]
pub mod start {}
