//! The channel escrow: one-way payment channels on chain (`draft-evm-session-00`; Abstract's
//! `AbstractStreamChannel` has the same shape). A payer deposits tokens for one payee and signs vouchers,
//! each for the total spent so far; the payee turns the best one into tokens.

use super::eip712::Domain;
use super::erc3009::SignedAuthorization;
use super::jsonrpc::{Log, LogFilter};
use super::signature::Signature;
use super::transaction::Call;
use super::{Address, B256, ChainId, U256, keccak256};
use crate::money::Amount;
use crate::time::UnixSeconds;
use alloc::vec::Vec;
use alloy_primitives::Bytes;
use alloy_sol_types::{SolCall, SolEvent, SolStruct, SolValue, sol};
use core::time::Duration;
use serde::{Deserialize, Serialize};

sol! {
    struct Voucher {
        bytes32 channelId;
        uint128 cumulativeAmount;
    }

    function getChannel(bytes32 channelId) returns (ChannelState state);
    struct ChannelState {
        bool finalized;
        uint64 closeRequestedAt;
        address payer;
        address payee;
        address token;
        address authorizedSigner;
        uint128 deposit;
        uint128 settled;
    }

    function getChannelsBatch(bytes32[] channelIds) returns (ChannelState[] states);
    function CLOSE_GRACE_PERIOD() returns (uint64);
    function domainSeparator() returns (bytes32);
    function settle(bytes32 channelId, uint128 cumulativeAmount, bytes signature);
    function close(bytes32 channelId, uint128 cumulativeAmount, bytes signature);
    function openWithAuthorization(address payee, address token, uint128 deposit, bytes32 salt, address authorizedSigner, address from, uint256 validAfter, uint256 validBefore, bytes32 nonce, bytes signature) returns (bytes32);
    function topUpWithAuthorization(bytes32 channelId, uint128 additionalDeposit, address from, bytes32 topUpSalt, uint256 validAfter, uint256 validBefore, bytes32 nonce, bytes signature);

    event ChannelOpened(bytes32 indexed channelId, address indexed payer, address indexed payee, address token, address authorizedSigner, bytes32 salt, uint256 deposit);
    event Settled(bytes32 indexed channelId, address indexed payer, address indexed payee, uint256 cumulativeAmount, uint256 deltaPaid, uint256 newSettled);
    event TopUp(bytes32 indexed channelId, address indexed payer, address indexed payee, uint256 additionalDeposit, uint256 newDeposit);
    event CloseRequested(bytes32 indexed channelId, address indexed payer, address indexed payee, uint256 closeGraceEnd);
    event CloseRequestCancelled(bytes32 indexed channelId, address indexed payer, address indexed payee);
    event ChannelClosed(bytes32 indexed channelId, address indexed payer, address indexed payee, uint256 settledToPayee, uint256 refundedToPayer);
    event ChannelExpired(bytes32 indexed channelId, address indexed payer, address indexed payee);
}

/// An escrow that gives the payee less time after a request to close is not accepted
/// (`draft-evm-session-00`, Forced Close).
pub const MIN_GRACE_PERIOD: Duration = Duration::from_secs(10 * 60);

/// A voucher of some channel, with its signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedVoucher {
    /// The total that the payee may take, in base units.
    pub cumulative: Amount,
    /// By the channel's signer, in the escrow's domain.
    pub signature: Signature,
}

/// What the escrow says of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OnChain {
    /// Closed for good. Every other field of such a channel may read as zero.
    pub finalized: bool,
    /// When the payer asked to close it; zero when it has not.
    pub close_requested_at: UnixSeconds,
    /// Who deposited; zero when there is no such channel.
    pub payer: Address,
    /// Who is paid.
    pub payee: Address,
    /// In what.
    pub token: Address,
    /// Who signs vouchers; zero for the payer.
    pub authorized_signer: Address,
    /// All that was deposited, in base units.
    pub deposit: Amount,
    /// All that the payee has taken, in base units.
    pub settled: Amount,
}

/// What an escrow says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EscrowFacts {
    /// How long the payee has after a request to close.
    pub grace_period: Duration,
    /// The separator of its EIP-712 domain.
    pub separator: B256,
}

