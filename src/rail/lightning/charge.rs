//! A charge: an invoice that was paid.

use super::invoice::Invoice;
use super::node::Node;
use super::{METHOD, Network};
use crate::evm::B256;
use crate::json;
use crate::money::Amount;
use crate::rail::{Answer, Ask, Fresh, Payment, Proof, RESUMABLE, Terms};
use crate::time::Timestamp;
use crate::wire::encoding::from_base64;
use crate::wire::mpp::credential::Credential;
use crate::wire::mpp::request::ChargeRequest;
use crate::wire::problem::{Problem, ProblemKind};
use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::fmt;
use core::time::Duration;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What a price asks for.
pub(super) struct Asked {
    pub(super) satoshi: Amount,
    pub(super) network: Network,
    pub(super) node: Node,
    /// How long an invoice can be paid.
    pub(super) lifetime: Duration,
}

/// An invoice of ours that was paid, as its preimage proves. The preimage is not kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Charge {
    network: Network,
    payment_hash: B256,
    satoshi: Amount,
    challenge: String,
    expires: Timestamp,
}

/// Fields stand in JCS order (`draft-lightning-charge-00`).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MethodDetails<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    invoice: Option<&'a str>,
    network: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_hash: Option<&'a str>,
}

/// What is read of the request object again.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Echoed<'a> {
    #[serde(borrow)]
    method_details: EchoedDetails<'a>,
}

#[derive(Deserialize)]
struct EchoedDetails<'a> {
    invoice: &'a str,
}

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    preimage: Cow<'a, str>,
}

impl Terms for Asked {
    fn method(&self) -> &'static str {
        METHOD
    }

    fn amount(&self) -> Amount {
        self.satoshi
    }

    fn request(&self, description: Option<&str>, fresh: Option<&Fresh>) -> String {
        let invoice = fresh.map(|fresh| &*fresh.value);
        let payment_hash = invoice.and_then(|invoice| Invoice::parse(invoice).ok()).map(|invoice| format!("{:x}", invoice.payment_hash));
        let method_details = MethodDetails { invoice, network: self.network.name(), payment_hash: payment_hash.as_deref() };
        ChargeRequest { amount: self.satoshi, currency: "sat", description, method_details, recipient: None }.to_jcs()
    }

    fn asks_first(&self) -> bool {
        true
    }

    fn first(&self, description: Option<&str>) -> Option<Ask> {
        Some(Ask::Http(self.node.make_invoice(self.satoshi, description, self.lifetime)))
    }

    /// An invoice for anything else than what is asked for is none.
    fn freshen(&self, answer: &Answer) -> Option<Fresh> {
        let Answer::Http(200 | 201, body) = answer else { return None };
        let value = self.node.invoice(body)?;
        let invoice = Invoice::parse(&value).ok()?;
        let asked = self.satoshi.times(1000);
        let is_for_it = invoice.millisatoshi.is_some_and(|given| Amount::from_base_units(given.into()) == asked);
        (is_for_it && invoice.network == self.network).then(|| Fresh { value, until: invoice.expires.timestamp() })
    }

    fn read(&self, credential: &Credential, expires: Timestamp) -> Result<Proof, Problem> {
        let payload: Payload<'_> =
            json::read(credential.payload.get()).map_err(|_| malformed("payload: must be an object with the member preimage, a text"))?;
        let preimage = preimage(&payload.preimage)
            .ok_or_else(|| malformed("payload.preimage: must be 64 hexadecimal digits in lower case, without 0x"))?;
        // It is authentic by now, so it is as `request` has made it.
        let unreadable = || Problem::new(ProblemKind::InvalidChallenge, "challenge.request: holds no invoice; answer a fresh challenge");
        let request = from_base64(&credential.challenge.request).map_err(|_| unreadable())?;
        let request: Echoed<'_> = str::from_utf8(&request).ok().and_then(|text| json::read(text).ok()).ok_or_else(unreadable)?;
        let payment_hash = Invoice::parse(request.method_details.invoice).map_err(|_| unreadable())?.payment_hash;
        // Both are known to who sends them, so how long it takes to compare them tells nothing.
        if Sha256::digest(preimage).as_slice() != payment_hash.as_slice() {
            let detail = "payload.preimage: is not that of the invoice in the challenge; pay that one, and send what the payment gave";
            return Err(Problem::new(ProblemKind::VerificationFailed, detail));
        }
        let (network, satoshi, challenge) = (self.network, self.satoshi, credential.challenge.id.clone());
        Ok(Proof::Checked(Box::new(Payment::Lightning(Charge { network, payment_hash, satoshi, challenge, expires }))))
    }
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked").field("satoshi", &self.satoshi).field("network", &self.network).finish_non_exhaustive()
    }
}

impl Charge {
    pub(super) const fn network(&self) -> Network {
        self.network
    }

    pub(super) const fn payment_hash(&self) -> B256 {
        self.payment_hash
    }

    /// The payment hash, never the preimage: 64 hexadecimal digits.
    pub(super) fn reference(&self) -> String {
        format!("{:x}", self.payment_hash)
    }

    /// One of 256 objects: nobody is named as the payer, and a payment has no other that could buy with the same money.
    pub(in crate::rail) fn holder(&self) -> String {
        let [first, ..] = self.payment_hash.0;
        format!("lightning:{}:{first:02x}", self.network.name())
    }

    pub(in crate::rail) const fn id(&self) -> B256 {
        self.payment_hash
    }

    pub(in crate::rail) const fn amount(&self) -> Amount {
        self.satoshi
    }

    pub(in crate::rail) fn challenge_id(&self) -> &str {
        &self.challenge
    }

    /// Whether both are the same invoice, for the same thing: an invoice is given for one request alone, but maybe twice.
    pub(in crate::rail) fn is_same(&self, other: &Self) -> bool {
        (self.network, self.payment_hash, self.satoshi) == (other.network, other.payment_hash, other.satoshi)
    }

    /// It was paid before it was presented, so it is taken for as long as its challenge is known.
    pub(in crate::rail) fn resumable_until(&self) -> Timestamp {
        self.expires.saturating_add(RESUMABLE)
    }
}

/// 32 bytes, by 64 hexadecimal digits in lower case.
fn preimage(text: &str) -> Option<[u8; 32]> {
    let is_lower = text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_lower.then(|| alloy_primitives::hex::decode_to_array(text).ok()).flatten()
}

fn malformed(detail: &'static str) -> Problem {
    Problem::new(ProblemKind::MalformedCredential, detail)
}
