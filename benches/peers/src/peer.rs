//! The peers, each driven as its documentation says, in the cheapest tower service that will do.

pub mod google;
pub mod hand;
pub mod huskarl;
pub mod kube;
pub mod ours;
pub mod smithy;
