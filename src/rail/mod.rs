//! Rails: how money is proven and moved. A rail knows no HTTP.

pub mod evm;
