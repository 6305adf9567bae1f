//! The charge intent of the methods `abstract` and `evm`: one ERC-3009 authorization pays for one
//! request (`draft-evm-charge-00`, credential type `authorization`).

use super::flaw::{failed, malformed, seconds};
use super::{Asset, Method};
use crate::evm::eip712::Domain;
use crate::evm::erc3009::{Authorization, SignedAuthorization};
use crate::evm::signature::Signature;
use crate::evm::{Address, B256, ChainId, keccak256, parse};
use crate::json::{self, Unreadable};
use crate::money::Amount;
use crate::rail::RESUMABLE;
use crate::settlement::{Purpose, Transfer};
use crate::time::Timestamp;
use crate::wire::mpp::credential::Credential;
use crate::wire::mpp::request::ChargeRequest;
use crate::wire::problem::{Problem, ProblemKind};
use crate::wire::x402::Reason;
use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use core::time::Duration;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// An authorization is refused when less than this is left of it: the transaction might be mined too
/// late, and revert at our cost.
pub const MIN_VALIDITY: Duration = Duration::from_secs(10);

/// What a charge asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChargeTerms {
    /// The price in base units.
    pub amount: Amount,
    /// EIP-155 chain id.
    pub chain_id: ChainId,
    /// The token's contract.
    pub token: Address,
    /// The token's decimal places.
    pub decimals: u8,
    /// Who is paid.
    pub recipient: Address,
}

/// Fields stand in JCS order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MethodDetails {
    chain_id: ChainId,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential_types: Option<[&'static str; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decimals: Option<u8>,
}

impl ChargeTerms {
    /// What is paid in.
    pub const fn asset(&self) -> Asset {
        Asset { chain_id: self.chain_id, token: self.token }
    }

    /// The JCS form of the request object that `method` puts into its challenge, with a line for people.
    pub fn request(&self, method: Method, description: Option<&str>) -> String {
        let (credential_types, decimals) = match method {
            Method::Abstract => (None, None),
            Method::Evm => (Some([AUTHORIZATION]), Some(self.decimals)),
        };
        let method_details = MethodDetails { chain_id: self.chain_id, credential_types, decimals };
        let (currency, recipient) = (&self.token.to_checksum(None), &self.recipient.to_checksum(None));
        ChargeRequest { amount: self.amount, currency, description, method_details, recipient: Some(recipient) }.to_jcs()
    }
}

const AUTHORIZATION: &str = "authorization";

/// The payload of a credential of type `authorization`; `to` and `value` are absent in the method `abstract`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a> {
    #[serde(borrow)]
    from: Cow<'a, str>,
    #[serde(borrow, default)]
    to: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    value: Option<Cow<'a, str>>,
    #[serde(borrow)]
    valid_after: Cow<'a, str>,
    #[serde(borrow)]
    valid_before: Cow<'a, str>,
    #[serde(borrow)]
    nonce: Cow<'a, str>,
    #[serde(borrow)]
    signature: Cow<'a, str>,
}

/// A charge whose proof is right as far as it can be told without the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Charge {
    /// What it was signed for.
    pub binding: Binding,
    /// What is paid in.
    pub asset: Asset,
    /// What is to be broadcast.
    pub signed: SignedAuthorization,
}

/// What a payment was made for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Binding {
    /// A challenge of ours.
    Challenge {
        /// Its id.
        id: String,
        /// When it expires.
        expires: Timestamp,
        /// Whether the authorization's nonce is derived from it. Then whoever made the authorization has answered this very
        /// challenge; else it may be anybody's.
        binds_nonce: bool,
    },
    /// No challenge (x402): it pays for the request that it is first presented with.
    Request {
        /// Hash of the realm, method, path and query, and of the body where the route binds it.
        request: B256,
        /// As for a challenge, if the nonce is derived from the request (mppx).
        binds_nonce: bool,
    },
}

/// An authorization as read from a credential, before its signature is checked.
#[derive(Debug)]
pub struct Unverified {
    authorization: Authorization,
    signature: Signature,
}