/// Opening a channel with the payer's authorization (ERC-3009 `receiveWithAuthorization`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Opening {
    /// The escrow's contract.
    pub escrow: Address,
    /// The token's contract.
    pub token: Address,
    /// Who is paid.
    pub payee: Address,
    /// Chosen by the client, 32 bytes.
    pub salt: B256,
    /// Who signs vouchers; zero for the payer.
    pub authorized_signer: Address,
    /// Moves the deposit to the escrow.
    pub signed: SignedAuthorization,
}

/// Adding to a channel's deposit with an authorization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToppingUp {
    /// The escrow's contract.
    pub escrow: Address,
    /// The token's contract.
    pub token: Address,
    /// The channel.
    pub channel_id: B256,
    /// Chosen by the client, 32 bytes.
    pub salt: B256,
    /// Moves the addition to the escrow.
    pub signed: SignedAuthorization,
}

/// Taking what a voucher allows, and with `close` ending the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Payout {
    /// The escrow's contract.
    pub escrow: Address,
    /// The channel.
    pub channel_id: B256,
    /// The voucher.
    pub voucher: SignedVoucher,
    /// Tells a repetition after a failure or a reorganisation from a repeated request.
    pub epoch: u32,
}

impl SignedVoucher {
    /// The digest that was signed for `channel_id` in the escrow's domain.
    pub fn digest(cumulative: Amount, channel_id: B256, domain: &Domain) -> B256 {
        domain.digest(Voucher { channelId: channel_id, cumulativeAmount: cumulative.base_units() }.eip712_hash_struct())
    }
}

/// The id of a channel: `keccak256(abi.encode(payer, payee, token, salt, authorizedSigner, escrow, chainId))`.
pub fn channel_id(opening: &Opening, chain_id: ChainId) -> B256 {
    let Opening { escrow, token, payee, salt, authorized_signer, signed } = opening;
    let payer = signed.authorization.from;
    keccak256((payer, *payee, *token, *salt, *authorized_signer, *escrow, U256::from(chain_id)).abi_encode())
}

/// Calldata of `getChannel(channelId)`.
pub fn channel_call(channel_id: B256) -> Vec<u8> {
    getChannelCall { channelId: channel_id }.abi_encode()
}

/// Calldata of `getChannelsBatch(channelIds)`.
pub fn channels_call(channel_ids: Vec<B256>) -> Vec<u8> {
    getChannelsBatchCall { channelIds: channel_ids }.abi_encode()
}

/// Finds every event of the channels of these payees among the escrows' logs. Each event has the payee as its third indexed field.
pub fn events_filter(payees: impl IntoIterator<Item = Address>) -> LogFilter {
    let events = [
        ChannelOpened::SIGNATURE_HASH,
        Settled::SIGNATURE_HASH,
        TopUp::SIGNATURE_HASH,
        CloseRequested::SIGNATURE_HASH,
        CloseRequestCancelled::SIGNATURE_HASH,
        ChannelClosed::SIGNATURE_HASH,
        ChannelExpired::SIGNATURE_HASH,
    ];
    LogFilter([events.to_vec(), Vec::new(), Vec::new(), payees.into_iter().map(|payee| payee.into_word()).collect()].into())
}

/// The channel of one of these escrows that a log is about.
pub fn event_channel(escrows: &[Address], log: &Log) -> Option<B256> {
    log.topics.get(1).filter(|_| escrows.contains(&log.address)).copied()
}

/// Calldata of `CLOSE_GRACE_PERIOD()` and `domainSeparator()`.
pub fn facts_calls() -> [Vec<u8>; 2] {
    [CLOSE_GRACE_PERIODCall {}.abi_encode(), domainSeparatorCall {}.abi_encode()]
}

/// Whether a contract's code dispatches to the functions that take authorizations. (Behind a proxy it does
/// not: then the answer is no.)
pub fn takes_authorizations(code: &[u8]) -> bool {
    let dispatches = |selector: [u8; 4]| code.windows(4).any(|window| window == selector);
    dispatches(openWithAuthorizationCall::SELECTOR) && dispatches(topUpWithAuthorizationCall::SELECTOR)
}

