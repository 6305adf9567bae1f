// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {EvmPaymentChannel} from "../../src/EvmPaymentChannel.sol";
import {EscrowBase} from "./EscrowBase.sol";
import {TestBase} from "./Vm.sol";

/// The two calls with authorizations as records, and signatures made here without the contracts' own arithmetic.
abstract contract Authorizations is TestBase {
    struct Opening {
        address payee;
        address token;
        uint128 deposit;
        bytes32 salt;
        address authorizedSigner;
        address from;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
        bytes signature;
    }

    struct Addition {
        bytes32 channelId;
        uint128 additionalDeposit;
        address from;
        bytes32 topUpSalt;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
        bytes signature;
    }

    function openingNonce(Opening memory o) internal pure returns (bytes32) {
        return keccak256(abi.encode(o.from, o.payee, o.token, o.salt, o.authorizedSigner));
    }

    function additionNonce(Addition memory a) internal pure returns (bytes32) {
        return keccak256(abi.encode(a.channelId, a.additionalDeposit, a.from, a.topUpSalt));
    }

    function sign(uint256 key, EvmPaymentChannel evm, Opening memory o) internal view {
        o.nonce = openingNonce(o);
        o.signature = signature(key, receiveDigest(o.token, o.from, address(evm), o.deposit, o.validAfter, o.validBefore, o.nonce));
    }

    function sign(uint256 key, EvmPaymentChannel evm, address token, Addition memory a) internal view {
        a.nonce = additionNonce(a);
        a.signature =
            signature(key, receiveDigest(token, a.from, address(evm), a.additionalDeposit, a.validAfter, a.validBefore, a.nonce));
    }

    function receiveDigest(
        address token,
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce
    ) internal view returns (bytes32) {
        bytes32 typehash = keccak256(
            "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
        );
        return typedDigest(
            "Bridged USDC (Stargate)",
            "2",
            token,
            keccak256(abi.encode(typehash, from, to, value, validAfter, validBefore, nonce))
        );
    }

    function submit(EvmPaymentChannel evm, Opening memory o) internal returns (bytes32) {
        return evm.openWithAuthorization(
            o.payee,
            o.token,
            o.deposit,
            o.salt,
            o.authorizedSigner,
            o.from,
            o.validAfter,
            o.validBefore,
            o.nonce,
            o.signature
        );
    }

    function submit(EvmPaymentChannel evm, Addition memory a) internal {
        evm.topUpWithAuthorization(
            a.channelId, a.additionalDeposit, a.from, a.topUpSalt, a.validAfter, a.validBefore, a.nonce, a.signature
        );
    }
}

/// The escrow of `evm`, a payer with funds and no allowance, and the two calls as they are usually made.
abstract contract EvmBase is EscrowBase, Authorizations {
    string internal constant UNSIGNED = "FiatTokenV2: invalid signature";
    string internal constant USED = "FiatTokenV2: authorization is used or canceled";

    EvmPaymentChannel internal evm;

    function setUp() public virtual override {
        ofEvm = true;
        super.setUp();
        evm = EvmPaymentChannel(address(escrow));
        // Nothing below may lean on an allowance.
        vm.prank(payer);
        token.approve(address(evm), 0);
    }

    function opening() internal view returns (Opening memory o) {
        (o.payee, o.token, o.deposit, o.salt) = (payee, address(token), DEPOSIT, SALT);
        (o.from, o.validBefore) = (payer, NOW + 300);
    }

    function addition(bytes32 id) internal view returns (Addition memory a) {
        (a.channelId, a.additionalDeposit, a.topUpSalt) = (id, 5e6, keccak256("top up"));
        (a.from, a.validBefore) = (payer, NOW + 300);
    }

    function openSigned() internal returns (bytes32) {
        Opening memory o = opening();
        sign(PAYER_KEY, evm, o);
        return submit(evm, o);
    }

    function requestClose(bytes32 id) internal {
        vm.prank(payer);
        evm.requestClose(id);
    }

    function copy(Opening memory o) internal pure returns (Opening memory) {
        return abi.decode(abi.encode(o), (Opening));
    }

    function copy(Addition memory a) internal pure returns (Addition memory) {
        return abi.decode(abi.encode(a), (Addition));
    }

    function refused(Opening memory o, bytes memory why) internal {
        vm.expectRevert(why);
        submit(evm, o);
    }

    function refused(Addition memory a, bytes memory why) internal {
        vm.expectRevert(why);
        submit(evm, a);
    }

    /// Refused though the payer signs it just so.
    function refusedOpening(Opening memory o, bytes memory why) internal {
        sign(PAYER_KEY, evm, o);
        refused(o, why);
    }

    function refusedAddition(Addition memory a, bytes memory why) internal {
        sign(PAYER_KEY, evm, address(token), a);
        refused(a, why);
    }

    function refusedSubstitution(Opening memory o) internal {
        refused(o, abi.encodePacked(EvmPaymentChannel.NonceMismatch.selector));
        o.nonce = openingNonce(o);
        refused(o, failure(UNSIGNED));
    }

    function refusedSubstitution(Addition memory a) internal {
        refused(a, abi.encodePacked(EvmPaymentChannel.NonceMismatch.selector));
        a.nonce = additionNonce(a);
        refused(a, failure(UNSIGNED));
    }
}
