//! x402's scheme `exact` by ERC-3009 (`specs/schemes/exact/scheme_exact_evm.md`): what is asked for, and what proves it. The same
//! authorization as a charge's, without a challenge: the client chooses its nonce.
//!
//! In this order: [`requirement`] for the offer; [`Unverified::read`] and [`Unverified::verify`] for what was presented. From there on it is
//! a [`Charge`] that is bound to its request.

use super::Asset;
use super::charge::{Binding, Charge, ChargeTerms};
use super::flaw::{self, malformed, seconds};
use crate::evm::eip712::Domain;
use crate::evm::erc3009::{Authorization, SignedAuthorization};
use crate::evm::parse::{self, InvalidHex};
use crate::evm::signature::{InvalidSignature, Signature};
use crate::evm::{B256, ChainId};
use crate::json;
use crate::money::Amount;
use crate::wire::problem::Problem;
use crate::wire::x402::{Accepted, Flow, PaymentPayload, Reason, Requirement, Version};
use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::format;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// The scheme's name on the wire.
pub const SCHEME: &str = "exact";

/// The networks that have a name for clients of version 1. The newer clients know more, but one name that an older one does not know keeps
/// it from reading any offer.
const V1_NETWORKS: [(&str, ChainId); 15] = [
    ("abstract", 2741),
    ("abstract-testnet", 11124),
    ("avalanche", 43114),
    ("avalanche-fuji", 43113),
    ("base", 8453),
    ("base-sepolia", 84532),
    ("educhain", 41923),
    ("iotex", 4689),
    ("peaq", 3338),
    ("polygon", 137),
    ("polygon-amoy", 80002),
    ("sei", 1329),
    ("sei-testnet", 1328),
    ("skale-base-sepolia", 324_705_682),
    ("story", 1514),
];

/// The name of a chain for all clients of version 1, if it has one.
pub fn v1_network(chain_id: ChainId) -> Option<&'static str> {
    V1_NETWORKS.iter().find(|(_, id)| *id == chain_id).map(|(name, _)| *name)
}

/// What is asked for. `name` and `version` are those of the token's EIP-712 domain, `max_timeout_seconds` is how long a client's
/// authorization is to be good for.
pub fn requirement(terms: &ChargeTerms, name: &str, version: &str, flow: Flow, max_timeout_seconds: u32) -> Requirement {
    let mut extra = BTreeMap::new();
    extra.extend([("assetTransferMethod", "eip3009".into()), ("name", name.into()), ("version", version.into())]);
    extra.extend(flow.announced().map(|flow| ("paymentFlow", flow.into())));
    Requirement {
        scheme: SCHEME,
        network: format!("eip155:{}", terms.chain_id),
        v1_network: v1_network(terms.chain_id),
        amount: terms.amount,
        asset: terms.token.to_checksum(None),
        pay_to: terms.recipient.to_checksum(None),
        max_timeout_seconds,
        extra,
    }
}

/// What the signature of a wallet that is not deployed yet ends with (ERC-6492): sixteen times `6492`.
const ERC6492_SUFFIX: &str = "6492649264926492649264926492649264926492649264926492649264926492";

/// The payload. Those of other transfer methods and networks are known by their members.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a> {
    #[serde(borrow)]
    authorization: Option<PresentedAuthorization<'a>>,
    #[serde(borrow)]
    signature: Option<Cow<'a, str>>,
    permit2_authorization: Option<IgnoredAny>,
    delegation_manager: Option<IgnoredAny>,
    transaction: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PresentedAuthorization<'a> {
    #[serde(borrow)]
    from: Cow<'a, str>,
    #[serde(borrow)]
    to: Cow<'a, str>,
    #[serde(borrow)]
    value: Cow<'a, str>,
    #[serde(borrow)]
    valid_after: Cow<'a, str>,
    #[serde(borrow)]
    valid_before: Cow<'a, str>,
    #[serde(borrow)]
    nonce: Cow<'a, str>,
}

/// An authorization as read from a payment, before its signature is checked.
#[derive(Debug)]
pub struct Unverified {
    authorization: Authorization,
    signature: Signature,
    asset: Asset,
    is_bound: bool,
}

/// A payment whose proof is right as far as it can be told without the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exact {
    /// What is paid in.
    pub asset: Asset,
    /// What is to be broadcast. It moves what was signed: in version 1 that may be more than was asked for.
    pub signed: SignedAuthorization,
    /// Whether the nonce is derived from the request. Then whoever made it has paid for this very request; else it may be anybody's.
    pub is_bound: bool,
}