impl From<ChannelState> for OnChain {
    fn from(channel: ChannelState) -> Self {
        Self {
            finalized: channel.finalized,
            close_requested_at: UnixSeconds::new(channel.closeRequestedAt),
            payer: channel.payer,
            payee: channel.payee,
            token: channel.token,
            authorized_signer: channel.authorizedSigner,
            deposit: Amount::from_base_units(channel.deposit),
            settled: Amount::from_base_units(channel.settled),
        }
    }
}

impl OnChain {
    /// Reads the answer of `getChannel`.
    pub fn decode(answer: &[u8]) -> Option<Self> {
        // A struct without members of variable length is encoded as its members are.
        ChannelState::abi_decode(answer).ok().map(Self::from)
    }

    /// Reads the answer of `getChannelsBatch`.
    pub fn decode_all(answer: &[u8]) -> Option<Vec<Self>> {
        let states = getChannelsBatchCall::abi_decode_returns(answer).ok()?;
        Some(states.into_iter().map(Self::from).collect())
    }

    /// Whether there is such a channel, open or not.
    pub fn exists(&self) -> bool {
        self.finalized || self.payer != Address::ZERO
    }

    /// Who signs its vouchers.
    pub fn signer(&self) -> Address {
        if self.authorized_signer == Address::ZERO { self.payer } else { self.authorized_signer }
    }
}

impl EscrowFacts {
    /// Reads the answers to [`facts_calls`].
    pub fn decode(grace_period: &[u8], separator: &[u8]) -> Option<Self> {
        let grace_period = Duration::from_secs(CLOSE_GRACE_PERIODCall::abi_decode_returns(grace_period).ok()?);
        Some(Self { grace_period, separator: domainSeparatorCall::abi_decode_returns(separator).ok()? })
    }
}

impl Opening {
    /// Who will sign the channel's vouchers.
    pub fn signer(&self) -> Address {
        if self.authorized_signer == Address::ZERO { self.signed.authorization.from } else { self.authorized_signer }
    }

    /// The authorization's nonce that binds it to this channel's parameters, so that nobody can open
    /// another channel with it.
    pub fn nonce(&self) -> B256 {
        let payer = self.signed.authorization.from;
        keccak256((payer, self.payee, self.token, self.salt, self.authorized_signer).abi_encode())
    }

    /// The transaction that opens the channel.
    pub fn call(&self) -> Call {
        let authorization = &self.signed.authorization;
        let call = openWithAuthorizationCall {
            payee: self.payee,
            token: self.token,
            deposit: authorization.value.base_units(),
            salt: self.salt,
            authorizedSigner: self.authorized_signer,
            from: authorization.from,
            validAfter: U256::from(authorization.valid_after.get()),
            validBefore: U256::from(authorization.valid_before.get()),
            nonce: authorization.nonce,
            signature: Bytes::from(self.signed.signature.to_bytes()),
        };
        Call { to: self.escrow, data: call.abi_encode().into() }
    }

    /// Whether these logs show that the channel was opened with this deposit.
    pub fn is_done_by(&self, chain_id: ChainId, logs: &[Log]) -> bool {
        let deposit = self.signed.authorization.value.to_u256();
        opened(self.escrow, channel_id(self, chain_id), logs) == Some(deposit)
    }
}

impl ToppingUp {
    /// The authorization's nonce that binds it to this addition.
    pub fn nonce(&self) -> B256 {
        let authorization = &self.signed.authorization;
        let addition = U256::from(authorization.value.base_units());
        keccak256((self.channel_id, addition, authorization.from, self.salt).abi_encode())
    }

    /// The transaction that adds to the deposit.
    pub fn call(&self) -> Call {
        let authorization = &self.signed.authorization;
        let call = topUpWithAuthorizationCall {
            channelId: self.channel_id,
            additionalDeposit: authorization.value.base_units(),
            from: authorization.from,
            topUpSalt: self.salt,
            validAfter: U256::from(authorization.valid_after.get()),
            validBefore: U256::from(authorization.valid_before.get()),
            nonce: authorization.nonce,
            signature: Bytes::from(self.signed.signature.to_bytes()),
        };
        Call { to: self.escrow, data: call.abi_encode().into() }
    }

