//! The payload of a session credential: what is read, and what its signatures prove.

use super::Terms;
use crate::channel::Presented;
use crate::evm::amount::{Amount, decimal_u64};
use crate::evm::eip712::Domain;
use crate::evm::erc3009::{Authorization, SignedAuthorization};
use crate::evm::escrow::{Opening, SignedVoucher, ToppingUp, channel_id};
use crate::evm::signature::Signature;
use crate::evm::{Address, B256, parse};
use crate::json::describe;
use crate::method::Method;
use crate::protocol::credential::Credential;
use crate::protocol::problem::{Problem, ProblemKind};
use crate::time::UnixSeconds;
use alloc::borrow::Cow;
use alloc::format;
use serde::{Deserialize, Serialize};

/// The members of all actions; which of them must be there depends on the action.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a> {
    #[serde(borrow)]
    action: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    channel_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    cumulative_amount: Option<Cow<'a, str>>,
    #[serde(borrow)]
    signature: Option<Cow<'a, str>>,
    #[serde(borrow)]
    voucher_signature: Option<Cow<'a, str>>,
    /// The transaction in the method `abstract`…
    #[serde(borrow)]
    tx_hash: Option<Cow<'a, str>>,
    /// …and in the method `evm`.
    #[serde(borrow)]
    hash: Option<Cow<'a, str>>,
    #[serde(borrow)]
    additional_deposit: Option<Cow<'a, str>>,
    #[serde(borrow)]
    authorized_signer: Option<Cow<'a, str>>,
    /// Of a topUp, older clients call it `topUpSalt`.
    #[serde(borrow, alias = "topUpSalt")]
    salt: Option<Cow<'a, str>>,
    #[serde(borrow)]
    authorization: Option<RawAuthorization<'a>>,
    #[serde(borrow)]
    deposit: Option<Deposit<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawAuthorization<'a> {
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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Deposit<'a> {
    #[serde(borrow)]
    action: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    authorization: RawAuthorization<'a>,
    #[serde(borrow)]
    signature: Cow<'a, str>,
    #[serde(borrow, alias = "topUpSalt")]
    salt: Option<Cow<'a, str>>,
    #[serde(borrow)]
    authorized_signer: Option<Cow<'a, str>>,
}

/// What a client wants of its channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Take the channel on that this transaction opened, or that is opened with a [`Funding`].
    Open {
        /// The client's transaction; `None` when the gateway is to open it.
        transaction: Option<B256>,
    },
    /// Take note of an addition to the deposit.
    TopUp {
        /// The client's transaction and what it added; `None` when the gateway is to add it.
        transaction: Option<(B256, Amount)>,
    },
    /// Take a voucher.
    Voucher,
    /// Close the channel with a last voucher.
    Close,
}

/// Money that the gateway is to bring into the channel with the payer's authorization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Funding {
    /// By opening it.
    Open(Opening),
    /// By adding to it.
    TopUp(ToppingUp),
}

/// A session credential as read, before its signatures are checked.
#[derive(Clone, Copy, Debug)]
pub struct Unverified {
    /// What is wanted.
    pub action: Action,
    /// Of which channel.
    pub channel_id: B256,
    funding: Option<Funding>,
    /// Absent in a topUp.
    voucher: Option<SignedVoucher>,
    source: Option<Address>,
}

/// What the signatures of a session credential prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    /// The voucher and its signer.
    pub presented: Option<Presented>,
    /// Whom `source` names.
    pub source: Option<Address>,
    /// Money to be brought in first; signed by who pays it.
    pub funding: Option<Funding>,
}

impl Unverified {
    /// Reads the payload and compares it with what was asked.
    ///
    /// # Errors
    /// The problem to answer with; its detail names the field.
    pub fn read(credential: &Credential, method: Method, terms: &Terms) -> Result<Self, Problem> {
        let payload: Payload<'_> =
            serde_json::from_str(credential.payload.get()).map_err(|error| malformed("payload", describe(&error)))?;
        let source = source(credential, terms)?;
        let channel_id = hash("payload.channelId", required("payload.channelId", payload.channel_id.as_deref())?)?;
        let by_gateway = payload.is_submitted_by_gateway(method)?;
        let (action, funding) = match payload.action.as_ref() {
            "open" if by_gateway => (Action::Open { transaction: None }, Some(payload.opening(terms, channel_id)?)),
            "open" => (Action::Open { transaction: Some(payload.transaction(method)?) }, None),
            "topUp" if by_gateway => (Action::TopUp { transaction: None }, Some(payload.topping_up(terms, channel_id)?)),
            "topUp" => {
                let addition = amount("payload.additionalDeposit", payload.additional_deposit.as_deref())?;
                (Action::TopUp { transaction: Some((payload.transaction(method)?, addition)) }, None)
            }
            "voucher" => (Action::Voucher, payload.deposit(method, terms, channel_id)?),
            "close" => (Action::Close, None),
            _ => return Err(malformed("payload.action", "must be open, topUp, voucher or close")),
        };
        if let Some(signer) = &payload.authorized_signer {
            address("payload.authorizedSigner", signer)?;
        }
        let voucher = match action {
            Action::TopUp { .. } => None,
            _ => Some(payload.voucher(by_gateway)?),
        };
        Ok(Self { action, channel_id, funding, voucher, source })
    }

