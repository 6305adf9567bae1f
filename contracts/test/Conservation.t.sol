// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {AbstractStreamChannel} from "../src/AbstractStreamChannel.sol";
import {UsdcE} from "../src/UsdcE.sol";
import {EscrowBase} from "./support/EscrowBase.sol";
import {TestBase} from "./support/Vm.sol";

/// Money is neither made nor lost, whatever the amounts: one life of a channel at a time.
contract ConservationTest is EscrowBase {
    function testFuzz_openTopUpSettleClose(uint128 deposit, uint128 more, uint128 settled, uint128 closed) public {
        deposit = uint128(bounded(deposit, 1, FUNDS));
        bytes32 id = openFor(address(0), SALT, deposit);
        assertBalances(FUNDS - deposit, 0, deposit);
        uint128 total = deposit;
        if (deposit < FUNDS) {
            more = uint128(bounded(more, 1, FUNDS - deposit));
            vm.prank(payer);
            escrow.topUp(id, more);
            total += more;
        }
        settled = uint128(bounded(settled, 1, total));
        settle(id, settled);
        assertBalances(FUNDS - total, settled, total - settled);
        vm.assertLe(state(id).settled, state(id).deposit, "settled <= deposit");

        closed = uint128(bounded(closed, 0, total));
        close(id, closed);
        uint256 paid = closed > settled ? closed : settled;
        assertBalances(FUNDS - paid, paid, 0);
        assertGone(id);
    }

    function testFuzz_settleThenWithdraw(uint128 deposit, uint128 settled, uint64 early, uint64 late) public {
        deposit = uint128(bounded(deposit, 1, FUNDS));
        settled = uint128(bounded(settled, 1, deposit));
        bytes32 id = openFor(address(0), SALT, deposit);
        vm.prank(payer);
        escrow.requestClose(id);
        settle(id, settled);

        vm.warp(NOW + bounded(early, 0, GRACE - 1));
        vm.expectRevert(AbstractStreamChannel.CloseNotReady.selector);
        vm.prank(payer);
        escrow.withdraw(id);
        vm.warp(NOW + bounded(late, GRACE, 100 * 365 days));
        vm.prank(payer);
        escrow.withdraw(id);
        assertBalances(FUNDS - settled, settled, 0);
    }

    function testFuzz_neverMoreThanTheDeposit(uint128 deposit, uint128 asked) public {
        deposit = uint128(bounded(deposit, 1, FUNDS - 1));
        asked = uint128(bounded(asked, uint256(deposit) + 1, type(uint128).max));
        bytes32 id = openFor(address(0), SALT, deposit);
        openFor(address(0), keccak256("money of another channel"), uint128(FUNDS - deposit));
        bytes memory signed = voucher(id, asked);
        vm.startPrank(payee);
        vm.expectRevert(AbstractStreamChannel.AmountExceedsDeposit.selector);
        escrow.settle(id, asked, signed);
        vm.expectRevert(AbstractStreamChannel.AmountExceedsDeposit.selector);
        escrow.close(id, asked, signed);
    }

    function testFuzz_arbitrarySignaturesNeverSettle(uint128 amount, bytes memory signed) public {
        bytes32 id = openChannel();
        amount = uint128(bounded(amount, 1, DEPOSIT));
        vm.prank(payee);
        vm.expectRevert(AbstractStreamChannel.InvalidSignature.selector);
        escrow.settle(id, amount, signed);
    }

    function testFuzz_onlyItsPeopleMoveAChannel(address caller) public {
        if (caller == payer || caller == payee) return;
        bytes32 id = openChannel();
        vm.prank(payer);
        escrow.requestClose(id);
        vm.warp(NOW + GRACE);
        bytes memory signed = voucher(id, 1);
        vm.startPrank(caller);
        vm.expectRevert(AbstractStreamChannel.NotPayee.selector);
        escrow.settle(id, 1, signed);
        vm.expectRevert(AbstractStreamChannel.NotPayee.selector);
        escrow.close(id, 1, signed);
        vm.expectRevert(AbstractStreamChannel.NotPayer.selector);
        escrow.topUp(id, 1);
        vm.expectRevert(AbstractStreamChannel.NotPayer.selector);
        escrow.requestClose(id);
        vm.expectRevert(AbstractStreamChannel.NotPayer.selector);
        escrow.withdraw(id);
    }
}

