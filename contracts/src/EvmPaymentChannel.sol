// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {AbstractStreamChannel} from "./AbstractStreamChannel.sol";

/// The one function of ERC-3009 that the escrow calls, in FiatToken v2.2's overload.
interface IReceiveWithAuthorization {
    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external;
}

/// @title EvmPaymentChannel: the escrow of the payment method `evm`
/// @notice FOR THE LOCAL CHAIN ONLY, NOT AUDITED. The escrow that Abstract has, under the domain name that draft-evm-session gives
/// it, with the draft's two functions by which anybody can bring a payer's deposit and pay the gas for it.
///
/// An ERC-3009 authorization signs who pays whom how much, but not what for: its payee is the escrow. So its nonce must be the hash
/// of what it is for. Whoever takes the call out of the mempool can only send that same call.
contract EvmPaymentChannel is AbstractStreamChannel {
    /// What the payer signed besides the amount.
    struct Authorization {
        address from;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
        bytes signature;
    }

    error NonceMismatch();

    /// @notice Opens a channel from `from`, who signed for the deposit. Any caller will do.
    /// @param nonce keccak256(abi.encode(from, payee, token, salt, authorizedSigner))
    /// @param signature of ReceiveWithAuthorization in the token's domain, to this escrow, for the deposit
    function openWithAuthorization(
        address payee,
        address token,
        uint128 deposit,
        bytes32 salt,
        address authorizedSigner,
        address from,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external returns (bytes32 channelId) {
        if (nonce != keccak256(abi.encode(from, payee, token, salt, authorizedSigner))) revert NonceMismatch();
        Authorization memory authorization = Authorization(from, validAfter, validBefore, nonce, signature);
        return _openAuthorized(payee, token, deposit, salt, authorizedSigner, authorization);
    }

    /// @notice Abstract's `topUp` with the parameter types that the draft gives it.
    function topUp(bytes32 channelId, uint128 additionalDeposit) external {
        topUp(channelId, uint256(additionalDeposit));
    }

    /// @notice Adds to the deposit what `from` signed for. Any caller will do, and `from` need not be the payer, to whom what is left
    /// at the end goes all the same. A pending request to close is cancelled by the payer's own money only: otherwise anybody, the
    /// payee first of all, could keep a payer from ever withdrawing for one unit per grace period.
    /// @param nonce keccak256(abi.encode(channelId, additionalDeposit, from, topUpSalt))
    /// @param signature of ReceiveWithAuthorization in the token's domain, to this escrow, for the addition
    function topUpWithAuthorization(
        bytes32 channelId,
        uint128 additionalDeposit,
        address from,
        bytes32 topUpSalt,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external {
        if (nonce != keccak256(abi.encode(channelId, additionalDeposit, from, topUpSalt))) revert NonceMismatch();
        Channel storage channel = _openChannel(channelId);
        uint128 newDeposit = _raise(channel, additionalDeposit);
        bool cancelled = from == channel.payer && _cancelRequest(channel);

        _takeAuthorized(
            channel.token, additionalDeposit, Authorization(from, validAfter, validBefore, nonce, signature)
        );
        if (cancelled) emit CloseRequestCancelled(channelId, channel.payer, channel.payee);
        emit TopUp(channelId, channel.payer, channel.payee, additionalDeposit, newDeposit);
    }

    function _domainNameAndVersion() internal pure override returns (string memory name, string memory version) {
        return ("EVM Payment Channel", "1");
    }

    /// A function of its own because `openWithAuthorization` has no room left on the stack.
    function _openAuthorized(
        address payee,
        address token,
        uint128 deposit,
        bytes32 salt,
        address authorizedSigner,
        Authorization memory authorization
    ) private returns (bytes32 channelId) {
        address from = authorization.from;
        channelId = _record(from, payee, token, deposit, salt, authorizedSigner);
        _takeAuthorized(token, deposit, authorization);
        emit ChannelOpened(channelId, from, payee, token, authorizedSigner, salt, deposit);
    }

    /// `receiveWithAuthorization` returns nothing, and a token that lacks it may have a fallback that takes any call (as WETH's does).
    /// Only the balance tells whether tokens came; without it such a channel would be paid out of other people's deposits.
    function _takeAuthorized(address token, uint256 amount, Authorization memory authorization) private {
        uint256 before = IERC20(token).balanceOf(address(this));
        IReceiveWithAuthorization(token).receiveWithAuthorization(
            authorization.from,
            address(this),
            amount,
            authorization.validAfter,
            authorization.validBefore,
            authorization.nonce,
            authorization.signature
        );
        if (IERC20(token).balanceOf(address(this)) != before + amount) revert TransferFailed();
    }
}