impl Unverified {
    /// Reads the proof and compares it with what was asked, in the order of the published facilitator, but for the signature, which costs
    /// most and comes last, and the times, which matter only when the payment is begun.
    ///
    /// The value is the price; in version 1 it may be more, as that version has it. The chain moves what was signed, and cannot move less.
    ///
    /// # Errors
    /// 402 with its [`Reason`]; the detail names the field.
    pub fn read(payment: &PaymentPayload, accepted: &Accepted<'_>, terms: &ChargeTerms) -> Result<Self, Problem> {
        let payload: Payload<'_> = json::read(payment.payload().get()).map_err(|error| malformed("payload", error.detail))?;
        let presented = payload.authorization()?;
        let at = |field: &str| ["payload.authorization.", field].concat();
        let address = |field: &str, text: &str| parse::address(text).map_err(|error| malformed(&at(field), error));
        let seconds = |field: &str, text: &str| seconds(&at(field), text);
        let authorization = Authorization {
            from: address("from", &presented.from)?,
            to: address("to", &presented.to)?,
            value: Amount::parse_base_units(&presented.value).map_err(|error| malformed(&at("value"), error))?,
            valid_after: seconds("validAfter", &presented.valid_after)?,
            valid_before: seconds("validBefore", &presented.valid_before)?,
            nonce: parse::hash(&presented.nonce).map_err(|error| malformed(&at("nonce"), error))?,
        };
        let signature = payload.signature()?;
        if authorization.to != terms.recipient {
            return Err(failed("payload.authorization.to: must be the offer's payTo", Reason::ExactRecipient));
        }
        let is_enough = match accepted.version {
            Version::V2 => authorization.value == terms.amount,
            Version::V1 => authorization.value >= terms.amount,
        };
        if !is_enough {
            return Err(failed("payload.authorization.value: must be the offer's amount", Reason::ExactValue));
        }
        if accepted.nonce.is_some_and(|nonce| nonce != authorization.nonce) {
            let detail = "payload.authorization.nonce: is not derived from this request, as extensions.mppx.info.nonce announces";
            return Err(failed(detail, Reason::ExtensionMismatch));
        }
        Ok(Self { authorization, signature, asset: terms.asset(), is_bound: accepted.nonce.is_some() })
    }

    /// Checks that the payer signed this authorization in the token's domain.
    ///
    /// # Errors
    /// 402 with the reason `invalid_exact_evm_signature`.
    pub fn verify(self, domain: &Domain) -> Result<Exact, Problem> {
        let Self { authorization, signature, asset, is_bound } = self;
        let signer = signature.recover(authorization.digest(domain)).map_err(invalid_signature)?;
        if signer != authorization.from {
            return Err(failed(
                "payload.signature: is not by payload.authorization.from for this authorization; sign it in the domain of extra.name and extra.version",
                Reason::ExactSignature,
            ));
        }
        Ok(Exact { asset, signed: SignedAuthorization { authorization, signature }, is_bound })
    }
}

impl<'a> Payload<'a> {
    fn authorization(&self) -> Result<&PresentedAuthorization<'a>, Problem> {
        if let Some(authorization) = &self.authorization {
            return Ok(authorization);
        }
        if self.permit2_authorization.is_some() || self.delegation_manager.is_some() || self.transaction.is_some() {
            return Err(failed("payload: only an ERC-3009 authorization is taken here", Reason::UnsupportedPayload));
        }
        Err(malformed("payload.authorization", "is missing"))
    }

    fn signature(&self) -> Result<Signature, Problem> {
        let text = self.signature.as_deref().ok_or_else(|| malformed("payload.signature", "is missing"))?;
        if text.ends_with(ERC6492_SUFFIX) {
            let detail = "payload.signature: of a wallet that is not deployed yet (ERC-6492); pay from an account with a key";
            return Err(failed(detail, Reason::ExactUndeployed));
        }
        Signature::parse(text).map_err(invalid_signature)
    }
}

impl Exact {
    /// The charge that it pays, for the request that hashes to `request`.
    pub const fn charge(self, request: B256) -> Charge {
        let Self { asset, signed, is_bound } = self;
        Charge { binding: Binding::Request { request, binds_nonce: is_bound }, asset, signed }
    }
}

fn invalid_signature(error: InvalidSignature) -> Problem {
    if let InvalidSignature::Encoding(InvalidHex::WrongLength { .. }) = error {
        let detail =
            "payload.signature: must have 65 bytes, as an account with a key makes it; those of contract wallets (ERC-1271) are not taken";
        return failed(detail, Reason::ExactSignature);
    }
    failed(format!("payload.signature: {error}"), Reason::ExactSignature)
}

fn failed(detail: impl Into<Cow<'static, str>>, reason: Reason) -> Problem {
    flaw::failed(detail).because(reason)
}
