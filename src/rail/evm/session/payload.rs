//! The payload of a session credential: what is read, and what its signatures prove.

use super::SessionTerms;
use crate::channel::{Action, PresentedVoucher, Proof, SponsoredDeposit};
use crate::evm::eip712::Domain;
use crate::evm::erc3009::{Authorization, SignedAuthorization};
use crate::evm::escrow::{Opening, SignedVoucher, ToppingUp, channel_id};
use crate::evm::signature::{Signature, personal_digest};
use crate::evm::signers::Signers;
use crate::evm::{Address, B256, parse};
use crate::json::describe;
use crate::money::Amount;
use crate::rail::evm::Method;
use crate::rail::evm::flaw::{self, failed, malformed};
use crate::time::{Timestamp, UnixSeconds};
use crate::wire::mpp::credential::Credential;
use crate::wire::problem::{Problem, ProblemKind};
use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The members of all actions, as they stand; which of them must be there depends on the action. Each is read by
/// name, so that one of a wrong type is named.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a> {
    #[serde(borrow)]
    action: Option<&'a RawValue>,
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    channel_id: Option<&'a RawValue>,
    #[serde(borrow)]
    cumulative_amount: Option<&'a RawValue>,
    #[serde(borrow)]
    signature: Option<&'a RawValue>,
    #[serde(borrow)]
    voucher_signature: Option<&'a RawValue>,
    /// The transaction in the method `abstract`…
    #[serde(borrow)]
    tx_hash: Option<&'a RawValue>,
    /// …and in the method `evm`.
    #[serde(borrow)]
    hash: Option<&'a RawValue>,
    #[serde(borrow)]
    additional_deposit: Option<&'a RawValue>,
    #[serde(borrow)]
    authorized_signer: Option<&'a RawValue>,
    /// Of a topUp, older clients call it `topUpSalt`.
    #[serde(borrow, alias = "topUpSalt")]
    salt: Option<&'a RawValue>,
    #[serde(borrow)]
    authorization: Option<&'a RawValue>,
    #[serde(borrow)]
    deposit: Option<&'a RawValue>,
    /// Shows that the sender holds the signer's key now.
    #[serde(borrow)]
    proof: Option<&'a RawValue>,
}

/// An ERC-3009 authorization, read by name likewise.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawAuthorization<'a> {
    #[serde(borrow)]
    from: Option<&'a RawValue>,
    #[serde(borrow)]
    to: Option<&'a RawValue>,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    #[serde(borrow)]
    valid_after: Option<&'a RawValue>,
    #[serde(borrow)]
    valid_before: Option<&'a RawValue>,
    #[serde(borrow)]
    nonce: Option<&'a RawValue>,
}

/// A session credential as read, before its signatures are checked.
#[derive(Clone, Copy, Debug)]
pub struct Unverified {
    /// What is wanted.
    pub action: Action,
    /// Of which channel.
    pub channel_id: B256,
    sponsored: Option<SponsoredDeposit>,
    /// Absent in a topUp.
    voucher: Option<SignedVoucher>,
    /// The signature of [`fresh_message`], and its digest.
    fresh: Option<(Signature, B256)>,
    source: Option<Address>,
}

/// The text that a channel's signer signs (EIP-191 `personal_sign`) where a voucher alone proves nothing, since the chain has
/// shown it. The challenge is ours, and expires.
pub fn fresh_message(channel_id: B256, challenge_id: &str) -> String {
    format!("mpp-edge channel {channel_id} challenge {challenge_id}")
}

