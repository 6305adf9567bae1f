//! Tempo transactions (type `0x76`), and what a payer hands to a fee payer (`0x78`): read, hashed and written again.
//!
//! `0x76 ‖ RLP[chainId, maxPriorityFeePerGas, maxFeePerGas, gas, calls, accessList, nonceKey, nonce, validBefore, validAfter, feeToken,
//! feePayerSignature, authorizationList, (keyAuthorization), senderSignature]`. There is one way to write each: minimal integers and
//! lengths, nothing behind the end. What is signed are the same fields with others in the two places of the fees, so the fields before and
//! behind these are kept as they stand, and nothing of them can get lost: neither lists that matter to nobody here, nor members of a key
//! authorization that are newer than this code.

use super::sender::{InvalidSender, SenderSignature};
use crate::evm::signature::Signature;
use crate::evm::{Address, B256, ChainId, U256, keccak256};
use crate::time::UnixSeconds;
use alloc::vec::Vec;
use alloy_primitives::Bytes;
use alloy_rlp::{Decodable, Encodable, Header};
use core::fmt;
use serde::{Deserialize, Serialize};

/// The longest transaction that is read, in bytes.
pub const MOST_BYTES: usize = 8 * 1024;

/// The most calls that one is read with: what eleven recipients take, and a swap before them.
pub const MOST_CALLS: usize = 13;

/// Lists within lists are read so deep.
const DEEPEST: usize = 8;

/// The type of a transaction.
const TRANSACTION: u8 = 0x76;

/// The type of what a fee payer is to sign.
const FOR_FEE_PAYER: u8 = 0x78;

/// An empty string, and an empty list.
const EMPTY: &[u8] = &[0x80];

/// What stands in the place of the fee payer's signature when a sender signs that somebody else shall pay.
const PLACEHOLDER: &[u8] = &[0x00];

/// A signed transaction.
#[derive(Clone, Debug)]
pub struct Transaction<'a> {
    /// EIP-155 chain id.
    pub chain_id: ChainId,
    /// `maxPriorityFeePerGas`, in attodollars.
    pub priority_fee: u128,
    /// `maxFeePerGas`, in attodollars.
    pub max_fee: u128,
    /// The most gas that it may use.
    pub gas: u64,
    /// What is called, all of it or nothing; none carries a value. At least one.
    pub calls: Vec<Call<'a>>,
    /// Whether it names storage that it will use (EIP-2930).
    pub has_access_list: bool,
    /// Whether it delegates accounts (as EIP-7702).
    pub has_authorizations: bool,
    /// The sequence that its nonce counts in; [`EXPIRING`] for none.
    pub nonce_key: U256,
    /// Its place in the sequence.
    pub nonce: u64,
    /// It is in a block before this time, or never.
    pub valid_before: Option<UnixSeconds>,
    /// It is in a block after this time.
    pub valid_after: Option<UnixSeconds>,
    /// What the fees are paid in, where that is said.
    pub fee_token: Option<Address>,
    /// Who pays the fees.
    pub fees: Fees,
    /// By who sends it.
    pub signature: SenderSignature,
    /// The fields before `feeToken`, as they stand.
    head: &'a [u8],
    /// Those between `feePayerSignature` and the sender's signature.
    tail: &'a [u8],
}

/// The key of nonces that count nothing: such a transaction is unique by its hash until `validBefore`, which it must have.
pub const EXPIRING: U256 = U256::MAX;

/// One call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call<'a> {
    /// The contract.
    pub to: Address,
    /// Calldata.
    pub data: &'a [u8],
}

/// Who pays the fees of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fees {
    /// Its sender.
    Sender,
    /// Whoever signs for them: this is no transaction yet (`0x78`).
    Wanted {
        /// The sender, as the transaction says.
        sender: Address,
    },
    /// Who has signed for them.
    Signed(Signature),
}

/// A transaction as it goes into a block.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Its hash.
    pub hash: B256,
    /// Its bytes.
    pub raw: Bytes,
}

