//! Sponsored deposits: openings of channels and additions to them that the gateway submits and pays the gas for.

use super::rpc::{Network, Rpc};
use crate::evm::escrow::takes_authorizations;
use crate::evm::jsonrpc::{Request, decode};
use crate::rail::evm::{Method, Rail};
use alloy_primitives::Bytes;
use std::cell::Cell;

/// Whether a rail's escrow of the method `evm` has the functions for them, once that was learned.
#[derive(Default)]
pub(super) struct Sponsoring {
    takes_authorizations: Cell<Option<bool>>,
}

impl Sponsoring {
    /// Whether deposits are sponsored: when that is configured, and the escrow has the functions for it. The chain is asked once; a
    /// failure is not remembered, and means no.
    pub(super) async fn is_possible(&self, rail: &Rail, rpc: &Rpc) -> bool {
        if !rail.session.sponsors {
            return false;
        }
        let Some(escrow) = rail.escrow_of(Method::Evm) else { return false };
        if let Some(known) = self.takes_authorizations.get() {
            return known;
        }
        let Ok([Ok(code)]) = rpc.ask([Request::code(escrow)]).await else { return false };
        let Ok(code) = decode::<Bytes>(&code) else { return false };
        let takes = takes_authorizations(&code);
        self.takes_authorizations.set(Some(takes));
        takes
    }
}
