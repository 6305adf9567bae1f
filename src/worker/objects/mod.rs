//! The Durable Objects, each in its folder: how it is spoken to, and what it does.

pub(super) mod account;
mod alarm;
pub(super) mod channel;
mod export;
mod message;
mod object;
pub(super) mod payer;
mod table;
