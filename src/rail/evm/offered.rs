//! A charge as a rail of this kind offers it: by one of its methods, or over x402.

use super::charge::{self, Binding, Charge, ChargeTerms};
use super::{Method, exact};
use crate::evm::B256;
use crate::evm::eip712::Domain;
use crate::money::Amount;
use crate::rail::{Fresh, Payment, Proof, Terms};
use crate::time::Timestamp;
use crate::wire::mpp::credential::Credential;
use crate::wire::problem::Problem;
use crate::wire::x402::{Accepted, Flow, PaymentPayload, Requirement};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;

/// What a charge asks for by one method.
#[derive(Clone, Debug)]
pub struct Offered {
    method: Method,
    terms: ChargeTerms,
    domain: Option<(String, String)>,
}

impl Offered {
    /// `domain`: name and version of the token's EIP-712 domain, where the configuration says them; clients of x402 are told.
    #[allow(clippy::new_ret_no_self, reason = "it is only ever used as what it is offered as")]
    pub fn new(method: Method, terms: ChargeTerms, domain: Option<(String, String)>) -> Arc<dyn Terms> {
        Arc::new(Self { method, terms, domain })
    }
}

impl Terms for Offered {
    fn method(&self) -> &str {
        self.method.name()
    }

    fn amount(&self) -> Amount {
        self.terms.amount
    }

    fn request(&self, description: Option<&str>, _: Option<&Fresh>) -> String {
        self.terms.request(self.method, description)
    }

    fn read(&self, credential: &Credential, expires: Timestamp) -> Result<Proof, Problem> {
        let unverified = charge::Unverified::read(credential, self.method, &self.terms)?;
        let asset = self.terms.asset();
        let binding = Binding::Challenge { id: credential.challenge.id.clone(), expires, binds_nonce: self.method.binds_nonces() };
        let check = move |domain: &Domain| Ok(Payment::Evm(Charge { binding, asset, signed: unverified.verify(domain)? }));
        Ok(Proof::Signed(Box::new(check)))
    }

    fn requirement(&self, flow: Flow, max_timeout_seconds: u32) -> Option<Requirement> {
        let (name, version) = self.domain.as_ref()?;
        Some(exact::requirement(&self.terms, name, version, flow, max_timeout_seconds))
    }

    fn read_exact(&self, payment: &PaymentPayload, accepted: &Accepted<'_>) -> Result<Proof, Problem> {
        let unverified = exact::Unverified::read(payment, accepted, &self.terms)?;
        // What it pays for is known when the body is.
        let check = move |domain: &Domain| Ok(Payment::Evm(unverified.verify(domain)?.charge(B256::ZERO)));
        Ok(Proof::Signed(Box::new(check)))
    }
}
