//! The five token APIs, each as a server written from its page alone, and two that are not in the
//! documentation.
#![cfg(all(any(feature = "client", feature = "client-ring"), feature = "config"))]

mod bright_pattern;
mod config;
mod dell_techdirect;
mod dhl_ecommerce;
mod dqe;
mod manageengine_ddi_central;
mod server;
