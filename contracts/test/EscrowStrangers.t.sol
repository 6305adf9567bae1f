// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {AbstractStreamChannel} from "../src/AbstractStreamChannel.sol";
import {EscrowBase} from "./support/EscrowBase.sol";
import {CallbackToken, FalseToken, RevertingWallet, Wallet} from "./support/Mocks.sol";

/// What strangers bring to the escrow: signatures, wallets, tokens.
contract EscrowStrangersTest is EscrowBase {
    // --- Signatures of vouchers ------------------------------------------------------------------------------------------------

    /// B17: as the deployed escrow does it. A gateway may accept less, and must know a voucher by its total.
    function test_aVoucherHasSeveralSignatures() public {
        bytes32 id = openChannel();
        bytes[2] memory forms = [mirrored(voucher(id, 1e6)), compact(voucher(id, 2e6))];
        for (uint128 i = 0; i < 2; ++i) {
            vm.prank(payee);
            escrow.settle(id, (i + 1) * 1e6, forms[i]);
            vm.assertEq(state(id).settled, (i + 1) * 1e6, "settled");
        }
        // The same voucher in another form pays no more.
        bytes memory same = mirrored(voucher(id, 2e6));
        bytes memory last = mirrored(voucher(id, 3e6));
        vm.startPrank(payee);
        vm.expectRevert(AbstractStreamChannel.AmountNotIncreasing.selector);
        escrow.settle(id, 2e6, same);
        escrow.close(id, 3e6, last);
        vm.stopPrank();
        assertGone(id);
        assertBalances(FUNDS - 3e6, 3e6, 0);
    }

    function test_vouchersThatNobodySigned() public {
        bytes32 id = openChannel();
        bytes memory signed = voucher(id, 1e6);
        (bytes32 r, bytes32 s, uint8 v) = parts(signed);
        _refusedVoucher(id, withV(signed, v - 27));
        _refusedVoucher(id, withV(signed, v == 27 ? 28 : 27));
        _refusedVoucher(id, withV(signed, 29));
        _refusedVoucher(id, compact(signature(OTHER_KEY, voucherDigest(id, 1e6))));
        _refusedVoucher(id, abi.encodePacked(bytes32(0), s, v));
        _refusedVoucher(id, abi.encodePacked(r, bytes32(0), v));
        _refusedVoucher(id, abi.encodePacked(bytes32(N), s, v));
        _refusedVoucher(id, "");
        _refusedVoucher(id, abi.encodePacked(signed, hex"00"));
        settle(id, 1e6);
    }

    function test_vouchersForOtherThings() public {
        bytes32 id = openChannel();
        bytes32 second = openFor(address(0), keccak256("another"), DEPOSIT);
        _refusedVoucher(id, voucher(second, 1e6));
        _refusedVoucher(id, voucher(id, 2e6));
        _refusedVoucher(id, signature(OTHER_KEY, voucherDigest(id, 1e6)));
        bytes32 structHash = keccak256(abi.encode(escrow.VOUCHER_TYPEHASH(), id, uint128(1e6)));
        bytes32 digest = typedDigest("Tempo Stream Channel", "1", address(escrow), structHash);
        _refusedVoucher(id, signature(PAYER_KEY, digest));
        digest = typedDigest(domainName(), "1", address(token), structHash);
        _refusedVoucher(id, signature(PAYER_KEY, digest));
        bytes memory signed = voucher(id, 1e6);
        vm.chainId(2741);
        _refusedVoucher(id, signed);
    }

    function test_authorizedSignerReplacesThePayer() public {
        bytes32 id = openFor(other, SALT, DEPOSIT);
        _refusedVoucher(id, voucher(id, 1e6));
        bytes memory signed = signature(OTHER_KEY, voucherDigest(id, 1e6));
        vm.prank(payee);
        escrow.settle(id, 1e6, signed);
        vm.assertEq(state(id).settled, 1e6, "settled");
    }

    function test_contractWallets() public {
        Wallet wallet = new Wallet(other);
        bytes32 id = openFor(address(wallet), SALT, DEPOSIT);
        _refusedVoucher(id, voucher(id, 1e6));
        bytes memory signed = signature(OTHER_KEY, voucherDigest(id, 1e6));
        vm.prank(payee);
        escrow.settle(id, 1e6, signed);

        token.mint(address(wallet), DEPOSIT);
        wallet.execute(address(token), abi.encodeCall(token.approve, (address(escrow), DEPOSIT)));
        bytes memory answer = wallet.execute(
            address(escrow), abi.encodeCall(escrow.open, (payee, address(token), DEPOSIT, SALT, address(0)))
        );
        id = abi.decode(answer, (bytes32));
        signed = signature(OTHER_KEY, voucherDigest(id, 2e6));
        vm.prank(payee);
        escrow.close(id, 2e6, signed);
        vm.assertEq(token.balanceOf(payee), 3e6, "paid by signer wallet and payer wallet");
        vm.assertEq(token.balanceOf(address(wallet)), DEPOSIT - 2e6, "refund to the wallet");

        id = openFor(address(new RevertingWallet()), keccak256("reverting"), DEPOSIT);
        _refusedVoucher(id, voucher(id, 1e6));
        id = openFor(address(token), keccak256("no wallet"), DEPOSIT);
        _refusedVoucher(id, voucher(id, 1e6));
    }

    // --- Tokens that say false, tokens that call back -------------------------------------------------------------------------

    function test_tokenThatSaysFalse() public {
        FalseToken silent = new FalseToken();
        silent.setMoves(false);
        vm.expectRevert(AbstractStreamChannel.TransferFailed.selector);
        vm.prank(payer);
        escrow.open(payee, address(silent), DEPOSIT, SALT, address(0));

        silent.setMoves(true);
        vm.prank(payer);
        bytes32 id = escrow.open(payee, address(silent), DEPOSIT, SALT, address(0));
        vm.prank(payer);
        escrow.requestClose(id);
        vm.warp(NOW + GRACE);
        bytes memory signed = voucher(id, 1);
        silent.setMoves(false);
        bytes4 failed = AbstractStreamChannel.TransferFailed.selector;
        vm.expectRevert(failed);
        vm.prank(payer);
        escrow.topUp(id, 1);
        vm.expectRevert(failed);
        vm.prank(payee);
        escrow.settle(id, 1, signed);
        vm.expectRevert(failed);
        vm.prank(payee);
        escrow.close(id, 0, "");
        vm.expectRevert(failed);
        vm.prank(payer);
        escrow.withdraw(id);
        vm.assertTrue(!state(id).finalized, "and nothing was written");
    }

    function test_aTokenThatCallsBackFindsTheChannelFinalized() public {
        CallbackToken evil = new CallbackToken();
        vm.prank(payer);
        bytes32 id = escrow.open(address(evil), address(evil), DEPOSIT, SALT, address(0));
        // The payee is the token itself: while it is paid for the close, it tries to close again.
        evil.callBack(address(escrow), abi.encodeCall(escrow.close, (id, 0, "")));
        vm.prank(address(evil));
        escrow.close(id, 0, "");
        vm.assertTrue(!evil.called(), "the second close failed");
        vm.assertEq(
            keccak256(evil.failure()),
            keccak256(abi.encodePacked(AbstractStreamChannel.ChannelFinalized.selector)),
            "because the channel was already finalized"
        );
    }

    function test_aTokenThatCallsBackCannotWithdrawTwice() public {
        CallbackToken evil = new CallbackToken();
        vm.startPrank(address(evil));
        bytes32 id = escrow.open(payee, address(evil), DEPOSIT, SALT, address(0));
        escrow.requestClose(id);
        vm.warp(NOW + GRACE);
        evil.callBack(address(escrow), abi.encodeCall(escrow.withdraw, (id)));
        escrow.withdraw(id);
        vm.assertEq(
            keccak256(evil.failure()),
            keccak256(abi.encodePacked(AbstractStreamChannel.ChannelFinalized.selector)),
            "the second withdrawal failed"
        );
    }

    function test_aTokenThatCallsBackFindsTheVoucherSettled() public {
        CallbackToken evil = new CallbackToken();
        vm.prank(payer);
        bytes32 id = escrow.open(address(evil), address(evil), DEPOSIT, SALT, address(0));
        bytes memory signed = voucher(id, 1e6);
        evil.callBack(address(escrow), abi.encodeCall(escrow.settle, (id, 1e6, signed)));
        vm.prank(address(evil));
        escrow.settle(id, 1e6, signed);
        vm.assertEq(
            keccak256(evil.failure()),
            keccak256(abi.encodePacked(AbstractStreamChannel.AmountNotIncreasing.selector)),
            "the same voucher pays once"
        );
    }

    // --- Helpers -------------------------------------------------------------------------------------------------------------

    /// Neither settle nor close takes this signature for a total of 1e6.
    function _refusedVoucher(bytes32 id, bytes memory signed) private {
        vm.startPrank(payee);
        vm.expectRevert(AbstractStreamChannel.InvalidSignature.selector);
        escrow.settle(id, 1e6, signed);
        vm.expectRevert(AbstractStreamChannel.InvalidSignature.selector);
        escrow.close(id, 1e6, signed);
        vm.stopPrank();
    }
}