impl Unverified {
    /// Reads the payload and compares it with what was asked.
    ///
    /// # Errors
    /// The problem to answer with; its detail names the field.
    pub fn read(credential: &Credential, method: Method, terms: &SessionTerms) -> Result<Self, Problem> {
        let payload: Payload<'_> = object("payload", &credential.payload)?;
        let source = source(credential, terms)?;
        let channel_id = hash("payload.channelId", payload.channel_id)?;
        let action = required("payload.action", payload.action)?;
        let is_sponsored = payload.is_sponsored(method, &action)?;
        let (action, sponsored) = match action.as_ref() {
            "open" if is_sponsored => (Action::Open { transaction: None }, Some(payload.opening("payload", terms, channel_id)?)),
            "open" => (Action::Open { transaction: Some(payload.transaction(method)?) }, None),
            "topUp" if is_sponsored => (Action::TopUp { transaction: None }, Some(payload.addition(terms, channel_id)?)),
            "topUp" => {
                let addition = amount("payload.additionalDeposit", payload.additional_deposit)?;
                (Action::TopUp { transaction: Some((payload.transaction(method)?, addition)) }, None)
            }
            "voucher" => (Action::Voucher, payload.merged_deposit(method, terms, channel_id)?),
            "close" => (Action::Close, None),
            _ => return Err(malformed("payload.action", "must be open, topUp, voucher or close")),
        };
        if payload.authorized_signer.is_some() {
            address("payload.authorizedSigner", payload.authorized_signer)?;
        }
        let voucher = match action {
            Action::TopUp { .. } => None,
            _ => Some(payload.voucher(is_sponsored)?),
        };
        let fresh = payload.fresh(channel_id, &credential.challenge.id)?;
        Ok(Self { action, channel_id, sponsored, voucher, fresh, source })
    }

    /// Whether it comes in time for a challenge that expires then.
    ///
    /// # Errors
    /// `payment-expired`.
    pub fn check_expiry(&self, expires: Timestamp, now: Timestamp) -> Result<(), Problem> {
        if self.action.outlives_challenge() || now < expires {
            return Ok(());
        }
        Err(Problem::challenge_expired())
    }

    /// Recovers who signed. `escrow` is the domain of vouchers; `token` that of authorizations, where there is one. `signers` are those of channels.
    ///
    /// # Errors
    /// `session/invalid-signature` for a voucher or a proof, `session/signer-mismatch` where they are not of one signer,
    /// `verification-failed` for an authorization.
    pub fn verify(self, escrow: &Domain, token: Option<&Domain>, signers: &mut Signers) -> Result<Proof, Problem> {
        let Self { channel_id, sponsored, voucher, fresh, source, .. } = self;
        let presented = match voucher {
            Some(voucher) => {
                let digest = SignedVoucher::digest(voucher.cumulative, channel_id, escrow);
                let signer = signers.recover(channel_id, &voucher.signature, digest).map_err(|error| {
                    // The signature of a sponsored opening is the authorization's.
                    let is_sponsored = matches!(self.action, Action::Open { transaction: None });
                    invalid_signature(if is_sponsored { "payload.voucherSignature" } else { "payload.signature" }, error)
                })?;
                if let Some((signature, digest)) = fresh {
                    let by = signers.recover(channel_id, &signature, digest).map_err(|error| invalid_signature("payload.proof", error))?;
                    if by != signer {
                        let detail =
                            "payload.proof: is not by the voucher's signer for this channel and challenge; sign it anew for this challenge";
                        return Err(Problem::new(ProblemKind::SignerMismatch, detail));
                    }
                }
                Some(PresentedVoucher { voucher, signer, source, fresh: fresh.is_some() })
            }
            None => None,
        };
        if let Some(sponsored) = &sponsored {
            let signed = sponsored.signed();
            let digest = token.map(|token| signed.authorization.receive_digest(token));
            let signer = digest.and_then(|digest| signed.signature.recover(digest).ok());
            if signer != Some(signed.authorization.from) {
                let at = if self.action == Action::Voucher { "payload.deposit.authorization" } else { "payload.authorization" };
                return Err(failed(format!("{at}: is not signed by its from; sign it as ReceiveWithAuthorization, in the token's domain")));
            }
        }
        Ok(Proof { presented, source, sponsored })
    }

    /// Whether there is an authorization to check in the token's domain.
    pub const fn is_sponsored(&self) -> bool {
        self.sponsored.is_some()
    }
}