/// What of a transaction cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidTransaction {
    /// Longer than [`MOST_BYTES`].
    TooLong,
    /// Neither `0x76` nor `0x78`.
    Type,
    /// A field is missing, or not in its one form.
    Field(&'static str),
    /// Something stands behind its end.
    MoreBytes,
    /// A call has a value, or creates a contract.
    Call,
    /// None, or more than [`MOST_CALLS`].
    Calls,
    /// `validBefore` is not after `validAfter`.
    Window,
    /// It is to be sponsored, and names what the fees are to be paid in, which its sponsor says.
    FeeToken,
    /// It is a `0x76` that still wants a sponsor: as `0x78` it would say whose it is.
    Placeholder,
    /// Its sender's signature.
    Sender(InvalidSender),
}

impl fmt::Display for InvalidTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "is longer than {MOST_BYTES} bytes"),
            Self::Type => f.write_str("must be a Tempo transaction, 0x76 or 0x78"),
            Self::Field(field) => write!(f, "its {field} cannot be read, or is not in its shortest form"),
            Self::MoreBytes => f.write_str("has more bytes than its length says"),
            Self::Call => f.write_str("its calls must have a contract to call, and no value"),
            Self::Calls => write!(f, "must have 1 to {MOST_CALLS} calls"),
            Self::Window => f.write_str("its validBefore must be after its validAfter"),
            Self::FeeToken => f.write_str("its feeToken must be empty, since who pays the fees says what in"),
            Self::Placeholder => f.write_str("wants its fees paid, for which it must come as 0x78"),
            Self::Sender(invalid) => invalid.fmt(f),
        }
    }
}

impl core::error::Error for InvalidTransaction {}

// It is money until it is in a block.
impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed").field("hash", &self.hash).finish_non_exhaustive()
    }
}

/// One item of RLP.
struct Item<'a> {
    is_list: bool,
    payload: &'a [u8],
}

