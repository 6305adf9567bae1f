//! Rails: how money is proven and moved. A rail knows no HTTP.

pub mod evm;

/// Names a rail of the configuration by its place there. It is good for as long as the configuration is: nothing stores it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RailId(pub usize);
