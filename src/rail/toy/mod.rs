//! A toy rail, to show what a rail is made of, and that the rest of the house takes one as it comes: prepaid coupons, whose provider
//! gives out a serial for each challenge and redeems coupons over HTTP. docs/architecture.md walks through it. It exists in tests alone.

use super::configured::not_ours;
use super::http::HttpRequest;
use super::{Answer, AnyDraft, AnyRail, Ask, Fresh, Payment, Prepared, Progress, Proof, Reference, Send, Step, Terms};
use crate::evm::{B256, keccak256};
use crate::gateway::validate::{Common, Findings, Place, Rule, rail_name};
use crate::money::Amount;
use crate::time::Timestamp;
use crate::wire::encoding::from_base64;
use crate::wire::mpp::credential::Credential;
use crate::wire::problem::{Problem, ProblemKind};
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use serde::{Deserialize, Serialize};

const METHOD: &str = "coupon";

/// How it is configured.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRail {
    #[serde(rename = "kind")]
    _kind: String,
    name: Option<String>,
    provider: String,
}

/// A rail, which is right as soon as it can be read.
#[derive(Clone, Debug)]
struct Rail {
    name: String,
    at: String,
    provider: String,
}

/// What a price asks for.
#[derive(Debug)]
struct Asked {
    provider: String,
    worth: Amount,
}

/// A coupon that was presented. (A real rail would have checked the provider's signature of it by now.)
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Coupon {
    provider: String,
    serial: String,
    worth: Amount,
    challenge: String,
    expires: Timestamp,
}

pub(crate) fn read(place: Place<'_>, _: &Common<'_>, findings: &mut Findings) -> Option<Box<dyn AnyDraft>> {
    let RawRail { name, provider, .. } = place.read(findings)?;
    let name = rail_name(&place.at, name, findings)?;
    if provider.contains('/') {
        findings.add(Rule::Rails, format!("{}provider", place.at), "must be a host", "set it to the provider's host name");
        return None;
    }
    Some(Box::new(Rail { name, at: place.at, provider }))
}

impl AnyDraft for Rail {
    fn name(&self) -> &str {
        &self.name
    }

    fn at(&self) -> &str {
        &self.at
    }

    fn currency(&self) -> &'static str {
        "USD"
    }

    fn decimals(&self) -> u8 {
        2
    }

    fn methods(&self) -> Vec<&str> {
        Vec::from([METHOD])
    }

    fn charge(&self, _: &str, amount: Amount) -> Option<Arc<dyn Terms>> {
        Some(Arc::new(Asked { provider: self.provider.clone(), worth: amount }))
    }

    fn finish(self: Box<Self>) -> Option<Arc<dyn AnyRail>> {
        Some(Arc::new(*self))
    }
}

impl AnyRail for Rail {
    fn name(&self) -> &str {
        &self.name
    }

    fn next(&self, payment: &Payment, progress: &Progress) -> Step {
        match payment {
            Payment::Toy(coupon) => coupon.next(progress),
            _ => not_ours(),
        }
    }

    fn owns(&self, payment: &Payment) -> bool {
        matches!(payment, Payment::Toy(coupon) if coupon.provider == self.provider)
    }
}

/// The request object of a challenge, in JCS order.
#[derive(Serialize, Deserialize)]
struct Request {
    amount: Amount,
    serial: Option<String>,
}

impl Terms for Asked {
    fn method(&self) -> &'static str {
        METHOD
    }

    fn amount(&self) -> Amount {
        self.worth
    }

    fn request(&self, _: Option<&str>, fresh: Option<&Fresh>) -> String {
        let request = Request { amount: self.worth, serial: fresh.map(|fresh| fresh.value.clone()) };
        serde_json::to_string(&request).unwrap_or_default()
    }

    fn asks_first(&self) -> bool {
        true
    }

    fn first(&self, _: Option<&str>) -> Option<Ask> {
        Some(Ask::Http(HttpRequest::new("POST", format!("https://{}/serials", self.provider))))
    }

    fn freshen(&self, answer: &Answer) -> Option<Fresh> {
        let Answer::Http(201, serial) = answer else { return None };
        Some(Fresh { value: serial.clone(), until: Timestamp::from_millis(u64::MAX) })
    }

    fn read(&self, credential: &Credential, expires: Timestamp) -> Result<Proof, Problem> {
        let malformed = |field| move || Problem::new(ProblemKind::MalformedCredential, format!("{field}: cannot be read"));
        // It is authentic by now, so it is as `request` has made it.
        let request = from_base64(&credential.challenge.request).ok();
        let request: Request = request.and_then(|json| serde_json::from_slice(&json).ok()).ok_or_else(malformed("challenge.request"))?;
        let serial = request.serial.ok_or_else(malformed("challenge.request"))?;
        let [coupon]: [String; 1] = serde_json::from_str(credential.payload.get()).ok().ok_or_else(malformed("payload"))?;
        if coupon != serial {
            return Err(Problem::new(ProblemKind::VerificationFailed, "payload: is a coupon for another serial"));
        }
        let challenge = credential.challenge.id.to_owned();
        let coupon = Coupon { provider: self.provider.clone(), serial, worth: self.worth, challenge, expires };
        Ok(Proof::Checked(Box::new(Payment::Toy(coupon))))
    }
}

impl Coupon {
    fn next(&self, progress: &Progress) -> Step {
        Step::Prepared(match progress.answers.last() {
            // Redeeming it twice is redeeming it once, so it may be sent again after a restart.
            None => Prepared::Send(Box::new(Send::Request(Ask::Http(HttpRequest::new(
                "PUT",
                format!("https://{}/redeemed/{}", self.provider, self.serial),
            ))))),
            Some(Answer::Http(200, receipt)) => Prepared::Settled(Reference::new(receipt.as_str())),
            Some(Answer::Http(410, _)) => {
                Prepared::Refused(Problem::new(ProblemKind::VerificationFailed, "the coupon was redeemed elsewhere"))
            }
            Some(_) => Prepared::Unknown(Problem::unavailable("the coupon's provider cannot be asked")),
        })
    }

    pub(super) fn holder(&self) -> String {
        format!("coupons:{}", self.provider)
    }

    pub(super) fn id(&self) -> B256 {
        keccak256(&self.serial)
    }

    pub(super) const fn amount(&self) -> Amount {
        self.worth
    }

    pub(super) fn challenge_id(&self) -> &str {
        &self.challenge
    }

    pub(super) fn untimely(&self, now: Timestamp) -> Option<Problem> {
        (now >= self.expires).then(Problem::challenge_expired)
    }

    pub(super) fn resumable_until(&self) -> Timestamp {
        self.expires.saturating_add(Duration::from_secs(60 * 60))
    }
}

#[cfg(test)]
mod tests;