impl Unverified {
    /// Reads the payload and compares it with what was asked. `realm` and the challenge's id give the
    /// nonce of the method `evm`.
    ///
    /// # Errors
    /// The problem to answer with; its detail names the field.
    pub fn read(credential: &Credential, method: Method, terms: &ChargeTerms) -> Result<Self, Problem> {
        let payload = parse_payload(&credential.payload)?;
        let from = parse::address(&payload.from).map_err(|error| malformed("payload.from", error))?;
        check_source(credential, terms.chain_id, from)?;
        check_payee(&payload, method, terms)?;
        let nonce = parse::hash(&payload.nonce).map_err(|error| malformed("payload.nonce", error))?;
        let challenge = &credential.challenge;
        if method == Method::Evm && !challenge_hashes(&challenge.id, &challenge.realm).contains(&nonce) {
            return Err(failed("payload.nonce: must be keccak256 of the challenge's id and realm: as a JSON list, or one after the other"));
        }
        let authorization = Authorization {
            from,
            to: terms.recipient,
            value: terms.amount,
            valid_after: seconds("payload.validAfter", &payload.valid_after)?,
            valid_before: seconds("payload.validBefore", &payload.valid_before)?,
            nonce,
        };
        let signature = Signature::parse(&payload.signature).map_err(|error| failed(format!("payload.signature: {error}")))?;
        Ok(Self { authorization, signature })
    }

    /// Checks that the payer signed this authorization in the token's domain.
    ///
    /// # Errors
    /// `verification-failed`.
    pub fn verify(self, domain: &Domain) -> Result<SignedAuthorization, Problem> {
        let Self { authorization, signature } = self;
        let signer = signature.recover(authorization.digest(domain)).map_err(|error| failed(format!("payload.signature: {error}")))?;
        if signer != authorization.from {
            return Err(failed(
                "payload.signature: is not by payload.from for this authorization; sign TransferWithAuthorization in the token's EIP-712 domain",
            ));
        }
        Ok(SignedAuthorization { authorization, signature })
    }
}

impl Charge {
    /// Whether the authorization's nonce says what it was made for.
    pub const fn is_bound(&self) -> bool {
        matches!(self.binding, Binding::Challenge { binds_nonce: true, .. } | Binding::Request { binds_nonce: true, .. })
    }

    /// The id of the challenge that it answers, if there is one.
    pub fn challenge_id(&self) -> Option<&str> {
        match &self.binding {
            Binding::Challenge { id, .. } => Some(id),
            Binding::Request { .. } => None,
        }
    }

    /// Whether both are the same charge, whatever valid signature each came with.
    pub fn is_same(&self, other: &Self) -> bool {
        let is_for_the_same = match (&self.binding, &other.binding) {
            (Binding::Challenge { id, .. }, Binding::Challenge { id: other, .. }) => id == other,
            (Binding::Request { request, .. }, Binding::Request { request: other, .. }) => request == other,
            _ => false,
        };
        is_for_the_same && self.asset == other.asset && self.signed.authorization == other.signed.authorization
    }

    /// The same, for the request that hashes to `request`, where it answers no challenge.
    #[must_use]
    pub fn for_request(mut self, request: B256) -> Self {
        if let Binding::Request { request: of, .. } = &mut self.binding {
            *of = request;
        }
        self
    }

    /// The object of its payer.
    pub fn holder(&self) -> String {
        self.asset.holder(self.signed.authorization.from)
    }

    /// What has to be brought about for it. An authorization whose nonce is not bound to its challenge may have been read off the
    /// chain: only a use after it was `presented` here can be this charge.
    pub fn purpose(&self, presented: Timestamp) -> Purpose {
        let since = (!self.is_bound()).then_some(presented);
        Purpose::Transfer(Transfer { token: self.asset.token, signed: self.signed, since })
    }

    /// Until when the charge may be resumed once it was begun in time.
    pub fn resumable_until(&self) -> Timestamp {
        let end = match self.binding {
            Binding::Challenge { expires, .. } => expires,
            Binding::Request { .. } => self.signed.authorization.valid_before.timestamp(),
        };
        end.saturating_add(RESUMABLE)
    }

    /// Whether a transaction that is sent now might be mined too late, and revert at our cost.
    pub fn is_too_late(&self, now: Timestamp) -> bool {
        now.saturating_add(MIN_VALIDITY) >= self.signed.authorization.valid_before.timestamp()
    }

