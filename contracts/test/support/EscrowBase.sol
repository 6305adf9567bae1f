// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {AbstractStreamChannel} from "../../src/AbstractStreamChannel.sol";
import {EvmPaymentChannel} from "../../src/EvmPaymentChannel.sol";
import {UsdcE} from "../../src/UsdcE.sol";
import {TestBase} from "./Vm.sol";

/// An escrow, a token, a payer with funds and an approval: what the escrow's tests share.
abstract contract EscrowBase is TestBase {
    uint256 internal constant NOW = 1_800_000_000;
    uint256 internal constant FUNDS = 1_000e6;
    uint128 internal constant DEPOSIT = 100e6;
    bytes32 internal constant SALT = keccak256("salt");
    uint64 internal constant GRACE = 15 minutes;

    /// Which escrow is tested: every rule of the one that is deployed on Abstract holds for the one of `evm` too.
    bool internal ofEvm;
    AbstractStreamChannel internal escrow;
    UsdcE internal token;

    function setUp() public virtual {
        vm.warp(NOW);
        escrow = newEscrow();
        token = new UsdcE();
        token.mint(payer, FUNDS);
        vm.prank(payer);
        token.approve(address(escrow), type(uint256).max);
    }

    function newEscrow() internal returns (AbstractStreamChannel) {
        return ofEvm ? new EvmPaymentChannel() : new AbstractStreamChannel();
    }

    function domainName() internal view returns (string memory) {
        return ofEvm ? "EVM Payment Channel" : "Abstract Stream Channel";
    }

    function openChannel() internal returns (bytes32) {
        return openFor(address(0), SALT, DEPOSIT);
    }

    function openFor(address authorizedSigner, bytes32 salt, uint128 deposit) internal returns (bytes32) {
        vm.prank(payer);
        return escrow.open(payee, address(token), deposit, salt, authorizedSigner);
    }

    /// The voucher's digest, written out: not taken from the contract under test.
    function voucherDigest(bytes32 channelId, uint128 cumulative) internal view returns (bytes32) {
        bytes32 typehash = keccak256("Voucher(bytes32 channelId,uint128 cumulativeAmount)");
        return typedDigest(
            domainName(), "1", address(escrow), keccak256(abi.encode(typehash, channelId, cumulative))
        );
    }

    function voucher(bytes32 channelId, uint128 cumulative) internal view returns (bytes memory) {
        return signature(PAYER_KEY, voucherDigest(channelId, cumulative));
    }

    function settle(bytes32 channelId, uint128 cumulative) internal {
        bytes memory signed = voucher(channelId, cumulative);
        vm.prank(payee);
        escrow.settle(channelId, cumulative, signed);
    }

    function close(bytes32 channelId, uint128 cumulative) internal {
        bytes memory signed = voucher(channelId, cumulative);
        vm.prank(payee);
        escrow.close(channelId, cumulative, signed);
    }

    function expectLog() internal {
        vm.expectEmit(true, true, true, true, address(escrow));
    }

    function state(bytes32 channelId) internal view returns (AbstractStreamChannel.Channel memory) {
        return escrow.getChannel(channelId);
    }

    /// Who has what now: the payer, the payee, the escrow.
    function assertBalances(uint256 ofPayer, uint256 ofPayee, uint256 ofEscrow) internal view {
        vm.assertEq(token.balanceOf(payer), ofPayer, "balance of the payer");
        vm.assertEq(token.balanceOf(payee), ofPayee, "balance of the payee");
        vm.assertEq(token.balanceOf(address(escrow)), ofEscrow, "balance of the escrow");
    }

    /// Finalized for good, and nothing else left.
    function assertGone(bytes32 channelId) internal view {
        AbstractStreamChannel.Channel memory channel = state(channelId);
        vm.assertTrue(channel.finalized, "finalized");
        AbstractStreamChannel.Channel memory nothing;
        nothing.finalized = true;
        vm.assertEq(keccak256(abi.encode(channel)), keccak256(abi.encode(nothing)), "every other field is zero");
    }
}