impl Payload<'_> {
    /// Whether the deposit of an open or a topUp is to be sponsored, by `type`.
    fn is_sponsored(&self, method: Method, action: &str) -> Result<bool, Problem> {
        let kind = text("payload.type", self.kind)?;
        let deposits = matches!(action, "open" | "topUp");
        match (method, kind.as_deref()) {
            // Drafts before the last said `transaction`.
            (Method::Evm, Some("authorization" | "transaction")) if deposits => Ok(true),
            (Method::Evm, Some("hash")) | (Method::Abstract, _) => Ok(false),
            (Method::Evm, _) if !deposits => Ok(false),
            (Method::Evm, Some("permit2")) => Err(unsupported("payload.type")),
            (Method::Evm, None) if self.authorization.is_none() => Ok(false),
            (Method::Evm, _) => Err(malformed("payload.type", "must be \"authorization\" or \"hash\"")),
        }
    }

    fn transaction(&self, method: Method) -> Result<B256, Problem> {
        match method {
            Method::Abstract => hash("payload.txHash", self.tx_hash),
            Method::Evm => hash("payload.hash", self.hash),
        }
    }

    fn voucher(&self, is_sponsored: bool) -> Result<SignedVoucher, Problem> {
        let cumulative = amount("payload.cumulativeAmount", self.cumulative_amount)?;
        // The signature of a sponsored opening is the authorization's.
        let (field, value) =
            if is_sponsored { ("payload.voucherSignature", self.voucher_signature) } else { ("payload.signature", self.signature) };
        let signature = Signature::parse(&required(field, value)?).map_err(|error| invalid_signature(field, error))?;
        Ok(SignedVoucher { cumulative, signature })
    }

    fn fresh(&self, channel_id: B256, challenge_id: &str) -> Result<Option<(Signature, B256)>, Problem> {
        const AT: &str = "payload.proof";
        let Some(text) = text(AT, self.proof)? else { return Ok(None) };
        let signature = Signature::parse(&text).map_err(|error| invalid_signature(AT, error))?;
        Ok(Some((signature, personal_digest(&fresh_message(channel_id, challenge_id)))))
    }

    /// The opening that the members below `at` describe.
    fn opening(&self, at: &str, terms: &SessionTerms, id: B256) -> Result<SponsoredDeposit, Problem> {
        let field = |name: &str| format!("{at}.{name}");
        let opening = Opening {
            escrow: terms.escrow,
            token: terms.token,
            payee: terms.recipient,
            salt: hash(&field("salt"), self.salt)?,
            authorized_signer: match self.authorized_signer {
                Some(_) => address(&field("authorizedSigner"), self.authorized_signer)?,
                None => Address::ZERO,
            },
            signed: self.signed(at, terms)?,
        };
        if channel_id(&opening, terms.chain_id) != id {
            return Err(failed(
                "payload.channelId: is not what computeChannelId gives for this payer, recipient, currency, salt and authorizedSigner",
            ));
        }
        check_nonce(at, opening.nonce(), &opening.signed)?;
        Ok(SponsoredDeposit::Open(opening))
    }

    /// The addition to the deposit that the members below `at` describe.
    fn topping_up(&self, at: &str, terms: &SessionTerms, channel_id: B256) -> Result<SponsoredDeposit, Problem> {
        let salt = hash(&format!("{at}.salt"), self.salt)?;
        let topping_up = ToppingUp { escrow: terms.escrow, token: terms.token, channel_id, salt, signed: self.signed(at, terms)? };
        check_nonce(at, topping_up.nonce(), &topping_up.signed)?;
        Ok(SponsoredDeposit::TopUp(topping_up))
    }

    fn addition(&self, terms: &SessionTerms, channel_id: B256) -> Result<SponsoredDeposit, Problem> {
        let addition = amount("payload.additionalDeposit", self.additional_deposit)?;
        let sponsored = self.topping_up("payload", terms, channel_id)?;
        if sponsored.signed().authorization.value != addition {
            return Err(failed("payload.additionalDeposit: must be the value of payload.authorization"));
        }
        Ok(sponsored)
    }

    /// What a voucher brings along.
    fn merged_deposit(&self, method: Method, terms: &SessionTerms, id: B256) -> Result<Option<SponsoredDeposit>, Problem> {
        const AT: &str = "payload.deposit";
        let Some(deposit) = self.deposit else { return Ok(None) };
        if method == Method::Abstract {
            return Err(malformed(AT, "is not known in the method abstract; leave it out"));
        }
        let deposit: Payload<'_> = object(AT, deposit)?;
        if !matches!(text("payload.deposit.type", deposit.kind)?.as_deref(), None | Some("authorization")) {
            return Err(unsupported("payload.deposit.type"));
        }
        match required("payload.deposit.action", deposit.action)?.as_ref() {
            "open" => deposit.opening(AT, terms, id).map(Some),
            "topUp" => deposit.topping_up(AT, terms, id).map(Some),
            _ => Err(malformed("payload.deposit.action", "must be open or topUp")),
        }
    }

    fn signed(&self, at: &str, terms: &SessionTerms) -> Result<SignedAuthorization, Problem> {
        let field = |name: &str| format!("{at}.authorization.{name}");
        let raw = self.authorization.ok_or_else(|| malformed(&format!("{at}.authorization"), "is missing"))?;
        let raw: RawAuthorization<'_> = object(&format!("{at}.authorization"), raw)?;
        let to = address(&field("to"), raw.to)?;
        if to != terms.escrow {
            return Err(failed(format!("{}: must be the challenge's escrowContract", field("to"))));
        }
        let authorization = Authorization {
            from: address(&field("from"), raw.from)?,
            to,
            value: amount(&field("value"), raw.value)?,
            valid_after: seconds(&field("validAfter"), raw.valid_after)?,
            valid_before: seconds(&field("validBefore"), raw.valid_before)?,
            nonce: hash(&field("nonce"), raw.nonce)?,
        };
        let signature = required(&format!("{at}.signature"), self.signature)?;
        let signature = Signature::parse(&signature).map_err(|error| failed(format!("{at}.signature: {error}")))?;
        Ok(SignedAuthorization { authorization, signature })
    }
}

