//! The shell: the only place that talks to the Workers runtime. It holds no rules: it turns requests,
//! storage, alarms and RPC into calls of the core, and the core's answers back.

mod body;
mod clock;
mod config;
mod entry;
mod holding;
mod objects;
mod origin;
mod paid;
mod respond;
mod rpc;
mod status;
mod token;
mod watch;