/// What is left of a list.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn item(&mut self, field: &'static str) -> Result<Item<'a>, InvalidTransaction> {
        let wrong = InvalidTransaction::Field(field);
        let Header { list, payload_length } = Header::decode(&mut self.0).map_err(|_| wrong)?;
        let (payload, rest) = self.0.split_at_checked(payload_length).ok_or(wrong)?;
        self.0 = rest;
        Ok(Item { is_list: list, payload })
    }

    fn list(&mut self, field: &'static str) -> Result<Reader<'a>, InvalidTransaction> {
        let item = self.item(field)?;
        if item.is_list { Ok(Reader(item.payload)) } else { Err(InvalidTransaction::Field(field)) }
    }

    fn string(&mut self, field: &'static str) -> Result<&'a [u8], InvalidTransaction> {
        let item = self.item(field)?;
        if item.is_list { Err(InvalidTransaction::Field(field)) } else { Ok(item.payload) }
    }

    /// An integer, minimal.
    fn integer<T: Decodable>(&mut self, field: &'static str) -> Result<T, InvalidTransaction> {
        T::decode(&mut self.0).map_err(|_| InvalidTransaction::Field(field))
    }

    /// A time, if there is one.
    fn time(&mut self, field: &'static str) -> Result<Option<UnixSeconds>, InvalidTransaction> {
        self.integer(field).map(|seconds: u64| (seconds > 0).then(|| UnixSeconds::new(seconds)))
    }

    /// An address, if there is one.
    fn address(&mut self, field: &'static str) -> Result<Option<Address>, InvalidTransaction> {
        match self.string(field)? {
            [] => Ok(None),
            bytes => Address::try_from(bytes).map(Some).map_err(|_| InvalidTransaction::Field(field)),
        }
    }

    /// A list of which it only matters whether it is empty. All in it must be in its one form, too.
    fn unread_list(&mut self, field: &'static str) -> Result<bool, InvalidTransaction> {
        let list = self.list(field)?;
        let is_empty = list.0.is_empty();
        list.check(field, DEEPEST)?;
        Ok(!is_empty)
    }

    fn check(mut self, field: &'static str, deep: usize) -> Result<(), InvalidTransaction> {
        let deeper = deep.checked_sub(1).ok_or(InvalidTransaction::Field(field))?;
        while !self.0.is_empty() {
            let item = self.item(field)?;
            if item.is_list {
                Reader(item.payload).check(field, deeper)?;
            }
        }
        Ok(())
    }

    fn end(&self, field: &'static str) -> Result<(), InvalidTransaction> {
        if self.0.is_empty() { Ok(()) } else { Err(InvalidTransaction::Field(field)) }
    }

    fn calls(&mut self) -> Result<Vec<Call<'a>>, InvalidTransaction> {
        let mut list = self.list("calls")?;
        let mut calls = Vec::new();
        while !list.0.is_empty() {
            if calls.len() == MOST_CALLS {
                return Err(InvalidTransaction::Calls);
            }
            let mut call = list.list("calls")?;
            let (to, value, data) = (call.address("calls")?, call.integer::<U256>("calls")?, call.string("calls")?);
            call.end("calls")?;
            let (Some(to), true) = (to, value.is_zero()) else { return Err(InvalidTransaction::Call) };
            calls.push(Call { to, data });
        }
        if calls.is_empty() { Err(InvalidTransaction::Calls) } else { Ok(calls) }
    }

    /// Who pays the fees.
    fn fees(&mut self, kind: u8) -> Result<Fees, InvalidTransaction> {
        const FIELD: &str = "feePayerSignature";
        const WRONG: InvalidTransaction = InvalidTransaction::Field(FIELD);
        let item = self.item(FIELD)?;
        match (kind, item.is_list, item.payload) {
            (TRANSACTION, false, []) => Ok(Fees::Sender),
            (TRANSACTION, false, [0]) => Err(InvalidTransaction::Placeholder),
            (TRANSACTION, true, list) => {
                let mut list = Reader(list);
                let (odd, r, s) = (list.integer::<u8>(FIELD)?, list.integer::<U256>(FIELD)?, list.integer::<U256>(FIELD)?);
                list.end(FIELD)?;
                let v = if odd > 1 { return Err(WRONG) } else { 27 + odd };
                let mut bytes = [v; 65];
                let (r_bytes, rest) = bytes.split_at_mut(32);
                r_bytes.copy_from_slice(&r.to_be_bytes::<32>());
                rest.split_at_mut(32).0.copy_from_slice(&s.to_be_bytes::<32>());
                Signature::from_bytes(&bytes).map(Fees::Signed).map_err(|_| WRONG)
            }
            (FOR_FEE_PAYER, false, sender) => Address::try_from(sender).map(|sender| Fees::Wanted { sender }).map_err(|_| WRONG),
            _ => Err(WRONG),
        }
    }
}