/// The nonce binds the authorization to what it pays for: another would revert on chain.
fn check_nonce(at: &str, derived: B256, signed: &SignedAuthorization) -> Result<(), Problem> {
    if signed.authorization.nonce == derived {
        return Ok(());
    }
    Err(failed(format!("{at}.authorization.nonce: must be derived from what it opens or adds to, as docs/wire.md says")))
}

fn source(credential: &Credential, terms: &SessionTerms) -> Result<Option<Address>, Problem> {
    let Some(source) = credential.source.as_deref() else { return Ok(None) };
    match parse::did_pkh(source) {
        Some((chain_id, address)) if chain_id == terms.chain_id => Ok(Some(address)),
        _ => Err(failed("source: must be did:pkh:eip155:<the challenge's chainId>:<address>")),
    }
}

fn object<'a, T: Deserialize<'a>>(field: &str, raw: &'a RawValue) -> Result<T, Problem> {
    serde_json::from_str(raw.get()).map_err(|error| malformed(field, describe(&error)))
}

/// A member that is a string, when it is there.
fn text<'a>(field: &str, raw: Option<&'a RawValue>) -> Result<Option<Cow<'a, str>>, Problem> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    match raw {
        Some(raw) if raw.get().starts_with('"') => object::<Text<'_>>(field, raw).map(|Text(text)| Some(text)),
        Some(_) => Err(malformed(field, "must be a string")),
        None => Ok(None),
    }
}

fn required<'a>(field: &str, raw: Option<&'a RawValue>) -> Result<Cow<'a, str>, Problem> {
    text(field, raw)?.ok_or_else(|| malformed(field, "is missing"))
}

fn hash(field: &str, raw: Option<&RawValue>) -> Result<B256, Problem> {
    parse::hash(&required(field, raw)?).map_err(|error| malformed(field, error))
}

fn address(field: &str, raw: Option<&RawValue>) -> Result<Address, Problem> {
    parse::address(&required(field, raw)?).map_err(|error| malformed(field, error))
}

fn amount(field: &str, raw: Option<&RawValue>) -> Result<Amount, Problem> {
    Amount::parse_base_units(&required(field, raw)?).map_err(|error| malformed(field, error))
}

fn seconds(field: &str, raw: Option<&RawValue>) -> Result<UnixSeconds, Problem> {
    flaw::seconds(field, &required(field, raw)?)
}

fn unsupported(field: &str) -> Problem {
    Problem::new(
        ProblemKind::MethodUnsupported,
        format!("{field}: must be \"hash\", or \"authorization\" where the challenge names it in credentialTypes"),
    )
}

fn invalid_signature(field: &str, error: impl core::fmt::Display) -> Problem {
    Problem::new(ProblemKind::InvalidSignature, format!("{field}: {error}"))
}