    /// Whether these logs show that this much was added.
    pub fn is_done_by(&self, logs: &[Log]) -> bool {
        topped_up(self.escrow, self.channel_id, self.signed.authorization.value, logs).is_some()
    }
}

impl Payout {
    /// The transaction that takes what the voucher allows; the channel stays open.
    pub fn settle_call(&self) -> Call {
        let call = settleCall {
            channelId: self.channel_id,
            cumulativeAmount: self.voucher.cumulative.base_units(),
            signature: Bytes::from(self.voucher.signature.to_bytes()),
        };
        Call { to: self.escrow, data: call.abi_encode().into() }
    }

    /// The transaction that takes what the voucher allows and ends the channel.
    pub fn close_call(&self) -> Call {
        let call = closeCall {
            channelId: self.channel_id,
            cumulativeAmount: self.voucher.cumulative.base_units(),
            signature: Bytes::from(self.voucher.signature.to_bytes()),
        };
        Call { to: self.escrow, data: call.abi_encode().into() }
    }

    /// Whether these logs show that at least this much was settled, by a settlement or with the channel's end.
    pub fn is_settled_by(&self, logs: &[Log]) -> bool {
        let wanted = self.voucher.cumulative.to_u256();
        let settled = |log: &Log| Settled::decode_raw_log(log.topics.iter().copied(), &log.data).ok().map(|event| event.newSettled);
        let enough = |settled: U256| settled >= wanted;
        self.logs(logs).any(|log| settled(log).is_some_and(enough)) || self.is_closed_by(logs)
    }

    /// Whether these logs show that the channel ended with at least this much settled.
    pub fn is_closed_by(&self, logs: &[Log]) -> bool {
        let wanted = self.voucher.cumulative.to_u256();
        self.ends(logs).any(|settled| settled >= wanted)
    }

    /// Whether these logs show that the channel ended, with whatever was settled.
    pub fn is_ended_by(&self, logs: &[Log]) -> bool {
        self.ends(logs).next().is_some()
    }

    /// What was settled when the channel ended.
    fn ends(&self, logs: &[Log]) -> impl Iterator<Item = U256> {
        self.logs(logs)
            .filter_map(|log| ChannelClosed::decode_raw_log(log.topics.iter().copied(), &log.data).ok())
            .map(|event| event.settledToPayee)
    }

    fn logs<'a>(&self, logs: &'a [Log]) -> impl Iterator<Item = &'a Log> {
        channel_logs(self.escrow, self.channel_id, logs)
    }

    /// Finds the settlements and the end of the channel among the escrow's logs.
    pub fn ending_filter(&self) -> LogFilter {
        LogFilter([[Settled::SIGNATURE_HASH, ChannelClosed::SIGNATURE_HASH].to_vec(), [self.channel_id].to_vec()].to_vec())
    }
}

/// The logs of one channel.
fn channel_logs(escrow: Address, channel_id: B256, logs: &[Log]) -> impl Iterator<Item = &Log> {
    logs.iter().filter(move |log| log.address == escrow && log.topics.get(1) == Some(&channel_id))
}

/// The deposit with which these logs show the channel to have been opened.
pub fn opened(escrow: Address, channel_id: B256, logs: &[Log]) -> Option<U256> {
    channel_logs(escrow, channel_id, logs)
        .find_map(|log| ChannelOpened::decode_raw_log(log.topics.iter().copied(), &log.data).ok())
        .map(|event| event.deposit)
}

/// The deposit that was left behind, where these logs show that exactly `addition` was added to it; the highest, if several times.
pub fn topped_up(escrow: Address, channel_id: B256, addition: Amount, logs: &[Log]) -> Option<U256> {
    channel_logs(escrow, channel_id, logs)
        .filter_map(|log| TopUp::decode_raw_log(log.topics.iter().copied(), &log.data).ok())
        .filter(|event| event.additionalDeposit == addition.to_u256())
        .map(|event| event.newDeposit)
        .max()
}