    /// Recovers who signed. `escrow` is the domain of vouchers; `token` that of authorizations, where there is one.
    ///
    /// # Errors
    /// `session/invalid-signature` for a voucher, `verification-failed` for an authorization.
    pub fn verify(self, escrow: &Domain, token: Option<&Domain>) -> Result<Proof, Problem> {
        let Self { channel_id, funding, voucher, source, .. } = self;
        let presented = match voucher {
            Some(voucher) => {
                let digest = SignedVoucher::digest(voucher.cumulative, channel_id, escrow);
                let signer = voucher.signature.recover(digest).map_err(|error| invalid_signature("payload.signature", error))?;
                Some(Presented { voucher, signer, source })
            }
            None => None,
        };
        if let Some(funding) = &funding {
            let signed = funding.signed();
            let digest = token.map(|token| signed.authorization.receive_digest(token));
            let signer = digest.and_then(|digest| signed.signature.recover(digest).ok());
            if signer != Some(signed.authorization.from) {
                return Err(failed("payload.authorization: the signature was not made by from for receiveWithAuthorization"));
            }
        }
        Ok(Proof { presented, source, funding })
    }

    /// Whether there is an authorization to check in the token's domain.
    pub const fn is_funded(&self) -> bool {
        self.funding.is_some()
    }
}

impl Funding {
    /// The payer's authorization.
    pub const fn signed(&self) -> &SignedAuthorization {
        match self {
            Self::Open(opening) => &opening.signed,
            Self::TopUp(topping_up) => &topping_up.signed,
        }
    }
}

impl Payload<'_> {
    /// Whether an open or a topUp is to be submitted by the gateway, by `type`.
    fn is_submitted_by_gateway(&self, method: Method) -> Result<bool, Problem> {
        let funds = matches!(self.action.as_ref(), "open" | "topUp");
        match (method, self.kind.as_deref()) {
            // Drafts before the last said `transaction`.
            (Method::Evm, Some("authorization" | "transaction")) if funds => Ok(true),
            (Method::Evm, Some("hash")) | (Method::Abstract, _) => Ok(false),
            (Method::Evm, _) if !funds => Ok(false),
            (Method::Evm, Some("permit2")) => {
                Err(Problem::new(ProblemKind::MethodUnsupported, "payload.type: only \"authorization\" and \"hash\" are accepted here"))
            }
            (Method::Evm, None) if self.authorization.is_none() => Ok(false),
            (Method::Evm, _) => Err(malformed("payload.type", "must be \"authorization\" or \"hash\"")),
        }
    }

    fn transaction(&self, method: Method) -> Result<B256, Problem> {
        let (field, value) = match method {
            Method::Abstract => ("payload.txHash", self.tx_hash.as_deref()),
            Method::Evm => ("payload.hash", self.hash.as_deref()),
        };
        hash(field, required(field, value)?)
    }

    fn voucher(&self, by_gateway: bool) -> Result<SignedVoucher, Problem> {
        let cumulative = amount("payload.cumulativeAmount", self.cumulative_amount.as_deref())?;
        // The signature of an opening by the gateway is the authorization's.
        let (field, text) = if by_gateway {
            ("payload.voucherSignature", self.voucher_signature.as_deref())
        } else {
            ("payload.signature", self.signature.as_deref())
        };
        let signature = Signature::parse(required(field, text)?).map_err(|error| invalid_signature(field, error))?;
        Ok(SignedVoucher { cumulative, signature })
    }

    fn opening(&self, terms: &Terms, id: B256) -> Result<Funding, Problem> {
        let authorization = self.authorization.as_ref().ok_or_else(|| malformed("payload.authorization", "is missing"))?;
        let signature = required("payload.signature", self.signature.as_deref())?;
        opening(terms, id, authorization, signature, self.salt.as_deref(), self.authorized_signer.as_deref())
    }

    fn topping_up(&self, terms: &Terms, id: B256) -> Result<Funding, Problem> {
        let authorization = self.authorization.as_ref().ok_or_else(|| malformed("payload.authorization", "is missing"))?;
        let signature = required("payload.signature", self.signature.as_deref())?;
        let addition = amount("payload.additionalDeposit", self.additional_deposit.as_deref())?;
        let funding = topping_up(terms, id, authorization, signature, self.salt.as_deref())?;
        if funding.signed().authorization.value != addition {
            return Err(failed("payload.additionalDeposit: is not the authorization's value"));
        }
        Ok(funding)
    }

    /// What a voucher brings along.
    fn deposit(&self, method: Method, terms: &Terms, id: B256) -> Result<Option<Funding>, Problem> {
        let Some(deposit) = &self.deposit else { return Ok(None) };
        if method == Method::Abstract {
            return Err(malformed("payload.deposit", "the method abstract has none"));
        }
        if !matches!(deposit.kind.as_deref(), None | Some("authorization")) {
            return Err(Problem::new(ProblemKind::MethodUnsupported, "payload.deposit.type: only \"authorization\" is accepted here"));
        }
        let Deposit { authorization, signature, salt, authorized_signer, .. } = deposit;
        match deposit.action.as_ref() {
            "open" => opening(terms, id, authorization, signature, salt.as_deref(), authorized_signer.as_deref()).map(Some),
            "topUp" => topping_up(terms, id, authorization, signature, salt.as_deref()).map(Some),
            _ => Err(malformed("payload.deposit.action", "must be open or topUp")),
        }
    }
}