impl<'a> Transaction<'a> {
    /// Reads a signed transaction, or one that its sender has signed for a fee payer.
    ///
    /// # Errors
    /// [`InvalidTransaction`] when a byte of it could be another one without a difference.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, InvalidTransaction> {
        if bytes.len() > MOST_BYTES {
            return Err(InvalidTransaction::TooLong);
        }
        let (kind, mut rest) = match bytes.split_first() {
            Some((kind @ (&TRANSACTION | &FOR_FEE_PAYER), rest)) => (*kind, Reader(rest)),
            _ => return Err(InvalidTransaction::Type),
        };
        let mut fields = rest.list("list of fields")?;
        if !rest.0.is_empty() {
            return Err(InvalidTransaction::MoreBytes);
        }
        let all = fields.0;
        let chain_id = fields.integer("chainId")?;
        let priority_fee = fields.integer("maxPriorityFeePerGas")?;
        let max_fee = fields.integer("maxFeePerGas")?;
        let gas = fields.integer("gas")?;
        let calls = fields.calls()?;
        let has_access_list = fields.unread_list("accessList")?;
        let nonce_key = fields.integer("nonceKey")?;
        let nonce = fields.integer("nonce")?;
        let valid_before = fields.time("validBefore")?;
        let valid_after = fields.time("validAfter")?;
        let head = before(all, fields.0);
        let fee_token = fields.address("feeToken")?;
        let fees = fields.fees(kind)?;
        let behind = fields.0;
        let has_authorizations = fields.unread_list("authorizationList")?;
        let mut tail = before(behind, fields.0);
        let mut last = fields.item("signature")?;
        if last.is_list {
            Reader(last.payload).check("keyAuthorization", DEEPEST)?;
            tail = before(behind, fields.0);
            last = fields.item("signature")?;
        }
        if last.is_list || !fields.0.is_empty() {
            return Err(InvalidTransaction::Field("signature"));
        }
        if valid_before.is_some_and(|before| valid_after.is_some_and(|after| before <= after)) {
            return Err(InvalidTransaction::Window);
        }
        if fee_token.is_some() && matches!(fees, Fees::Wanted { .. }) {
            return Err(InvalidTransaction::FeeToken);
        }
        let signature = SenderSignature::decode(last.payload).map_err(InvalidTransaction::Sender)?;
        Ok(Self {
            chain_id,
            priority_fee,
            max_fee,
            gas,
            calls,
            has_access_list,
            has_authorizations,
            nonce_key,
            nonce,
            valid_before,
            valid_after,
            fee_token,
            fees,
            signature,
            head,
            tail,
        })
    }

    /// What its sender has signed. Who sponsors it, and in what the fees are paid, makes no difference to it.
    pub fn sender_digest(&self) -> B256 {
        let (fee_token, fees) = match self.fees {
            Fees::Sender => (token(self.fee_token), EMPTY),
            Fees::Wanted { .. } | Fees::Signed(_) => (token(None), PLACEHOLDER),
        };
        keccak256(encode(TRANSACTION, &[self.head, &fee_token, fees, self.tail]))
    }

    /// What a fee payer signs who pays in `fee_token` for `sender`.
    pub fn fee_payer_digest(&self, fee_token: Address, sender: Address) -> B256 {
        keccak256(encode(FOR_FEE_PAYER, &[self.head, &token(Some(fee_token)), &token(Some(sender)), self.tail]))
    }

    /// It as it goes into a block. `None` when nobody has signed for its fees.
    pub fn seal(&self) -> Option<Sealed> {
        match &self.fees {
            Fees::Sender => Some(self.sealed(self.fee_token, EMPTY)),
            Fees::Signed(signature) => Some(self.sealed(self.fee_token, &fee_payer(signature))),
            Fees::Wanted { .. } => None,
        }
    }

    /// It as it goes into a block with the fees paid in `fee_token` by who has made `signature` over [`Self::fee_payer_digest`].
    pub fn seal_sponsored(&self, fee_token: Address, signature: &Signature) -> Sealed {
        self.sealed(Some(fee_token), &fee_payer(signature))
    }

    fn sealed(&self, fee_token: Option<Address>, fees: &[u8]) -> Sealed {
        let mut signature = Vec::new();
        self.signature.to_bytes().as_slice().encode(&mut signature);
        let raw = encode(TRANSACTION, &[self.head, &token(fee_token), fees, self.tail, &signature]);
        Sealed { hash: keccak256(&raw), raw: raw.into() }
    }
}

/// What of `all` stands before its `rest`.
fn before<'a>(all: &'a [u8], rest: &[u8]) -> &'a [u8] {
    all.len().checked_sub(rest.len()).and_then(|length| all.get(..length)).unwrap_or_default()
}

/// An address, or none, as RLP.
fn token(address: Option<Address>) -> Vec<u8> {
    let mut out = Vec::new();
    match address {
        Some(address) => address.encode(&mut out),
        None => out.extend_from_slice(EMPTY),
    }
    out
}

/// A fee payer's signature as RLP.
fn fee_payer(signature: &Signature) -> Vec<u8> {
    let mut fields = Vec::new();
    signature.parity().encode(&mut fields);
    U256::from_be_bytes(signature.r().0).encode(&mut fields);
    U256::from_be_bytes(signature.s().0).encode(&mut fields);
    list(&[&fields])
}

/// The list of `parts`, which are items already.
fn list(parts: &[&[u8]]) -> Vec<u8> {
    let payload_length = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(payload_length + 8);
    Header { list: true, payload_length }.encode(&mut out);
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

fn encode(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::from([kind]);
    out.append(&mut list(parts));
    out
}

#[cfg(test)]
mod tests;
