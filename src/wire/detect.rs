//! What a request presents, whichever wire it speaks. This is the one place that decides.

use super::mpp::credential::{Credential, CredentialField, InvalidCredential};
use super::problem::{Problem, ProblemKind};
use super::x402::{PaymentPayload, Version};
use alloc::boxed::Box;
use alloc::format;

/// A request's fields that may hold a proof of payment.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    /// Which of its fields holds a credential of the `Payment` scheme on this route.
    pub field: CredentialField,
    /// That credential, as it stands after the scheme's name.
    pub credential: Option<&'a str>,
    /// `PAYMENT-SIGNATURE` and `X-PAYMENT`; `None` where the route does not take x402.
    pub signature: Option<&'a str>,
    /// See `signature`.
    pub x_payment: Option<&'a str>,
}

/// What was presented.
#[derive(Debug)]
pub enum Presented {
    /// Nothing.
    Nothing,
    /// A credential of the `Payment` scheme.
    Mpp(Box<Credential>),
    /// A payment of x402.
    X402(Box<PaymentPayload>),
}

impl Fields<'_> {
    /// Reads what was presented; each field may have `limit` bytes.
    ///
    /// # Errors
    /// 400 when there are proofs of two wires, or one is too long; 402 when one cannot be read.
    pub fn read(&self, limit: usize) -> Result<Presented, Problem> {
        let name = self.field.name();
        let x402 = match (self.signature, self.x_payment) {
            (None, None) => None,
            (Some(_), _) => Some(Version::V2),
            (None, Some(_)) => Some(Version::V1),
        };
        match (self.credential, x402) {
            (None, None) => Ok(Presented::Nothing),
            (Some(_), Some(version)) => {
                let header = version.payment_header();
                Err(Problem::new(ProblemKind::BadRequest, format!("{name} and {header}: a request is paid by one of them, not both")))
            }
            (Some(token), None) if token.len() > limit => Err(Problem::new(
                ProblemKind::BadRequest,
                format!("{name}: the credential is longer than {limit} bytes; send a shorter one"),
            )),
            (Some(token), None) => {
                let malformed = |error: InvalidCredential| Problem::new(ProblemKind::MalformedCredential, format!("{name}: {error}"));
                Credential::parse(token).map(|credential| Presented::Mpp(Box::new(credential))).map_err(malformed)
            }
            (None, Some(_)) => {
                let payment = PaymentPayload::read(self.signature, self.x_payment, limit)?;
                Ok(payment.map_or(Presented::Nothing, |payment| Presented::X402(Box::new(payment))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn read(credential: Option<&str>, signature: Option<&str>, x_payment: Option<&str>) -> Result<Presented, Problem> {
        Fields { field: CredentialField::Authorization, credential, signature, x_payment }.read(64)
    }

    fn refused(credential: Option<&str>, signature: Option<&str>, x_payment: Option<&str>) -> (u16, alloc::string::String) {
        let problem = read(credential, signature, x_payment).unwrap_err();
        (problem.kind.status(), problem.detail.into_owned())
    }

    #[test]
    fn one_request_is_paid_by_one_wire() {
        assert!(matches!(read(None, None, None), Ok(Presented::Nothing)));
        for (signature, x_payment, name) in [(Some("e30="), None, "PAYMENT-SIGNATURE"), (None, Some("e30="), "X-PAYMENT")] {
            let (status, detail) = refused(Some("e30"), signature, x_payment);
            assert_eq!((status, detail.contains(name)), (400, true), "{detail}");
        }
        assert_eq!(refused(None, Some("e30="), Some("e30=")).0, 400);
    }

    #[test]
    fn what_is_too_long_is_not_read_on_any_wire() {
        let long = "A".repeat(65);
        for (credential, signature, x_payment) in
            [(Some(long.as_str()), None, None), (None, Some(long.as_str()), None), (None, None, Some(long.as_str()))]
        {
            let (status, detail) = refused(credential, signature, x_payment);
            assert!(status == 400 && detail.contains("64 bytes"), "{detail}");
        }
    }
}
