// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {AbstractStreamChannel} from "../src/AbstractStreamChannel.sol";
import {EscrowBase} from "./support/EscrowBase.sol";

contract AbstractStreamChannelTest is EscrowBase {
    // --- What the escrow is --------------------------------------------------------------------------------------------------

    function test_constantsAndDomain() public {
        vm.assertEq(escrow.CLOSE_GRACE_PERIOD(), 900, "grace period");
        vm.assertEq(
            escrow.VOUCHER_TYPEHASH(), keccak256("Voucher(bytes32 channelId,uint128 cumulativeAmount)"), "typehash"
        );
        vm.assertEq(escrow.getVoucherDigest(SALT, 7), voucherDigest(SALT, 7), "digest");
        (, string memory name, string memory version, uint256 chainId, address verifier,,) = escrow.eip712Domain();
        vm.assertEq(name, domainName(), "name");
        vm.assertEq(version, "1", "version");
        vm.assertEq(chainId, block.chainid, "chain");
        vm.assertEq(verifier, address(escrow), "address");

        bytes32 before = escrow.domainSeparator();
        vm.chainId(11124);
        vm.assertTrue(escrow.domainSeparator() != before, "another chain, another domain");
        vm.assertEq(escrow.getVoucherDigest(SALT, 7), voucherDigest(SALT, 7), "digest on another chain");
        vm.etch(address(0xE5C), address(escrow).code);
        escrow = AbstractStreamChannel(address(0xE5C));
        vm.assertEq(escrow.getVoucherDigest(SALT, 7), voucherDigest(SALT, 7), "digest of code put elsewhere");
    }

    function test_channelIdBindsEverything() public {
        bytes32 id = escrow.computeChannelId(payer, payee, address(token), SALT, other);
        vm.assertEq(
            id,
            keccak256(abi.encode(payer, payee, address(token), SALT, other, address(escrow), block.chainid)),
            "as specified"
        );
        vm.assertTrue(id != escrow.computeChannelId(other, payee, address(token), SALT, other), "payer");
        vm.assertTrue(id != escrow.computeChannelId(payer, other, address(token), SALT, other), "payee");
        vm.assertTrue(id != escrow.computeChannelId(payer, payee, other, SALT, other), "token");
        vm.assertTrue(id != escrow.computeChannelId(payer, payee, address(token), 0, other), "salt");
        vm.assertTrue(id != escrow.computeChannelId(payer, payee, address(token), SALT, payer), "signer");
        AbstractStreamChannel second = newEscrow();
        vm.assertTrue(id != second.computeChannelId(payer, payee, address(token), SALT, other), "escrow");
        vm.chainId(11124);
        vm.assertTrue(id != escrow.computeChannelId(payer, payee, address(token), SALT, other), "chain");
    }

    // --- open ----------------------------------------------------------------------------------------------------------------

    function test_open() public {
        bytes32 expected = escrow.computeChannelId(payer, payee, address(token), SALT, other);
        expectLog();
        emit AbstractStreamChannel.ChannelOpened(expected, payer, payee, address(token), other, SALT, DEPOSIT);
        bytes32 id = openFor(other, SALT, DEPOSIT);

        vm.assertEq(id, expected, "id");
        AbstractStreamChannel.Channel memory channel = state(id);
        vm.assertTrue(!channel.finalized, "open");
        vm.assertEq(channel.closeRequestedAt, 0, "no request to close");
        vm.assertEq(channel.payer, payer, "payer");
        vm.assertEq(channel.payee, payee, "payee");
        vm.assertEq(channel.token, address(token), "token");
        vm.assertEq(channel.authorizedSigner, other, "signer");
        vm.assertEq(channel.deposit, DEPOSIT, "deposit");
        vm.assertEq(channel.settled, 0, "settled");
        assertBalances(FUNDS - DEPOSIT, 0, DEPOSIT);
    }

    function test_openRefusals() public {
        vm.startPrank(payer);
        vm.expectRevert(AbstractStreamChannel.InvalidPayee.selector);
        escrow.open(address(0), address(token), DEPOSIT, SALT, address(0));
        // B17: as the deployed one says it.
        vm.expectRevert(failure("invalid token"));
        escrow.open(payee, address(0), DEPOSIT, SALT, address(0));
        vm.expectRevert(bytes(""));
        escrow.open(payee, other, DEPOSIT, SALT, address(0));
        vm.expectRevert(AbstractStreamChannel.ZeroDeposit.selector);
        escrow.open(payee, address(token), 0, SALT, address(0));
        // The token's own words come through.
        vm.expectRevert(failure("ERC20: transfer amount exceeds balance"));
        escrow.open(payee, address(token), uint128(FUNDS + 1), SALT, address(0));
        vm.stopPrank();
        vm.expectRevert(failure("ERC20: transfer amount exceeds allowance"));
        escrow.open(payee, address(token), DEPOSIT, SALT, address(0));

        openChannel();
        vm.expectRevert(AbstractStreamChannel.ChannelAlreadyExists.selector);
        openChannel();
        // Another salt is another channel.
        openFor(address(0), keccak256("another"), DEPOSIT);
        assertBalances(FUNDS - 2 * DEPOSIT, 0, 2 * DEPOSIT);
    }

    // --- topUp ---------------------------------------------------------------------------------------------------------------

    function test_topUp() public {
        bytes32 id = openChannel();
        expectLog();
        emit AbstractStreamChannel.TopUp(id, payer, payee, 5e6, DEPOSIT + 5e6);
        vm.prank(payer);
        escrow.topUp(id, 5e6);
        vm.assertEq(state(id).deposit, DEPOSIT + 5e6, "deposit");
        assertBalances(FUNDS - DEPOSIT - 5e6, 0, DEPOSIT + 5e6);
    }

    function test_topUpCancelsARequestToClose() public {
        bytes32 id = openChannel();
        vm.startPrank(payer);
        escrow.requestClose(id);
        expectLog();
        emit AbstractStreamChannel.CloseRequestCancelled(id, payer, payee);
        expectLog();
        emit AbstractStreamChannel.TopUp(id, payer, payee, 1, DEPOSIT + 1);
        escrow.topUp(id, 1);
        vm.assertEq(state(id).closeRequestedAt, 0, "no request any more");
        vm.warp(NOW + GRACE);
        vm.expectRevert(AbstractStreamChannel.CloseNotReady.selector);
        escrow.withdraw(id);
        // A new request has the whole period before it.
        escrow.requestClose(id);
        vm.warp(NOW + 2 * GRACE - 1);
        vm.expectRevert(AbstractStreamChannel.CloseNotReady.selector);
        escrow.withdraw(id);
        vm.warp(NOW + 2 * GRACE);
        escrow.withdraw(id);
    }

    function test_topUpRefusals() public {
        bytes32 id = openChannel();
        vm.expectRevert(AbstractStreamChannel.NotPayer.selector);
        escrow.topUp(id, 1);
        vm.startPrank(payer);
        vm.expectRevert(AbstractStreamChannel.ChannelNotFound.selector);
        escrow.topUp(SALT, 1);
        vm.expectRevert(AbstractStreamChannel.ZeroDeposit.selector);
        escrow.topUp(id, 0);
        vm.expectRevert(AbstractStreamChannel.DepositOverflow.selector);
        escrow.topUp(id, type(uint128).max - DEPOSIT + 1);
        vm.expectRevert(AbstractStreamChannel.DepositOverflow.selector);
        escrow.topUp(id, type(uint256).max);
        vm.expectRevert(failure("ERC20: transfer amount exceeds balance"));
        escrow.topUp(id, FUNDS);
        vm.stopPrank();

        token.mint(payer, type(uint128).max);
        vm.prank(payer);
        escrow.topUp(id, type(uint128).max - DEPOSIT);
        vm.assertEq(state(id).deposit, type(uint128).max, "up to the last unit");
    }

    // --- settle --------------------------------------------------------------------------------------------------------------

    function test_settle() public {
        bytes32 id = openChannel();
        expectLog();
        emit AbstractStreamChannel.Settled(id, payer, payee, 30e6, 30e6, 30e6);
        settle(id, 30e6);
        expectLog();
        emit AbstractStreamChannel.Settled(id, payer, payee, 31e6, 1e6, 31e6);
        settle(id, 31e6);
        vm.assertEq(state(id).settled, 31e6, "settled");
        assertBalances(FUNDS - DEPOSIT, 31e6, DEPOSIT - 31e6);
        settle(id, DEPOSIT);
        assertBalances(FUNDS - DEPOSIT, DEPOSIT, 0);
    }

    function test_settleDuringAndAfterTheGracePeriod() public {
        bytes32 id = openChannel();
        vm.prank(payer);
        escrow.requestClose(id);
        settle(id, 1e6);
        vm.warp(NOW + 2 * GRACE);
        settle(id, 2e6);
        vm.assertEq(state(id).closeRequestedAt, NOW, "settling does not undo the request");
        vm.prank(payer);
        escrow.withdraw(id);
        assertBalances(FUNDS - 2e6, 2e6, 0);
    }

    function test_settleRefusals() public {
        bytes32 id = openChannel();
        bytes memory signed = voucher(id, 10e6);
        vm.expectRevert(AbstractStreamChannel.NotPayee.selector);
        vm.prank(payer);
        escrow.settle(id, 10e6, signed);

        vm.startPrank(payee);
        vm.expectRevert(AbstractStreamChannel.ChannelNotFound.selector);
        escrow.settle(SALT, 10e6, signed);
        bytes memory tooMuch = voucher(id, DEPOSIT + 1);
        vm.expectRevert(AbstractStreamChannel.AmountExceedsDeposit.selector);
        escrow.settle(id, DEPOSIT + 1, tooMuch);
        vm.expectRevert(AbstractStreamChannel.AmountNotIncreasing.selector);
        escrow.settle(id, 0, signed);
        vm.expectRevert(AbstractStreamChannel.InvalidSignature.selector);
        escrow.settle(id, 10e6 + 1, signed);
        escrow.settle(id, 10e6, signed);
        vm.expectRevert(AbstractStreamChannel.AmountNotIncreasing.selector);
        escrow.settle(id, 10e6, signed);
        vm.stopPrank();
        bytes memory lower = voucher(id, 9e6);
        vm.prank(payee);
        vm.expectRevert(AbstractStreamChannel.AmountNotIncreasing.selector);
        escrow.settle(id, 9e6, lower);
        assertBalances(FUNDS - DEPOSIT, 10e6, DEPOSIT - 10e6);
    }

    // --- close ---------------------------------------------------------------------------------------------------------------

    function test_closeWithAVoucher() public {
        bytes32 id = openChannel();
        settle(id, 10e6);
        expectLog();
        emit AbstractStreamChannel.ChannelClosed(id, payer, payee, 25e6, DEPOSIT - 25e6);
        close(id, 25e6);
        assertGone(id);
        assertBalances(FUNDS - 25e6, 25e6, 0);
    }

    function test_closeAtWhatIsSettledNeedsNoSignature() public {
        bytes32 id = openChannel();
        settle(id, 10e6);
        expectLog();
        emit AbstractStreamChannel.ChannelClosed(id, payer, payee, 10e6, DEPOSIT - 10e6);
        vm.prank(payee);
        // A smaller total takes nothing back from the payee either.
        escrow.close(id, 9e6, "");
        assertBalances(FUNDS - 10e6, 10e6, 0);

        id = openFor(address(0), keccak256("unused"), DEPOSIT);
        vm.prank(payee);
        escrow.close(id, 0, "");
        assertBalances(FUNDS - 10e6, 10e6, 0);
    }

    function test_closeOfAUsedUpChannel() public {
        bytes32 id = openChannel();
        expectLog();
        emit AbstractStreamChannel.ChannelClosed(id, payer, payee, DEPOSIT, 0);
        close(id, DEPOSIT);
        assertBalances(FUNDS - DEPOSIT, DEPOSIT, 0);
    }

    function test_closeRefusals() public {
        bytes32 id = openChannel();
        settle(id, 10e6);
        bytes memory signed = voucher(id, 20e6);
        vm.expectRevert(AbstractStreamChannel.NotPayee.selector);
        vm.prank(payer);
        escrow.close(id, 20e6, signed);
        vm.startPrank(payee);
        vm.expectRevert(AbstractStreamChannel.ChannelNotFound.selector);
        escrow.close(SALT, 0, "");
        vm.expectRevert(AbstractStreamChannel.InvalidSignature.selector);
        escrow.close(id, 21e6, signed);
        signed = voucher(id, DEPOSIT + 1);
        vm.expectRevert(AbstractStreamChannel.AmountExceedsDeposit.selector);
        escrow.close(id, DEPOSIT + 1, signed);
        vm.assertTrue(!state(id).finalized, "still open");
    }

    // --- requestClose and withdraw ---------------------------------------------------------------------------------------------

    function test_requestCloseThenWithdraw() public {
        bytes32 id = openChannel();
        settle(id, 10e6);
        vm.startPrank(payer);
        expectLog();
        emit AbstractStreamChannel.CloseRequested(id, payer, payee, NOW + GRACE);
        escrow.requestClose(id);
        vm.assertEq(state(id).closeRequestedAt, NOW, "since now");

        // Asking again neither helps nor harms the payer.
        vm.warp(NOW + 60);
        vm.recordLogs();
        escrow.requestClose(id);
        vm.assertEq(vm.getRecordedLogs().length, 0, "no second event");
        vm.assertEq(state(id).closeRequestedAt, NOW, "still since then");

        vm.warp(NOW + GRACE - 1);
        vm.expectRevert(AbstractStreamChannel.CloseNotReady.selector);
        escrow.withdraw(id);
        vm.warp(NOW + GRACE);
        expectLog();
        emit AbstractStreamChannel.ChannelExpired(id, payer, payee);
        expectLog();
        emit AbstractStreamChannel.ChannelClosed(id, payer, payee, 10e6, DEPOSIT - 10e6);
        escrow.withdraw(id);
        assertGone(id);
        assertBalances(FUNDS - 10e6, 10e6, 0);
    }

    function test_closeIsPossibleWhileARequestIsPending() public {
        bytes32 id = openChannel();
        vm.prank(payer);
        escrow.requestClose(id);
        close(id, 40e6);
        assertBalances(FUNDS - 40e6, 40e6, 0);
    }

    function test_requestCloseAndWithdrawRefusals() public {
        bytes32 id = openChannel();
        vm.startPrank(payee);
        vm.expectRevert(AbstractStreamChannel.NotPayer.selector);
        escrow.requestClose(id);
        vm.expectRevert(AbstractStreamChannel.NotPayer.selector);
        escrow.withdraw(id);
        vm.stopPrank();
        vm.startPrank(payer);
        vm.expectRevert(AbstractStreamChannel.ChannelNotFound.selector);
        escrow.requestClose(SALT);
        vm.expectRevert(AbstractStreamChannel.ChannelNotFound.selector);
        escrow.withdraw(SALT);
        vm.expectRevert(AbstractStreamChannel.CloseNotReady.selector);
        escrow.withdraw(id);
        vm.warp(NOW + 10 * GRACE);
        vm.expectRevert(AbstractStreamChannel.CloseNotReady.selector);
        escrow.withdraw(id);
    }

    // --- After the end -------------------------------------------------------------------------------------------------------

    function test_aClosedChannelStaysClosed() public {
        bytes32 id = openChannel();
        close(id, 10e6);
        _assertDead(id);
    }

    function test_aWithdrawnChannelStaysClosed() public {
        bytes32 id = openChannel();
        vm.prank(payer);
        escrow.requestClose(id);
        vm.warp(NOW + GRACE);
        vm.prank(payer);
        escrow.withdraw(id);
        _assertDead(id);
    }

    // --- Reading -------------------------------------------------------------------------------------------------------------

    function test_getChannelIsEightWordsInTheGivenOrder() public {
        bytes32 id = openFor(other, SALT, DEPOSIT);
        settleAsOther(id, 3e6);
        vm.prank(payer);
        escrow.requestClose(id);
        (, bytes memory raw) = address(escrow).staticcall(abi.encodeCall(escrow.getChannel, (id)));
        vm.assertEq(
            keccak256(raw),
            keccak256(abi.encode(false, NOW, payer, payee, address(token), other, DEPOSIT, uint256(3e6))),
            "finalized, closeRequestedAt, payer, payee, token, authorizedSigner, deposit, settled"
        );
    }

    function test_getChannelsBatch() public {
        bytes32 first = openChannel();
        bytes32 second = openFor(other, keccak256("another"), 7);
        close(first, 1);
        bytes32[] memory ids = new bytes32[](3);
        ids[0] = second;
        ids[1] = keccak256("unknown");
        ids[2] = first;
        AbstractStreamChannel.Channel[] memory channels = escrow.getChannelsBatch(ids);
        vm.assertEq(channels.length, 3, "one each");
        for (uint256 i = 0; i < 3; ++i) {
            vm.assertEq(keccak256(abi.encode(channels[i])), keccak256(abi.encode(state(ids[i]))), "as getChannel");
        }
        vm.assertEq(channels[0].deposit, 7, "in the order asked");
        vm.assertEq(channels[1].payer, address(0), "unknown is empty");
        vm.assertTrue(channels[2].finalized, "closed is finalized");
        vm.assertEq(escrow.getChannelsBatch(new bytes32[](0)).length, 0, "none");
    }

    // --- Helpers -------------------------------------------------------------------------------------------------------------

    function settleAsOther(bytes32 id, uint128 cumulative) private {
        bytes memory signed = signature(OTHER_KEY, voucherDigest(id, cumulative));
        vm.prank(payee);
        escrow.settle(id, cumulative, signed);
    }

    function _assertDead(bytes32 id) private {
        assertGone(id);
        uint256 inEscrow = token.balanceOf(address(escrow));
        bytes memory signed = voucher(id, DEPOSIT);
        bytes4 dead = AbstractStreamChannel.ChannelFinalized.selector;
        vm.startPrank(payer);
        vm.expectRevert(AbstractStreamChannel.ChannelAlreadyExists.selector);
        escrow.open(payee, address(token), DEPOSIT, SALT, address(0));
        vm.expectRevert(dead);
        escrow.topUp(id, 1);
        vm.expectRevert(dead);
        escrow.requestClose(id);
        vm.expectRevert(dead);
        escrow.withdraw(id);
        vm.stopPrank();
        vm.startPrank(payee);
        vm.expectRevert(dead);
        escrow.settle(id, DEPOSIT, signed);
        vm.expectRevert(dead);
        escrow.close(id, DEPOSIT, signed);
        vm.stopPrank();
        assertGone(id);
        vm.assertEq(token.balanceOf(address(escrow)), inEscrow, "nothing moved");
    }
}
