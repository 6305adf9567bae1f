//! x402, versions 2 and 1 (`x402-specification-v2.md` and `-v1.md` of coinbase/x402): what a `402` asks for, what a client presents,
//! and what it is told. No way of moving money is named here.
//!
//! | | version 2 | version 1 |
//! |---|---|---|
//! | asks | header `PAYMENT-REQUIRED` ([`Offers::header`]) | members of the body ([`Offers::v1_members`]) |
//! | pays | header `PAYMENT-SIGNATURE` | header `X-PAYMENT` |
//! | is told | header `PAYMENT-RESPONSE` ([`Outcome`]) | header `X-PAYMENT-RESPONSE` |
//!
//! All headers are standard base64, with padding, of JSON. There is no challenge: a proof says by itself whether it was used.
//!
//! In this order: [`Offers`] are made once for a route. [`PaymentPayload::read`] reads a request; where it finds nothing,
//! [`Offers::header`] asks. [`PaymentPayload::accept`] finds the offer that is paid; the rail proves it from
//! [`PaymentPayload::payload`]. [`Outcome`] tells what came of it, and [`Reason::of`] why nothing did.
//!
//! ```
//! use mpp_edge::money::Amount;
//! use mpp_edge::wire::x402::{Offers, Outcome, PaymentPayload, Reason, Requested, Requirement, Version};
//!
//! let requirement = Requirement {
//!     scheme: "exact",
//!     network: "eip155:84532".into(),
//!     v1_network: Some("base-sepolia"),
//!     amount: Amount::from_base_units(10_000),
//!     asset: "0x036CbD53842c5426634e7929541eC2318f3dCF7e".into(),
//!     pay_to: "0x70997970C51812dc3A010C7d01b50e0d17dc79C8".into(),
//!     max_timeout_seconds: 300,
//!     extra: [("name", "USDC".into()), ("version", "2".into())].into(),
//! };
//! let offers = Offers::new(vec![requirement], Some("Daily report"), None);
//! let requested = Requested { url: "https://api.example.com/v1/report", method: "GET" };
//!
//! // A request without a payment.
//! assert!(PaymentPayload::read(None, None, 8192).unwrap().is_none());
//! let header = offers.header(&requested, "Payment required", |_| true).unwrap();
//! assert!(header.starts_with("eyJ4NDAyVmVyc2lvbiI6Mi"));
//!
//! // One that cannot be read.
//! let problem = PaymentPayload::read(Some("e30="), None, 8192).unwrap_err();
//! assert_eq!(problem.detail, "PAYMENT-SIGNATURE: x402Version: is missing");
//! assert_eq!(Reason::of(&problem).as_str(), "invalid_payload");
//!
//! let failed = Outcome::failed("eip155:84532", None, Reason::of(&problem));
//! assert_eq!(Version::V2.outcome_header(), "PAYMENT-RESPONSE");
//! assert_eq!(failed.to_json(), r#"{"success":false,"errorReason":"invalid_payload","transaction":"","network":"eip155:84532"}"#);
//! ```

mod extensions;
mod offers;
mod outcome;
mod payment;
mod reason;

pub use offers::{Flow, Offers, Requirement};
pub use outcome::Outcome;
pub use payment::{Accepted, PaymentPayload};
pub use reason::Reason;

/// The header of a `402` that holds what is asked for, in version 2.
pub const PAYMENT_REQUIRED: &str = "PAYMENT-REQUIRED";

/// A version of the protocol. A client pays in that of the offer that it read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Networks by name; offers in the body.
    V1,
    /// Networks by CAIP-2; offers in a header.
    V2,
}

/// The HTTP request that is to be paid for.
#[derive(Clone, Copy, Debug)]
pub struct Requested<'a> {
    /// Its absolute URL.
    pub url: &'a str,
    /// Its HTTP method.
    pub method: &'a str,
}

impl Version {
    /// The header of a request that pays.
    pub const fn payment_header(self) -> &'static str {
        match self {
            Self::V1 => "X-PAYMENT",
            Self::V2 => "PAYMENT-SIGNATURE",
        }
    }

    /// [`Version::payment_header`] in lower case.
    pub const fn payment_key(self) -> &'static str {
        match self {
            Self::V1 => "x-payment",
            Self::V2 => "payment-signature",
        }
    }

    /// The header of the answer to a request that pays.
    pub const fn outcome_header(self) -> &'static str {
        match self {
            Self::V1 => "X-PAYMENT-RESPONSE",
            Self::V2 => "PAYMENT-RESPONSE",
        }
    }

    /// [`Version::outcome_header`] in lower case.
    pub const fn outcome_key(self) -> &'static str {
        match self {
            Self::V1 => "x-payment-response",
            Self::V2 => "payment-response",
        }
    }

    const fn number(self) -> u64 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }
}