fn opening(
    terms: &Terms,
    id: B256,
    authorization: &RawAuthorization<'_>,
    signature: &str,
    salt: Option<&str>,
    signer: Option<&str>,
) -> Result<Funding, Problem> {
    let opening = Opening {
        escrow: terms.escrow,
        token: terms.token,
        payee: terms.recipient,
        salt: hash("payload.salt", required("payload.salt", salt)?)?,
        authorized_signer: signer.map_or(Ok(Address::ZERO), |signer| address("payload.authorizedSigner", signer))?,
        signed: signed(terms, authorization, signature)?,
    };
    if channel_id(&opening, terms.chain_id) != id {
        return Err(failed("payload.channelId: is not the id of a channel with these parameters"));
    }
    check_nonce(opening.nonce(), &opening.signed)?;
    Ok(Funding::Open(opening))
}

fn topping_up(
    terms: &Terms,
    channel_id: B256,
    authorization: &RawAuthorization<'_>,
    signature: &str,
    salt: Option<&str>,
) -> Result<Funding, Problem> {
    let topping_up = ToppingUp {
        escrow: terms.escrow,
        token: terms.token,
        channel_id,
        salt: hash("payload.salt", required("payload.salt", salt)?)?,
        signed: signed(terms, authorization, signature)?,
    };
    check_nonce(topping_up.nonce(), &topping_up.signed)?;
    Ok(Funding::TopUp(topping_up))
}

/// The nonce binds the authorization to what it pays for: another would revert on chain.
fn check_nonce(derived: B256, signed: &SignedAuthorization) -> Result<(), Problem> {
    if signed.authorization.nonce == derived {
        return Ok(());
    }
    Err(failed("payload.authorization.nonce: must be derived from the channel's parameters"))
}

fn signed(terms: &Terms, raw: &RawAuthorization<'_>, signature: &str) -> Result<SignedAuthorization, Problem> {
    let to = address("payload.authorization.to", &raw.to)?;
    if to != terms.escrow {
        return Err(failed("payload.authorization.to: must be the escrow"));
    }
    let authorization = Authorization {
        from: address("payload.authorization.from", &raw.from)?,
        to,
        value: amount("payload.authorization.value", Some(&raw.value))?,
        valid_after: seconds("payload.authorization.validAfter", &raw.valid_after)?,
        valid_before: seconds("payload.authorization.validBefore", &raw.valid_before)?,
        nonce: hash("payload.authorization.nonce", &raw.nonce)?,
    };
    let signature = Signature::parse(signature).map_err(|error| failed(format!("payload.signature: {error}")))?;
    Ok(SignedAuthorization { authorization, signature })
}

fn source(credential: &Credential, terms: &Terms) -> Result<Option<Address>, Problem> {
    let Some(source) = credential.source.as_deref() else { return Ok(None) };
    match parse::did_pkh(source) {
        Some((chain_id, address)) if chain_id == terms.chain_id => Ok(Some(address)),
        _ => Err(failed("source: must be did:pkh:eip155:<chainId>:<address>")),
    }
}

fn required<'a>(field: &str, value: Option<&'a str>) -> Result<&'a str, Problem> {
    value.ok_or_else(|| malformed(field, "is missing"))
}

fn hash(field: &str, text: &str) -> Result<B256, Problem> {
    parse::hash(text).map_err(|error| malformed(field, error))
}

fn address(field: &str, text: &str) -> Result<Address, Problem> {
    parse::address(text).map_err(|error| malformed(field, error))
}

fn amount(field: &str, text: Option<&str>) -> Result<Amount, Problem> {
    Amount::parse_base_units(required(field, text)?).map_err(|error| malformed(field, error))
}

fn seconds(field: &str, text: &str) -> Result<UnixSeconds, Problem> {
    decimal_u64(text).map(UnixSeconds::new).ok_or_else(|| malformed(field, "must be a plain decimal number of seconds below 2^64"))
}

fn invalid_signature(field: &str, error: impl core::fmt::Display) -> Problem {
    Problem::new(ProblemKind::InvalidSignature, format!("{field}: {error}"))
}

fn malformed(field: &str, what: impl core::fmt::Display) -> Problem {
    Problem::new(ProblemKind::MalformedCredential, format!("{field}: {what}"))
}

fn failed(detail: impl Into<Cow<'static, str>>) -> Problem {
    Problem::new(ProblemKind::VerificationFailed, detail)
}
