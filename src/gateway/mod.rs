//! The gateway's own rules: configuration, routes and prices, offers, header hygiene.

pub mod admin;
pub mod config;
pub mod cors;
mod escrow;
pub mod exact;
pub mod handout;
pub mod headers;
pub mod offer;
pub mod path;
pub mod probe;
pub mod route;
pub mod shared;
pub mod target;
pub mod token;
pub(crate) mod validate;

pub use escrow::escrow_misfit;
pub use validate::{Misconfigured, Secrets, validate};
