// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {EIP712} from "solady/src/utils/EIP712.sol";
import {SignatureCheckerLib} from "solady/src/utils/SignatureCheckerLib.sol";

/// @title AbstractStreamChannel: escrow of one-way payment channels
/// @notice FOR THE LOCAL CHAIN ONLY, NOT AUDITED. Written to behave as the escrow that is deployed on Abstract (same functions, events,
/// errors, EIP-712 domain and signatures) so that its clients work against it unchanged.
///
/// A payer deposits tokens for one payee and signs vouchers off chain, each for the total spent so far. The payee turns the best
/// voucher into tokens with `settle` or, finally, `close`. A payer whom the payee ignores calls `requestClose`, waits out the grace
/// period, in which the payee can still settle, and takes the rest with `withdraw`.
///
/// What holds at any time, and what the tests try to break:
///  - settled <= deposit, and settled never falls while a channel is open;
///  - the escrow's balance of a token is the sum of deposit - settled over its open channels;
///  - a finalized channel keeps nothing but `finalized` (as on Abstract: every other field reads as zero, so a reader must look at
///    `finalized` first), stays so for good, and its id can never be opened again.
///
/// Only for tokens that move exactly the amount asked for: a token that takes a fee or rebases would break the second rule.
contract AbstractStreamChannel is EIP712 {
    /// In the order in which Abstract's ABI lists it; a reader decodes eight words.
    struct Channel {
        bool finalized;
        uint64 closeRequestedAt;
        address payer;
        address payee;
        address token;
        address authorizedSigner;
        uint128 deposit;
        uint128 settled;
    }

    bytes32 public constant VOUCHER_TYPEHASH = keccak256("Voucher(bytes32 channelId,uint128 cumulativeAmount)");

    /// How long the payee has, after a payer's request to close, to bring its best voucher.
    uint64 public constant CLOSE_GRACE_PERIOD = 15 minutes;

    event ChannelOpened(
        bytes32 indexed channelId,
        address indexed payer,
        address indexed payee,
        address token,
        address authorizedSigner,
        bytes32 salt,
        uint256 deposit
    );
    event Settled(
        bytes32 indexed channelId,
        address indexed payer,
        address indexed payee,
        uint256 cumulativeAmount,
        uint256 deltaPaid,
        uint256 newSettled
    );
    event TopUp(
        bytes32 indexed channelId,
        address indexed payer,
        address indexed payee,
        uint256 additionalDeposit,
        uint256 newDeposit
    );
    event CloseRequested(
        bytes32 indexed channelId, address indexed payer, address indexed payee, uint256 closeGraceEnd
    );
    event CloseRequestCancelled(bytes32 indexed channelId, address indexed payer, address indexed payee);
    event ChannelClosed(
        bytes32 indexed channelId,
        address indexed payer,
        address indexed payee,
        uint256 settledToPayee,
        uint256 refundedToPayer
    );
    event ChannelExpired(bytes32 indexed channelId, address indexed payer, address indexed payee);

    error ChannelAlreadyExists();
    error ChannelNotFound();
    error ChannelFinalized();
    error NotPayer();
    error NotPayee();
    error InvalidPayee();
    /// In the interface, and never used: see `_record`.
    error InvalidToken();
    error InvalidSignature();
    error ZeroDeposit();
    error DepositOverflow();
    error AmountExceedsDeposit();
    error AmountNotIncreasing();
    error CloseNotReady();
    error TransferFailed();

    mapping(bytes32 channelId => Channel) public channels;

    // --- Payer ---------------------------------------------------------------------------------------------------------------

    /// @notice Opens a channel from the caller and takes the deposit, which the caller must have approved.
    /// @param authorizedSigner who signs vouchers; the zero address means the payer
    function open(address payee, address token, uint128 deposit, bytes32 salt, address authorizedSigner)
        external
        returns (bytes32 channelId)
    {
        channelId = _record(msg.sender, payee, token, deposit, salt, authorizedSigner);
        _take(token, msg.sender, deposit);
        emit ChannelOpened(channelId, msg.sender, payee, token, authorizedSigner, salt, deposit);
    }

    /// @notice Adds to the deposit. A payer who adds money means to go on: a pending request to close is cancelled.
    function topUp(bytes32 channelId, uint256 additionalDeposit) public {
        Channel storage channel = _openChannel(channelId);
        if (msg.sender != channel.payer) revert NotPayer();
        uint128 newDeposit = _raise(channel, additionalDeposit);
        bool cancelled = _cancelRequest(channel);

        _take(channel.token, msg.sender, additionalDeposit);
        if (cancelled) emit CloseRequestCancelled(channelId, channel.payer, channel.payee);
        emit TopUp(channelId, channel.payer, channel.payee, additionalDeposit, newDeposit);
    }

    /// @notice Starts the grace period. Asking again does not start it anew.
    function requestClose(bytes32 channelId) external {
        Channel storage channel = _openChannel(channelId);
        if (msg.sender != channel.payer) revert NotPayer();
        if (channel.closeRequestedAt != 0) return;
        channel.closeRequestedAt = uint64(block.timestamp);
        emit CloseRequested(channelId, channel.payer, channel.payee, block.timestamp + CLOSE_GRACE_PERIOD);
    }

    /// @notice Ends the channel after the grace period and returns what was not settled.
    function withdraw(bytes32 channelId) external {
        Channel memory channel = _openChannel(channelId);
        if (msg.sender != channel.payer) revert NotPayer();
        if (channel.closeRequestedAt == 0 || block.timestamp < channel.closeRequestedAt + CLOSE_GRACE_PERIOD) {
            revert CloseNotReady();
        }
        _finalize(channelId);

        uint128 refund = channel.deposit - channel.settled;
        _pay(channel.token, channel.payer, refund);
        emit ChannelExpired(channelId, channel.payer, channel.payee);
        emit ChannelClosed(channelId, channel.payer, channel.payee, channel.settled, refund);
    }

    // --- Payee ---------------------------------------------------------------------------------------------------------------

    /// @notice Pays the payee up to the total of a voucher. The channel stays open.
    function settle(bytes32 channelId, uint128 cumulativeAmount, bytes calldata signature) external {
        Channel storage channel = _openChannel(channelId);
        if (msg.sender != channel.payee) revert NotPayee();
        if (cumulativeAmount > channel.deposit) revert AmountExceedsDeposit();
        if (cumulativeAmount <= channel.settled) revert AmountNotIncreasing();
        _requireVoucher(channel.authorizedSigner, channel.payer, channelId, cumulativeAmount, signature);

        uint128 delta = cumulativeAmount - channel.settled;
        channel.settled = cumulativeAmount;

        _pay(channel.token, channel.payee, delta);
        emit Settled(channelId, channel.payer, channel.payee, cumulativeAmount, delta, cumulativeAmount);
    }

    /// @notice Settles a last voucher, returns the rest to the payer and ends the channel.
    /// @param cumulativeAmount a total at or below what is settled needs no signature: it takes nothing from the payer
    function close(bytes32 channelId, uint128 cumulativeAmount, bytes calldata signature) external {
        Channel memory channel = _openChannel(channelId);
        if (msg.sender != channel.payee) revert NotPayee();

        uint128 settled = channel.settled;
        if (cumulativeAmount > settled) {
            if (cumulativeAmount > channel.deposit) revert AmountExceedsDeposit();
            _requireVoucher(channel.authorizedSigner, channel.payer, channelId, cumulativeAmount, signature);
            settled = cumulativeAmount;
        }
        _finalize(channelId);

        uint128 refund = channel.deposit - settled;
        _pay(channel.token, channel.payee, settled - channel.settled);
        _pay(channel.token, channel.payer, refund);
        emit ChannelClosed(channelId, channel.payer, channel.payee, settled, refund);
    }

    // --- Anybody -------------------------------------------------------------------------------------------------------------

    function getChannel(bytes32 channelId) external view returns (Channel memory) {
        return channels[channelId];
    }

    function getChannelsBatch(bytes32[] calldata channelIds) external view returns (Channel[] memory states) {
        states = new Channel[](channelIds.length);
        for (uint256 i = 0; i < channelIds.length; ++i) {
            states[i] = channels[channelIds[i]];
        }
    }

    /// @notice The id binds escrow and chain, so a voucher for one channel is worth nothing elsewhere.
    function computeChannelId(address payer, address payee, address token, bytes32 salt, address authorizedSigner)
        public
        view
        returns (bytes32)
    {
        return keccak256(abi.encode(payer, payee, token, salt, authorizedSigner, address(this), block.chainid));
    }

    function getVoucherDigest(bytes32 channelId, uint128 cumulativeAmount) public view returns (bytes32) {
        return _hashTypedData(keccak256(abi.encode(VOUCHER_TYPEHASH, channelId, cumulativeAmount)));
    }

    function domainSeparator() external view returns (bytes32) {
        return _domainSeparator();
    }

    // --- How it is done ------------------------------------------------------------------------------------------------------

    /// solady caches the separator for the address that the constructor saw and makes it anew anywhere else, so the code is right
    /// also where a local chain places it without running a constructor there.
    function _domainNameAndVersion() internal pure virtual override returns (string memory name, string memory version) {
        return ("Abstract Stream Channel", "1");
    }

    /// What every way of opening writes before it takes the deposit.
    function _record(
        address payer,
        address payee,
        address token,
        uint128 deposit,
        bytes32 salt,
        address authorizedSigner
    ) internal returns (bytes32 channelId) {
        if (payee == address(0)) revert InvalidPayee();
        // In words, as the deployed one does it. What is no contract at all fails when tokens are taken, without a word.
        require(token != address(0), "invalid token");
        if (deposit == 0) revert ZeroDeposit();

        channelId = computeChannelId(payer, payee, token, salt, authorizedSigner);
        Channel storage channel = channels[channelId];
        // A finalized channel has no payer any more: without the second test its id, and with it every voucher ever signed for it,
        // would come back to life.
        if (channel.payer != address(0) || channel.finalized) revert ChannelAlreadyExists();

        channel.payer = payer;
        channel.payee = payee;
        channel.token = token;
        channel.authorizedSigner = authorizedSigner;
        channel.deposit = deposit;
    }

    /// What every way of topping up writes before it takes the addition.
    function _raise(Channel storage channel, uint256 additionalDeposit) internal returns (uint128 newDeposit) {
        if (additionalDeposit == 0) revert ZeroDeposit();
        if (additionalDeposit > type(uint128).max - channel.deposit) revert DepositOverflow();
        // The test above bounds it: the cast loses nothing.
        newDeposit = channel.deposit + uint128(additionalDeposit);
        channel.deposit = newDeposit;
    }

    /// @return cancelled whether there was a request
    function _cancelRequest(Channel storage channel) internal returns (bool cancelled) {
        cancelled = channel.closeRequestedAt != 0;
        channel.closeRequestedAt = 0;
    }

    function _openChannel(bytes32 channelId) internal view returns (Channel storage channel) {
        channel = channels[channelId];
        if (channel.finalized) revert ChannelFinalized();
        if (channel.payer == address(0)) revert ChannelNotFound();
    }

    function _finalize(bytes32 channelId) private {
        delete channels[channelId];
        channels[channelId].finalized = true;
    }

    /// What the deployed escrow takes, no more and no less, so that nothing passes here that fails there. An account without code may
    /// sign in 65 bytes with either s, or in the 64 bytes of ERC-2098; one with code is asked (ERC-1271). So a voucher has several
    /// signatures: who holds vouchers must tell them apart by channel and total, never by signature.
    function _requireVoucher(
        address authorizedSigner,
        address payer,
        bytes32 channelId,
        uint128 cumulativeAmount,
        bytes calldata signature
    ) private view {
        address signer = authorizedSigner == address(0) ? payer : authorizedSigner;
        bytes32 digest = getVoucherDigest(channelId, cumulativeAmount);
        if (!SignatureCheckerLib.isValidSignatureNowCalldata(signer, digest, signature)) revert InvalidSignature();
    }

    /// State is always written before tokens move, so that a token which calls back finds nothing half done.
    function _take(address token, address from, uint256 amount) private {
        if (!IERC20(token).transferFrom(from, address(this), amount)) revert TransferFailed();
    }

    function _pay(address token, address to, uint256 amount) private {
        if (amount > 0 && !IERC20(token).transfer(to, amount)) revert TransferFailed();
    }
}