/// Three payers and two payees with many channels, whose calls forge puts in any order. Each call is one that must succeed, so a
/// revert is a failure of the run, and the run is not a row of no-ops.
contract Town is TestBase {
    AbstractStreamChannel public immutable escrow;
    UsdcE public immutable token;
    uint256 public constant FUNDS = 1_000_000e6;
    uint256[3] public keys = [uint256(11), 12, 13];
    address[2] public payees = [address(0xB01), address(0xB02)];

    bytes32[] public open;
    bytes32[] public ended;
    /// What the town itself remembers of each channel, to be compared with what the escrow says.
    mapping(bytes32 => uint256) public keyOf;
    mapping(bytes32 => uint256) public deposited;
    mapping(bytes32 => uint256) public settled;
    uint256 internal _salt;

    constructor(AbstractStreamChannel escrow_, UsdcE token_) {
        escrow = escrow_;
        token = token_;
        for (uint256 i = 0; i < keys.length; ++i) {
            token.mint(vm.addr(keys[i]), FUNDS);
            vm.prank(vm.addr(keys[i]));
            token.approve(address(escrow), type(uint256).max);
        }
    }

    function openChannel(uint256 who, uint256 toWhom, uint256 amount) external {
        uint256 key = keys[who % keys.length];
        uint256 funds = token.balanceOf(vm.addr(key));
        if (funds == 0) return;
        uint128 deposit = uint128(bounded(amount, 1, funds));
        vm.prank(vm.addr(key));
        bytes32 id =
            escrow.open(payees[toWhom % payees.length], address(token), deposit, bytes32(++_salt), address(0));
        _remember(id, key, deposit);
    }

    function topUp(uint256 which, uint256 amount) external {
        if (open.length == 0) return;
        bytes32 id = open[which % open.length];
        uint256 funds = token.balanceOf(vm.addr(keyOf[id]));
        if (funds == 0) return;
        amount = bounded(amount, 1, funds);
        vm.prank(vm.addr(keyOf[id]));
        escrow.topUp(id, amount);
        deposited[id] += amount;
    }

    function settle(uint256 which, uint256 amount) external {
        if (open.length == 0) return;
        bytes32 id = open[which % open.length];
        if (settled[id] == deposited[id]) return;
        uint128 total = uint128(bounded(amount, settled[id] + 1, deposited[id]));
        bytes memory signed = _voucher(id, total);
        vm.prank(escrow.getChannel(id).payee);
        escrow.settle(id, total, signed);
        settled[id] = total;
    }

    function close(uint256 which, uint256 amount) external {
        if (open.length == 0) return;
        bytes32 id = open[which % open.length];
        uint128 total = uint128(bounded(amount, 0, deposited[id]));
        bytes memory signed = _voucher(id, total);
        vm.prank(escrow.getChannel(id).payee);
        escrow.close(id, total, signed);
        _end(which % open.length);
    }

    function requestClose(uint256 which) external {
        if (open.length == 0) return;
        bytes32 id = open[which % open.length];
        vm.prank(vm.addr(keyOf[id]));
        escrow.requestClose(id);
    }

    function withdraw(uint256 which) external {
        if (open.length == 0) return;
        bytes32 id = open[which % open.length];
        uint256 requested = escrow.getChannel(id).closeRequestedAt;
        if (requested == 0) return;
        if (block.timestamp < requested + 15 minutes) vm.warp(requested + 15 minutes);
        vm.prank(vm.addr(keyOf[id]));
        escrow.withdraw(id);
        _end(which % open.length);
    }

    function pass(uint256 time) external {
        vm.warp(block.timestamp + bounded(time, 1, 1 hours));
    }

    function openCount() external view returns (uint256) {
        return open.length;
    }

    function endedCount() external view returns (uint256) {
        return ended.length;
    }

    /// All that the people, not the escrow, have.
    function wealth() external view returns (uint256 sum) {
        for (uint256 i = 0; i < keys.length; ++i) sum += token.balanceOf(vm.addr(keys[i]));
        for (uint256 i = 0; i < payees.length; ++i) sum += token.balanceOf(payees[i]);
    }

    function _remember(bytes32 id, uint256 key, uint256 deposit) internal {
        open.push(id);
        keyOf[id] = key;
        deposited[id] = deposit;
    }

    function _end(uint256 index) private {
        ended.push(open[index]);
        open[index] = open[open.length - 1];
        open.pop();
    }

    function _voucher(bytes32 id, uint128 total) private view returns (bytes memory) {
        return signature(keyOf[id], escrow.getVoucherDigest(id, total));
    }
}

contract ConservationInvariantTest is TestBase {
    AbstractStreamChannel private escrow;
    UsdcE private token;
    Town private town;

    function setUp() public {
        vm.warp(1_800_000_000);
        token = new UsdcE();
        town = newTown(token);
        escrow = town.escrow();
    }

    function newTown(UsdcE token_) internal virtual returns (Town) {
        return new Town(new AbstractStreamChannel(), token_);
    }

    /// forge asks this for whom to call: the town alone, never the contracts directly.
    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(town);
    }

    function invariant_moneyIsConserved() public view {
        uint256 held = token.balanceOf(address(escrow));
        vm.assertEq(town.wealth() + held, 3 * town.FUNDS(), "people and escrow together have what was minted");
        uint256 owed;
        for (uint256 i = 0; i < town.openCount(); ++i) {
            AbstractStreamChannel.Channel memory channel = escrow.getChannel(town.open(i));
            vm.assertLe(channel.settled, channel.deposit, "settled <= deposit");
            vm.assertEq(channel.deposit, town.deposited(town.open(i)), "deposit as paid in");
            vm.assertEq(channel.settled, town.settled(town.open(i)), "settled as paid out");
            vm.assertTrue(!channel.finalized, "open");
            owed += channel.deposit - channel.settled;
        }
        vm.assertEq(held, owed, "the escrow holds what open channels have left, no more and no less");
        for (uint256 i = 0; i < town.endedCount(); ++i) {
            AbstractStreamChannel.Channel memory channel = escrow.getChannel(town.ended(i));
            vm.assertTrue(channel.finalized && channel.payer == address(0) && channel.deposit == 0, "ended for good");
        }
    }
}
