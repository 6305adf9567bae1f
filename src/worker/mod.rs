//! The shell: the only place that talks to the Workers runtime. It holds no rules: it turns requests,
//! storage, alarms and RPC into calls of the core, and the core's answers back.

mod admin;
mod body;
mod challenge;
mod charge;
mod clock;
mod config;
mod connection;
mod entry;
mod escrow;
mod exact;
mod failure;
mod fresh;
mod gathering;
mod glue;
mod health;
mod holding;
mod http;
mod objects;
mod origin;
mod paid;
mod priced;
mod promised;
mod rail;
mod remote;
mod respond;
mod rpc;
mod session;
mod shared;
mod snapshot;
mod sponsoring;
mod status;
mod stream;
mod token;
mod visit;
mod watch;
