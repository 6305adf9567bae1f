// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {AbstractStreamChannel} from "../src/AbstractStreamChannel.sol";
import {EvmPaymentChannel} from "../src/EvmPaymentChannel.sol";
import {FiatToken} from "../src/FiatToken.sol";
import {UsdcE} from "../src/UsdcE.sol";
import {EvmBase} from "./support/EvmBase.sol";
import {CallbackToken, FeeToken, SilentToken, Wallet} from "./support/Mocks.sol";

contract EvmPaymentChannelTest is EvmBase {
    // --- openWithAuthorization -----------------------------------------------------------------------------------------------

    function test_openWithAuthorization() public {
        Opening memory o = opening();
        o.authorizedSigner = other;
        sign(PAYER_KEY, evm, o);
        bytes32 expected = evm.computeChannelId(payer, payee, address(token), SALT, other);
        vm.expectEmit(true, true, true, true, address(token));
        emit FiatToken.AuthorizationUsed(payer, o.nonce);
        expectLog();
        emit AbstractStreamChannel.ChannelOpened(expected, payer, payee, address(token), other, SALT, DEPOSIT);
        vm.prank(address(0x5E77));
        bytes32 id = submit(evm, o);

        vm.assertEq(id, expected, "id");
        AbstractStreamChannel.Channel memory wanted;
        wanted.payer = payer;
        wanted.payee = payee;
        wanted.token = address(token);
        wanted.authorizedSigner = other;
        wanted.deposit = DEPOSIT;
        vm.assertEq(keccak256(abi.encode(state(id))), keccak256(abi.encode(wanted)), "channel");
        assertBalances(FUNDS - DEPOSIT, 0, DEPOSIT);
    }

    function test_aChannelOpenedSoIsLikeAnyOther() public {
        bytes32 id = openSigned();
        settle(id, 10e6);
        vm.prank(payer);
        token.approve(address(evm), 6e6);
        vm.startPrank(payer);
        escrow.topUp(id, 1e6);
        (bool ok,) = address(evm).call(abi.encodeWithSignature("topUp(bytes32,uint128)", id, 5e6));
        vm.stopPrank();
        vm.assertTrue(ok, "the draft's form of topUp");
        vm.assertEq(state(id).deposit, DEPOSIT + 6e6, "raised by both forms");
        close(id, 20e6);
        assertGone(id);
        assertBalances(FUNDS - 20e6, 20e6, 0);
    }

    function test_openWithAuthorizationRefusals() public {
        Opening memory o = opening();
        o.payee = address(0);
        refusedOpening(o, abi.encodePacked(AbstractStreamChannel.InvalidPayee.selector));
        o = opening();
        o.token = other;
        refusedOpening(o, "");
        o = opening();
        o.deposit = 0;
        refusedOpening(o, abi.encodePacked(AbstractStreamChannel.ZeroDeposit.selector));
        o = opening();
        o.deposit = uint128(FUNDS + 1);
        refusedOpening(o, failure("ERC20: transfer amount exceeds balance"));
        o = opening();
        o.validAfter = NOW;
        refusedOpening(o, failure("FiatTokenV2: authorization is not yet valid"));
        o = opening();
        o.validBefore = NOW;
        refusedOpening(o, failure("FiatTokenV2: authorization is expired"));
        token.blacklist(payer);
        refusedOpening(opening(), failure("Blacklistable: account is blacklisted"));
        assertBalances(FUNDS, 0, 0);
    }

    /// Each thing that a front-runner might change: with the signed nonce the escrow refuses, with the nonce that fits the token does.
    function test_aFrontRunnerCanSendTheSameCallOnly() public {
        Opening memory signed = opening();
        sign(PAYER_KEY, evm, signed);
        Opening memory o = copy(signed);
        o.payee = other;
        refusedSubstitution(o);
        o = copy(signed);
        o.salt = keccak256("another");
        refusedSubstitution(o);
        o = copy(signed);
        o.authorizedSigner = other;
        refusedSubstitution(o);
        o = copy(signed);
        o.authorizedSigner = payer;
        refusedSubstitution(o);
        token.mint(other, FUNDS);
        o = copy(signed);
        o.from = other;
        refusedSubstitution(o);
        UsdcE second = new UsdcE();
        second.mint(payer, FUNDS);
        o = copy(signed);
        o.token = address(second);
        refusedSubstitution(o);

        // The nonce does not hold the amount and the times, but the token's signature does.
        o = copy(signed);
        o.deposit = 1;
        refused(o, failure(UNSIGNED));
        o.deposit = DEPOSIT + 1;
        refused(o, failure(UNSIGNED));
        o = copy(signed);
        o.validBefore += 1;
        refused(o, failure(UNSIGNED));
        o = copy(signed);
        o.validAfter += 1;
        refused(o, failure(UNSIGNED));

        assertBalances(FUNDS, 0, 0);
        vm.prank(other);
        submit(evm, signed);
        assertBalances(FUNDS - DEPOSIT, 0, DEPOSIT);
    }

    function test_anotherEscrowCannotTakeIt() public {
        Opening memory o = opening();
        sign(PAYER_KEY, evm, o);
        EvmPaymentChannel second = new EvmPaymentChannel();
        vm.expectRevert(failure(UNSIGNED));
        submit(second, o);
    }

    function test_nonceMismatch() public {
        Opening memory o = opening();
        bytes32[4] memory wrong = [
            bytes32(0),
            keccak256("random"),
            keccak256(abi.encodePacked(o.from, o.payee, o.token, o.salt, o.authorizedSigner)),
            evm.computeChannelId(o.from, o.payee, o.token, o.salt, o.authorizedSigner)
        ];
        for (uint256 i = 0; i < wrong.length; ++i) {
            // Signed by the payer as it is, and refused all the same: such a signature could be used for anything.
            o.nonce = wrong[i];
            o.signature =
                signature(PAYER_KEY, receiveDigest(o.token, payer, address(evm), DEPOSIT, 0, o.validBefore, o.nonce));
            refused(o, abi.encodePacked(EvmPaymentChannel.NonceMismatch.selector));
        }
    }

    function test_theTokenTakesItFromTheEscrowOnly() public {
        Opening memory o = opening();
        sign(PAYER_KEY, evm, o);
        (bytes32 r, bytes32 s, uint8 v) = parts(o.signature);
        vm.startPrank(other);
        vm.expectRevert(failure("FiatTokenV2: caller must be the payee"));
        token.receiveWithAuthorization(payer, address(evm), DEPOSIT, 0, o.validBefore, o.nonce, o.signature);
        vm.expectRevert(failure("FiatTokenV2: caller must be the payee"));
        token.receiveWithAuthorization(payer, address(evm), DEPOSIT, 0, o.validBefore, o.nonce, v, r, s);
        vm.expectRevert(failure(UNSIGNED));
        token.receiveWithAuthorization(payer, other, DEPOSIT, 0, o.validBefore, o.nonce, o.signature);
        vm.expectRevert(failure(UNSIGNED));
        token.transferWithAuthorization(payer, address(evm), DEPOSIT, 0, o.validBefore, o.nonce, o.signature);
        vm.stopPrank();
        vm.assertTrue(!token.authorizationState(payer, o.nonce), "unused");
        submit(evm, o);
    }

    function test_onlyCanonicalAuthorizations() public {
        Opening memory o = opening();
        sign(PAYER_KEY, evm, o);
        bytes memory good = o.signature;
        o.signature = mirrored(good);
        refused(o, failure("ECRecover: invalid signature 's' value"));
        o.signature = compact(good);
        refused(o, failure("ECRecover: invalid signature length"));
        o.signature = "";
        refused(o, failure("ECRecover: invalid signature length"));
        o.signature = signature(OTHER_KEY, receiveDigest(o.token, payer, address(evm), DEPOSIT, 0, o.validBefore, o.nonce));
        refused(o, failure(UNSIGNED));
        // A voucher-like signature in the escrow's own domain is none for the token.
        o.signature = signature(PAYER_KEY, voucherDigest(o.nonce, DEPOSIT));
        refused(o, failure(UNSIGNED));
    }

    function test_anAuthorizationOpensOnce() public {
        Opening memory o = opening();
        sign(PAYER_KEY, evm, o);
        bytes32 id = submit(evm, o);
        bytes memory exists = abi.encodePacked(AbstractStreamChannel.ChannelAlreadyExists.selector);
        refused(o, exists);
        // Another amount and another time, signed anew: the id is the same.
        o.deposit = 1;
        refusedOpening(o, exists);
        close(id, 1e6);
        refusedOpening(o, exists);
        vm.prank(payer);
        vm.expectRevert(exists);
        evm.open(payee, address(token), DEPOSIT, SALT, address(0));
        assertGone(id);
        assertBalances(FUNDS - 1e6, 1e6, 0);
    }

    function test_aWithdrawnChannelIsNotOpenedAgainEither() public {
        bytes32 id = openSigned();
        requestClose(id);
        vm.warp(NOW + GRACE);
        vm.prank(payer);
        evm.withdraw(id);
        Opening memory o = opening();
        o.validBefore = NOW + 2 * GRACE;
        o.deposit = 1;
        refusedOpening(o, abi.encodePacked(AbstractStreamChannel.ChannelAlreadyExists.selector));
        assertGone(id);
        assertBalances(FUNDS, 0, 0);
    }

    function test_anAuthorizationIsLeftAloneWhenThePayerOpenedMeanwhile() public {
        Opening memory o = opening();
        sign(PAYER_KEY, evm, o);
        vm.prank(payer);
        token.approve(address(evm), DEPOSIT);
        openChannel();
        refused(o, abi.encodePacked(AbstractStreamChannel.ChannelAlreadyExists.selector));
        vm.assertTrue(!token.authorizationState(payer, o.nonce), "unused");
        assertBalances(FUNDS - DEPOSIT, 0, DEPOSIT);
    }

    function test_aContractWalletOpens() public {
        Wallet wallet = new Wallet(other);
        token.mint(address(wallet), DEPOSIT);
        Opening memory o = opening();
        o.from = address(wallet);
        refusedOpening(o, failure(UNSIGNED));
        sign(OTHER_KEY, evm, o);
        bytes32 id = submit(evm, o);
        vm.assertEq(state(id).payer, address(wallet), "payer");
        vm.prank(payee);
        evm.close(id, 0, "");
        vm.assertEq(token.balanceOf(address(wallet)), DEPOSIT, "refund to the wallet");
    }

    // --- topUpWithAuthorization ----------------------------------------------------------------------------------------------

    function test_topUpWithAuthorization() public {
        bytes32 id = openSigned();
        settle(id, 10e6);
        Addition memory a = addition(id);
        sign(PAYER_KEY, evm, address(token), a);
        vm.expectEmit(true, true, true, true, address(token));
        emit FiatToken.AuthorizationUsed(payer, a.nonce);
        expectLog();
        emit AbstractStreamChannel.TopUp(id, payer, payee, 5e6, DEPOSIT + 5e6);
        vm.prank(address(0x5E77));
        submit(evm, a);
        vm.assertEq(state(id).deposit, DEPOSIT + 5e6, "deposit");
        vm.assertEq(state(id).settled, 10e6, "settled");
        assertBalances(FUNDS - DEPOSIT - 5e6, 10e6, DEPOSIT - 5e6);

        vm.expectRevert(failure(USED));
        submit(evm, a);
        a.topUpSalt = keccak256("another");
        sign(PAYER_KEY, evm, address(token), a);
        submit(evm, a);
        vm.assertEq(state(id).deposit, DEPOSIT + 10e6, "the same amount once more, with another salt");
    }

    function test_somebodyElsePaysTheTopUpAndThePayerGetsTheRest() public {
        bytes32 id = openSigned();
        token.mint(other, 5e6);
        Addition memory a = addition(id);
        a.from = other;
        sign(OTHER_KEY, evm, address(token), a);
        expectLog();
        emit AbstractStreamChannel.TopUp(id, payer, payee, 5e6, DEPOSIT + 5e6);
        submit(evm, a);
        vm.assertEq(state(id).payer, payer, "payer");
        vm.assertEq(token.balanceOf(other), 0, "paid");
        close(id, 1e6);
        assertBalances(FUNDS + 5e6 - 1e6, 1e6, 0);
        vm.assertEq(token.balanceOf(other), 0, "given away");
    }

    function test_thePayersTopUpCancelsARequestToClose() public {
        bytes32 id = openSigned();
        requestClose(id);
        Addition memory a = addition(id);
        sign(PAYER_KEY, evm, address(token), a);
        expectLog();
        emit AbstractStreamChannel.CloseRequestCancelled(id, payer, payee);
        expectLog();
        emit AbstractStreamChannel.TopUp(id, payer, payee, 5e6, DEPOSIT + 5e6);
        submit(evm, a);
        vm.assertEq(state(id).closeRequestedAt, 0, "no request any more");
        vm.warp(NOW + GRACE);
        vm.prank(payer);
        vm.expectRevert(AbstractStreamChannel.CloseNotReady.selector);
        evm.withdraw(id);
    }

    function test_aStrangersTopUpKeepsNobodyFromWithdrawing() public {
        bytes32 id = openSigned();
        requestClose(id);
        token.mint(other, 5e6);
        Addition memory a = addition(id);
        a.from = other;
        sign(OTHER_KEY, evm, address(token), a);
        vm.recordLogs();
        submit(evm, a);
        // AuthorizationUsed, Transfer, TopUp
        vm.assertEq(vm.getRecordedLogs().length, 3, "nothing cancelled");
        vm.assertEq(state(id).closeRequestedAt, NOW, "still since then");
        vm.warp(NOW + GRACE);
        vm.prank(payer);
        evm.withdraw(id);
        assertBalances(FUNDS + 5e6, 0, 0);
    }

    function test_aTopUpIsForItsChannelAndAmountOnly() public {
        bytes32 id = openSigned();
        Opening memory o = opening();
        o.salt = keccak256("second");
        sign(PAYER_KEY, evm, o);
        bytes32 second = submit(evm, o);
        Addition memory signed = addition(id);
        sign(PAYER_KEY, evm, address(token), signed);

        Addition memory a = copy(signed);
        a.channelId = second;
        refusedSubstitution(a);
        a = copy(signed);
        a.additionalDeposit = 1;
        refusedSubstitution(a);
        a = copy(signed);
        a.topUpSalt = 0;
        refusedSubstitution(a);
        token.mint(other, FUNDS);
        a = copy(signed);
        a.from = other;
        refusedSubstitution(a);
        a = copy(signed);
        a.validBefore += 1;
        refused(a, failure(UNSIGNED));
        // An authorization to open is none to top up.
        a = copy(signed);
        o.salt = keccak256("third");
        o.deposit = a.additionalDeposit;
        sign(PAYER_KEY, evm, o);
        (a.nonce, a.signature) = (o.nonce, o.signature);
        refused(a, abi.encodePacked(EvmPaymentChannel.NonceMismatch.selector));

        vm.prank(other);
        vm.expectRevert(failure("FiatTokenV2: caller must be the payee"));
        token.receiveWithAuthorization(payer, address(evm), 5e6, 0, signed.validBefore, signed.nonce, signed.signature);
        submit(evm, signed);
        vm.assertEq(state(id).deposit, DEPOSIT + 5e6, "topped up");
        vm.assertEq(state(second).deposit, DEPOSIT, "the other is as it was");
    }

    function test_topUpWithAuthorizationRefusals() public {
        Addition memory a = addition(SALT);
        refusedAddition(a, abi.encodePacked(AbstractStreamChannel.ChannelNotFound.selector));
        bytes32 id = openSigned();
        a = addition(id);
        a.additionalDeposit = 0;
        refusedAddition(a, abi.encodePacked(AbstractStreamChannel.ZeroDeposit.selector));
        a.additionalDeposit = type(uint128).max - DEPOSIT + 1;
        refusedAddition(a, abi.encodePacked(AbstractStreamChannel.DepositOverflow.selector));
        a.additionalDeposit = uint128(FUNDS);
        refusedAddition(a, failure("ERC20: transfer amount exceeds balance"));
        vm.assertEq(state(id).deposit, DEPOSIT, "as it was");
        close(id, 1e6);
        a = addition(id);
        refusedAddition(a, abi.encodePacked(AbstractStreamChannel.ChannelFinalized.selector));
        assertGone(id);
        assertBalances(FUNDS - 1e6, 1e6, 0);
    }

    // --- Tokens that are not what they should be -----------------------------------------------------------------------------

    function test_aTokenThatTakesAnyCallOpensNothing() public {
        SilentToken silent = new SilentToken();
        silent.mint(payer, DEPOSIT);
        vm.prank(payer);
        bytes32 id = evm.open(payee, address(silent), DEPOSIT, SALT, address(0));
        // Without the look at the balance the attacker, payee of their own channel, would now be paid from the payer's deposit.
        Opening memory o = opening();
        o.token = address(silent);
        o.from = other;
        refusedOpening(o, abi.encodePacked(AbstractStreamChannel.TransferFailed.selector));
        Addition memory a = addition(id);
        refusedAddition(a, abi.encodePacked(AbstractStreamChannel.TransferFailed.selector));
        vm.assertEq(state(id).deposit, DEPOSIT, "as it was");
    }

    function test_aTokenThatKeepsAFeeOpensNothing() public {
        Opening memory o = opening();
        o.token = address(new FeeToken());
        refusedOpening(o, abi.encodePacked(AbstractStreamChannel.TransferFailed.selector));
    }

    function test_aTokenThatCallsBackFindsTheChannelOpen() public {
        CallbackToken evil = new CallbackToken();
        Opening memory o = opening();
        o.token = address(evil);
        o.nonce = openingNonce(o);
        evil.callBack(
            address(evm),
            abi.encodeCall(
                evm.openWithAuthorization,
                (payee, address(evil), DEPOSIT, SALT, address(0), payer, 0, o.validBefore, o.nonce, "")
            )
        );
        bytes32 id = submit(evm, o);
        vm.assertEq(
            keccak256(evil.failure()),
            keccak256(abi.encodePacked(AbstractStreamChannel.ChannelAlreadyExists.selector)),
            "the second opening failed"
        );
        vm.assertEq(state(id).deposit, DEPOSIT, "one deposit");
    }

    // --- Any input -----------------------------------------------------------------------------------------------------------

    function testFuzz_whatWasNotSignedOpensNothing(uint8 which, uint256 with, bool fittingNonce) public {
        Opening memory signed = opening();
        sign(PAYER_KEY, evm, signed);
        Opening memory o = copy(signed);
        which %= 8;
        if (which == 0) o.payee = address(uint160(with));
        if (which == 1) o.token = address(uint160(with));
        if (which == 2) o.deposit = uint128(with);
        if (which == 3) o.salt = bytes32(with);
        if (which == 4) o.authorizedSigner = address(uint160(with));
        if (which == 5) o.from = address(uint160(with));
        if (which == 6) o.validAfter = with;
        if (which == 7) o.validBefore = with;
        if (fittingNonce) o.nonce = openingNonce(o);
        if (keccak256(abi.encode(o)) == keccak256(abi.encode(signed))) return;
        vm.expectRevert();
        submit(evm, o);
        assertBalances(FUNDS, 0, 0);
    }

    function testFuzz_arbitrarySignaturesOpenNothing(bytes memory signature_) public {
        Opening memory o = opening();
        o.nonce = openingNonce(o);
        o.signature = signature_;
        vm.expectRevert();
        submit(evm, o);
    }

    function testFuzz_openTopUpSettleClose(uint128 deposit, uint128 more, uint128 gift, uint128 settled, uint128 closed)
        public
    {
        Opening memory o = opening();
        o.deposit = uint128(bounded(deposit, 1, FUNDS - 1));
        sign(PAYER_KEY, evm, o);
        bytes32 id = submit(evm, o);
        Addition memory a = addition(id);
        a.additionalDeposit = uint128(bounded(more, 1, FUNDS - o.deposit));
        sign(PAYER_KEY, evm, address(token), a);
        submit(evm, a);
        uint128 own = o.deposit + a.additionalDeposit;
        a.from = other;
        a.additionalDeposit = uint128(bounded(gift, 1, FUNDS));
        token.mint(other, a.additionalDeposit);
        sign(OTHER_KEY, evm, address(token), a);
        submit(evm, a);
        uint128 total = own + a.additionalDeposit;
        assertBalances(FUNDS - own, 0, total);

        settled = uint128(bounded(settled, 1, total));
        settle(id, settled);
        closed = uint128(bounded(closed, 0, total));
        close(id, closed);
        uint256 paid = closed > settled ? closed : settled;
        assertBalances(FUNDS + a.additionalDeposit - paid, paid, 0);
        assertGone(id);
    }
}