    /// Why the charge must not be begun now, if so. One that was begun in time is finished all the same.
    pub fn untimely(&self, now: Timestamp) -> Option<Problem> {
        let window = &self.signed.authorization;
        let expired = |detail| Problem::new(ProblemKind::PaymentExpired, detail).because(Reason::ExactValidBefore);
        let expires = match self.binding {
            Binding::Challenge { expires, .. } if now >= expires => {
                return Some(Problem::challenge_expired());
            }
            Binding::Challenge { expires, .. } => expires,
            Binding::Request { .. } => now,
        };
        if self.is_too_late(now) {
            return Some(expired(
                "payload.validBefore: the authorization expires too soon to be settled; sign one that is valid for longer",
            ));
        }
        if window.valid_before.timestamp() > expires.saturating_add(RESUMABLE) {
            let detail = match self.binding {
                Binding::Challenge { .. } => {
                    "payload.validBefore: must be within a day of the challenge's expiry, so that an unused authorization ends"
                }
                Binding::Request { .. } => {
                    "payload.authorization.validBefore: must be within a day from now, so that an unused authorization ends"
                }
            };
            return Some(failed(detail).because(Reason::ExactValidBefore));
        }
        // The token wants it to be past.
        if window.valid_after >= now.seconds() {
            return Some(
                failed("payload.validAfter: the authorization is not valid yet; sign one that is valid now")
                    .because(Reason::ExactValidAfter),
            );
        }
        None
    }
}

/// The nonces by which the method `evm` binds an authorization to a challenge: `keccak256(utf8(JSON.stringify([id, realm])))`, as
/// mppx signs it since 0.13 and pympp since 0.15.1, and `keccak256(utf8(id ‖ realm))`, as the drafts and older clients do.
///
/// Each belongs to one challenge alone: an id is base64url of a fixed length, and no JSON list begins like one. Who signs both pays
/// twice, and is served twice.
pub fn challenge_hashes(id: &str, realm: &str) -> [B256; 2] {
    // Strings always serialise; serde_json escapes what JSON.stringify does, in the same way.
    let list = serde_json::to_string(&(id, realm)).unwrap_or_default();
    [keccak256(list), keccak256(format!("{id}{realm}"))]
}

fn parse_payload(payload: &RawValue) -> Result<Payload<'_>, Problem> {
    // The kind comes first: other kinds have other members.
    #[derive(Deserialize)]
    struct Kind<'a> {
        #[serde(rename = "type", borrow)]
        kind: Cow<'a, str>,
    }
    let unreadable = |error: Unreadable| malformed("payload", error.detail);
    let Kind { kind } = json::read(payload.get()).map_err(unreadable)?;
    match kind.as_ref() {
        AUTHORIZATION => json::read(payload.get()).map_err(unreadable),
        "permit2" | "transaction" | "hash" => {
            Err(Problem::new(ProblemKind::MethodUnsupported, "payload.type: must be \"authorization\"; nothing else is taken here"))
        }
        _ => Err(malformed("payload.type", "must be \"authorization\"")),
    }
}

fn check_source(credential: &Credential, chain_id: ChainId, from: Address) -> Result<(), Problem> {
    match credential.source.as_deref() {
        None => Ok(()),
        Some(source) if parse::did_pkh(source) == Some((chain_id, from)) => Ok(()),
        Some(_) => Err(failed("source: must be did:pkh:eip155:<the challenge's chainId>:<payload.from>")),
    }
}

/// `abstract` takes payee and amount from the challenge; `evm` repeats them. Whatever is there must agree.
fn check_payee(payload: &Payload<'_>, method: Method, terms: &ChargeTerms) -> Result<(), Problem> {
    match &payload.to {
        Some(to) if parse::address(to).map_err(|error| malformed("payload.to", error))? != terms.recipient => {
            return Err(failed("payload.to: must be the challenge's recipient"));
        }
        None if method == Method::Evm => return Err(malformed("payload.to", "is missing")),
        _ => {}
    }
    match &payload.value {
        Some(value) => {
            let value = Amount::parse_base_units(value).map_err(|error| malformed("payload.value", error))?;
            match value.cmp(&terms.amount) {
                core::cmp::Ordering::Less => Err(Problem::new(
                    ProblemKind::PaymentInsufficient,
                    "payload.value: is less than the challenge's amount; authorize that amount",
                )),
                core::cmp::Ordering::Greater => Err(failed("payload.value: must be the challenge's amount, no more")),
                core::cmp::Ordering::Equal => Ok(()),
            }
        }
        None if method == Method::Evm => Err(malformed("payload.value", "is missing")),
        None => Ok(()),
    }
}
