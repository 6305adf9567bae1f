//! A charge as it is offered, and how its proof is read: what costs least to check comes first, and the signature last.

use super::charge::{Charge, Evidence};
use super::memo::Bound;
use super::sender::SenderSignature;
use super::settings::Asking;
use super::transaction::{Fees, MOST_BYTES, Transaction};
use super::transfers::{Due, Dues};
use super::{METHOD, failed, malformed};
use crate::evm::eip712::Domain;
use crate::evm::{Address, B256, ChainId, keccak256, parse};
use crate::json;
use crate::money::Amount;
use crate::rail::{Fresh, Payment, Proof, Terms};
use crate::time::{Timestamp, UnixSeconds};
use crate::wire::mpp::credential::Credential;
use crate::wire::mpp::request::ChargeRequest;
use crate::wire::problem::{Problem, ProblemKind};
use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// What a price asks for.
#[derive(Clone, Debug)]
pub struct Offered {
    asking: Arc<Asking>,
    amount: Amount,
    /// What it is made of. There is nothing to transfer where nothing is asked for.
    dues: Option<Dues>,
}

/// Fields stand in JCS order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MethodDetails {
    chain_id: ChainId,
    #[serde(skip_serializing_if = "Option::is_none")]
    fee_payer: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    splits: Vec<SplitAsked>,
    #[serde(skip_serializing_if = "Option::is_none")]
    supported_modes: Option<[&'static str; 1]>,
}

#[derive(Serialize)]
struct SplitAsked {
    amount: Amount,
    recipient: String,
}

/// The payload of a credential; what else it has depends on its type.
#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    signature: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    hash: Option<Cow<'a, str>>,
}

/// What of a credential does not depend on its type.
struct Answered<'a> {
    challenge: &'a str,
    realm: &'a str,
    expires: Timestamp,
    source: Option<Address>,
}

impl Offered {
    /// `None` when a price cannot be parted as the rail's splits want it.
    #[allow(clippy::new_ret_no_self, reason = "it is only ever used as what it is offered as")]
    pub fn new(asking: Arc<Asking>, amount: Amount) -> Option<Arc<dyn Terms>> {
        let dues = if amount == Amount::ZERO { None } else { Some(asking.dues(amount)?) };
        Some(Arc::new(Self { asking, amount, dues }))
    }

    fn transaction(&self, dues: &Dues, payload: &Payload<'_>, answered: &Answered<'_>) -> Result<Charge, Problem> {
        const FIELD: &str = "payload.signature";
        let asking = &self.asking;
        let text = payload.signature.as_deref().ok_or_else(|| malformed(FIELD, "is missing"))?;
        if text.len() > MOST_BYTES * 2 + 2 {
            return Err(malformed(FIELD, format!("is longer than {MOST_BYTES} bytes")));
        }
        let bytes = parse::bytes(text).map_err(|error| malformed(FIELD, error))?;
        let transaction = Transaction::decode(&bytes).map_err(|error| malformed(FIELD, error))?;
        let flaw = |what: &str| failed(format!("{FIELD}: {what}"));
        if transaction.chain_id != asking.chain_id {
            return Err(flaw("the transaction is for another chain than the challenge's"));
        }
        let valid_before =
            transaction.valid_before.ok_or_else(|| flaw("the transaction has no validBefore, and could be sent for ever"))?;
        let bound = Bound::to(answered.realm, answered.challenge);
        let memo = dues.match_calls(&transaction.calls, &bound).map_err(|mismatch| flaw(&format!("the transaction {mismatch}")))?;
        let named = match transaction.fees {
            Fees::Wanted { sender } => Some(sender),
            Fees::Sender | Fees::Signed(_) => None,
        };
        if named.zip(answered.source).is_some_and(|(sender, source)| sender != source) {
            return Err(source_differs());
        }
        let sponsoring = match (named, &asking.sponsor) {
            (None, _) => None,
            (Some(_), Some(sponsor)) => Some((sponsor, sponsor.judge(&transaction).map_err(|refused| flaw(&format!("{refused}")))?)),
            (Some(_), None) => {
                return Err(flaw("the transaction wants its fees paid, which the challenge does not offer; sign one that pays them"));
            }
        };
        let sender =
            transaction.signature.recover(transaction.sender_digest()).map_err(|error| flaw(&format!("the transaction: {error}")))?;
        if named.is_some_and(|named| named != sender) {
            return Err(flaw("the transaction is not signed by the sender that it names"));
        }
        if answered.source.is_some_and(|source| source != sender) {
            return Err(source_differs());
        }
        let (sealed, sponsored) = match sponsoring {
            Some((sponsor, sponsored)) => (Some(sponsor.seal(&transaction, sender)), Some(sponsored)),
            None => (transaction.seal(), None),
        };
        let evidence = Evidence::Transaction {
            dues: dues.clone(),
            memo,
            sealed: sealed.ok_or_else(|| flaw("nobody pays the transaction's fees"))?,
            valid_before,
            valid_after: transaction.valid_after.unwrap_or(UnixSeconds::new(0)),
            sponsored,
        };
        Ok(self.charge(answered, bound, sender, evidence))
    }

    fn hash(&self, dues: &Dues, payload: &Payload<'_>, answered: &Answered<'_>) -> Result<Charge, Problem> {
        let text = payload.hash.as_deref().ok_or_else(|| malformed("payload.hash", "is missing"))?;
        let hash = parse::hash(text).map_err(|error| malformed("payload.hash", error))?;
        // Who shows it must say whose it is, since whatever else he has bought is remembered there.
        let payer = answered.source.ok_or_else(source_missing)?;
        let bound = Bound::to(answered.realm, answered.challenge);
        Ok(self.charge(answered, bound, payer, Evidence::Hash { dues: dues.clone(), hash }))
    }

