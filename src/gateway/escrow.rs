//! What an escrow says of itself, compared with what is configured.

use super::validate::Rule;
use crate::channel::Unfit;
use crate::rail::evm::Method;
use crate::wire::problem::FieldError;
use alloc::borrow::ToOwned;

/// The wrong field when the method's escrow is not one that can be relied on; `None` when it is no escrow at all.
pub fn escrow_misfit(method: Method, unfit: Option<Unfit>) -> FieldError {
    let field = match method {
        Method::Abstract => "escrow",
        Method::Evm => "evmEscrow",
    };
    let detail = match unfit {
        Some(Unfit::GracePeriod) => "gives the payee less than 10 minutes after a request to close",
        Some(_) => "signs its vouchers in another EIP-712 domain than the method's",
        None => "is no channel escrow: it does not answer CLOSE_GRACE_PERIOD() and domainSeparator()",
    };
    FieldError {
        rule: Rule::Escrow.number(),
        field: field.to_owned(),
        detail: detail.to_owned(),
        remedy: "set the address of the method's own escrow on this chain".to_owned(),
    }
}