    fn identity(&self, payload: &Payload<'_>, answered: &Answered<'_>) -> Result<Charge, Problem> {
        let text = payload.signature.as_deref().ok_or_else(|| malformed("payload.signature", "is missing"))?;
        if text.len() > MOST_BYTES {
            return Err(malformed("payload.signature", "is longer than a signature"));
        }
        let bytes = parse::bytes(text).map_err(|error| malformed("payload.signature", error))?;
        let signature = SenderSignature::decode(&bytes).map_err(|error| malformed("payload.signature", error))?;
        let payer = answered.source.ok_or_else(source_missing)?;
        let digest = proof_digest(self.asking.chain_id, payer, answered.challenge, answered.realm);
        if signature.recover(digest) != Ok(payer) {
            return Err(failed(
                "payload.signature: is not by source for this challenge; sign Proof(address account,string challengeId,string realm) in the domain MPP, version 3",
            ));
        }
        let bound = Bound::to(answered.realm, answered.challenge);
        Ok(self.charge(answered, bound, payer, Evidence::Identity { token: self.asking.token }))
    }

    fn charge(&self, answered: &Answered<'_>, bound: Bound, payer: Address, evidence: Evidence) -> Charge {
        let Answered { challenge, expires, .. } = *answered;
        Charge { challenge: challenge.into(), expires, bound, chain_id: self.asking.chain_id, payer, evidence }
    }
}

impl Terms for Offered {
    fn method(&self) -> &str {
        METHOD
    }

    fn amount(&self) -> Amount {
        self.amount
    }

    fn request(&self, description: Option<&str>, _: Option<&Fresh>) -> String {
        let Asking { chain_id, token, recipient, modes, sponsor, .. } = self.asking.as_ref();
        let asked = |due: &Due| SplitAsked { amount: due.amount, recipient: due.recipient.to_checksum(None) };
        // Where nothing is asked for there is nothing to send either.
        let is_paid = self.dues.is_some();
        let supported_modes = match (modes.pulls(), modes.pushes()) {
            (true, false) => Some(["pull"]),
            (false, true) => Some(["push"]),
            _ => None,
        };
        let method_details = MethodDetails {
            chain_id: *chain_id,
            fee_payer: sponsor.as_ref().filter(|_| is_paid).map(|_| true),
            splits: self.dues.iter().flat_map(|dues| &dues.splits).map(asked).collect(),
            supported_modes: supported_modes.filter(|_| is_paid),
        };
        let (currency, recipient) = (&token.to_checksum(None), &recipient.to_checksum(None));
        ChargeRequest { amount: self.amount, currency, description, method_details, recipient: Some(recipient) }.to_jcs()
    }

    fn read(&self, credential: &Credential, expires: Timestamp) -> Result<Proof, Problem> {
        let payload: Payload<'_> = json::read(credential.payload.get()).map_err(|error| malformed("payload", error.detail))?;
        let source = match credential.source.as_deref().map(parse::did_pkh) {
            None => None,
            Some(Some((chain_id, payer))) if chain_id == self.asking.chain_id => Some(payer),
            Some(_) => return Err(source_differs()),
        };
        let (challenge, realm) = (credential.challenge.id.as_str(), credential.challenge.realm.as_str());
        let answered = Answered { challenge, realm, expires, source };
        let modes = self.asking.modes;
        let charge = match (payload.kind.as_ref(), &self.dues) {
            ("transaction", Some(dues)) if modes.pulls() => self.transaction(dues, &payload, &answered),
            ("hash", Some(dues)) if modes.pushes() => self.hash(dues, &payload, &answered),
            ("proof", None) => self.identity(&payload, &answered),
            ("transaction" | "hash" | "proof", dues) => Err(unsupported(modes, dues.is_some())),
            _ => Err(malformed("payload.type", "must be \"transaction\", \"hash\" or \"proof\"")),
        }?;
        Ok(Proof::Checked(Box::new(Payment::Tempo(charge))))
    }
}

/// What is signed by who proves nothing but who he is.
fn proof_digest(chain_id: ChainId, account: Address, challenge_id: &str, realm: &str) -> B256 {
    const TYPE: &str = "Proof(address account,string challengeId,string realm)";
    let words = [keccak256(TYPE), account.into_word(), keccak256(challenge_id), keccak256(realm)];
    Domain::of_chain("MPP", "3", chain_id).digest(keccak256(words.concat()))
}

fn unsupported(modes: super::Modes, is_paid: bool) -> Problem {
    let detail = match (is_paid, modes.pulls(), modes.pushes()) {
        (false, ..) => "payload.type: must be \"proof\": nothing is to be paid",
        (true, true, true) => "payload.type: must be \"transaction\" or \"hash\": there is something to be paid",
        (true, true, _) => "payload.type: must be \"transaction\"; nothing else is taken here",
        (true, ..) => "payload.type: must be \"hash\"; nothing else is taken here",
    };
    Problem::new(ProblemKind::MethodUnsupported, detail)
}

fn source_differs() -> Problem {
    failed("source: must be did:pkh:eip155:<the challenge's chainId>:<who signs>")
}

fn source_missing() -> Problem {
    malformed("source", "is missing; it must be did:pkh:eip155:<the challenge's chainId>:<who pays>")
}
