// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {FiatToken} from "../src/FiatToken.sol";
import {UsdcE} from "../src/UsdcE.sol";
import {RevertingWallet, Wallet} from "./support/Mocks.sol";
import {TestBase, Vm} from "./support/Vm.sol";

contract UsdcETest is TestBase {
    event Transfer(address indexed from, address indexed to, uint256 value);
    event Approval(address indexed owner, address indexed spender, uint256 value);

    bytes32 private constant NONCE = keccak256("nonce");
    uint256 private constant NOW = 1_800_000_000;
    uint256 private constant FUNDS = 1_000e6;
    string private constant INVALID = "FiatTokenV2: invalid signature";

    UsdcE private token;
    Wallet private wallet;

    function setUp() public {
        vm.warp(NOW);
        token = new UsdcE();
        wallet = new Wallet(other);
        token.mint(payer, FUNDS);
        token.mint(address(wallet), FUNDS);
    }

    // --- What the token is -------------------------------------------------------------------------------------------------

    function test_metadataAndSelectors() public view {
        vm.assertEq(token.name(), "Bridged USDC (Stargate)", "name");
        vm.assertEq(token.version(), "2", "version");
        vm.assertEq(token.symbol(), "USDC.e", "symbol");
        vm.assertEq(token.decimals(), 6, "decimals");
        bytes4 vrs = bytes4(
            keccak256(
                "transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)"
            )
        );
        bytes4 packed =
            bytes4(keccak256("transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,bytes)"));
        vm.assertTrue(vrs == 0xe3ee160e, "selector of the v,r,s overload");
        vm.assertTrue(packed == 0xcf092995, "selector of the bytes overload");
        vm.assertTrue(token.authorizationState.selector == 0xe94a0102, "selector of authorizationState");
        // As Circle's deployments publish them.
        vm.assertEq(
            token.TRANSFER_WITH_AUTHORIZATION_TYPEHASH(),
            0x7c7c6cdb67a18743f49ec6fa9b35f50d52ed05cbed4cc592e13b44501c1a2267,
            "transfer typehash"
        );
        vm.assertEq(
            token.RECEIVE_WITH_AUTHORIZATION_TYPEHASH(),
            0xd099cc98ef71107a616c4f0f941f04c322d8e254fe26b3c6668db87aae413de8,
            "receive typehash"
        );
        vm.assertEq(
            token.CANCEL_AUTHORIZATION_TYPEHASH(),
            0x158b0a9edf7a828aad02f63cd515c68ef2f50ba807396f6d12842833a1597429,
            "cancel typehash"
        );
    }

    function test_domainFollowsChainAndAddress() public {
        bytes32 before = token.DOMAIN_SEPARATOR();
        vm.chainId(block.chainid + 1);
        vm.assertTrue(token.DOMAIN_SEPARATOR() != before, "another chain, another domain");

        address elsewhere = address(0xE15E);
        vm.etch(elsewhere, address(token).code);
        bytes memory signed = signature(PAYER_KEY, _digestAt(elsewhere, _terms(1e6)));
        UsdcE(elsewhere).mint(payer, 1e6);
        _submit(UsdcE(elsewhere), _terms(1e6), signed);
        vm.assertEq(UsdcE(elsewhere).balanceOf(payee), 1e6, "code put elsewhere takes signatures for there");
    }

    // --- ERC-20 and faucet ---------------------------------------------------------------------------------------------------

    function test_mint() public {
        vm.expectEmit(true, true, true, true, address(token));
        emit FiatToken.Mint(address(this), payee, 5);
        vm.expectEmit(true, true, true, true, address(token));
        emit Transfer(address(0), payee, 5);
        token.mint(payee, 5);
        vm.assertEq(token.balanceOf(payee), 5, "balance");
        vm.assertEq(token.totalSupply(), 2 * FUNDS + 5, "supply");

        vm.expectRevert(failure("FiatToken: mint to the zero address"));
        token.mint(address(0), 1);
        vm.expectRevert(failure("FiatToken: mint amount not greater than 0"));
        token.mint(payee, 0);
    }

    function test_transfer() public {
        vm.expectEmit(true, true, true, true, address(token));
        emit Transfer(payer, payee, 7);
        vm.prank(payer);
        vm.assertTrue(token.transfer(payee, 7), "returns true");
        vm.assertEq(token.balanceOf(payee), 7, "received");
        vm.assertEq(token.balanceOf(payer), FUNDS - 7, "sent");

        vm.startPrank(payer);
        vm.expectRevert(failure("ERC20: transfer amount exceeds balance"));
        token.transfer(payee, FUNDS);
        vm.expectRevert(failure("ERC20: transfer to the zero address"));
        token.transfer(address(0), 1);
    }

    function test_transferFromCountsDownTheAllowance() public {
        vm.prank(payer);
        token.approve(other, type(uint256).max);
        vm.prank(other);
        token.transferFrom(payer, payee, 3);
        vm.assertEq(token.allowance(payer, other), type(uint256).max - 3, "the largest allowance shrinks too");

        vm.prank(payer);
        token.approve(other, 2);
        vm.prank(other);
        vm.expectRevert(failure("ERC20: transfer amount exceeds allowance"));
        token.transferFrom(payer, payee, 3);
    }

    function test_blacklistStopsEveryRoad() public {
        bytes memory listed = failure("Blacklistable: account is blacklisted");
        bytes memory signed = signature(PAYER_KEY, _digest(_terms(1)));
        vm.expectEmit(true, true, true, true, address(token));
        emit FiatToken.Blacklisted(payer);
        token.blacklist(payer);
        vm.assertTrue(token.isBlacklisted(payer), "listed");

        vm.prank(payer);
        vm.expectRevert(listed);
        token.transfer(payee, 1);
        vm.expectRevert(listed);
        token.transferFrom(payer, payee, 0);
        vm.prank(payer);
        vm.expectRevert(listed);
        token.transferFrom(address(wallet), payee, 0);
        vm.prank(other);
        vm.expectRevert(listed);
        token.transfer(payer, 0);
        vm.expectRevert(listed);
        _submit(token, _terms(1), signed);
        vm.expectRevert(listed);
        _submitParts(token, _terms(1), signed);
        vm.expectRevert(listed);
        token.receiveWithAuthorization(payer, payee, 1, 0, NOW + 1, NONCE, signed);

        vm.expectEmit(true, true, true, true, address(token));
        emit FiatToken.UnBlacklisted(payer);
        token.unBlacklist(payer);
        token.blacklist(payee);
        vm.expectRevert(listed);
        _submit(token, _terms(1), signed);
        vm.expectRevert(listed);
        token.transferFrom(payer, payee, 0);
        vm.prank(payee);
        vm.expectRevert(listed);
        token.receiveWithAuthorization(payer, payee, 1, 0, NOW + 1, NONCE, signed);

        token.unBlacklist(payee);
        _submit(token, _terms(1), signed);
        vm.assertEq(token.balanceOf(payee), 1, "free again");
    }

    // --- transferWithAuthorization -------------------------------------------------------------------------------------------

    function test_bothOverloadsPay() public {
        FiatToken.Authorization memory terms = _terms(10e6);
        _submitParts(token, terms, signature(PAYER_KEY, _digest(terms)));
        vm.assertTrue(token.authorizationState(payer, NONCE), "v,r,s: nonce used");

        terms.nonce = keccak256("second");
        vm.assertTrue(!token.authorizationState(payer, terms.nonce), "second nonce free");
        _submit(token, terms, signature(PAYER_KEY, _digest(terms)));
        vm.assertTrue(token.authorizationState(payer, terms.nonce), "bytes: nonce used");

        vm.assertEq(token.balanceOf(payee), 20e6, "received twice");
        vm.assertEq(token.balanceOf(payer), FUNDS - 20e6, "paid twice");
    }

    function test_authorizationUsedIsTheLogRightBeforeTransfer() public {
        FiatToken.Authorization memory terms = _terms(10e6);
        bytes memory signed = signature(PAYER_KEY, _digest(terms));
        vm.recordLogs();
        _submitParts(token, terms, signed);
        Vm.Log[] memory logs = vm.getRecordedLogs();

        vm.assertEq(logs.length, 2, "two logs");
        vm.assertEq(logs[0].topics[0], keccak256("AuthorizationUsed(address,bytes32)"), "first: AuthorizationUsed");
        vm.assertEq(logs[0].topics[1], bytes32(uint256(uint160(payer))), "authorizer is indexed");
        vm.assertEq(logs[0].topics[2], NONCE, "nonce is indexed");
        vm.assertEq(logs[1].topics[0], keccak256("Transfer(address,address,uint256)"), "second: Transfer");
        vm.assertEq(logs[1].topics[1], bytes32(uint256(uint160(payer))), "from");
        vm.assertEq(logs[1].topics[2], bytes32(uint256(uint160(payee))), "to");
        vm.assertEq(abi.decode(logs[1].data, (uint256)), 10e6, "value");
    }

    function test_authorizationWorksOnce() public {
        FiatToken.Authorization memory terms = _terms(1);
        bytes memory signed = signature(PAYER_KEY, _digest(terms));
        _submit(token, terms, signed);
        bytes memory used = failure("FiatTokenV2: authorization is used or canceled");
        vm.expectRevert(used);
        _submit(token, terms, signed);
        vm.expectRevert(used);
        _submitParts(token, terms, signed);
        // The nonce is used whatever else is signed with it.
        terms.value = 2;
        signed = signature(PAYER_KEY, _digest(terms));
        vm.expectRevert(used);
        _submit(token, terms, signed);
    }

    function test_validityIsAnOpenInterval() public {
        FiatToken.Authorization memory terms = _terms(1);
        terms.validAfter = NOW;
        bytes memory signed = signature(PAYER_KEY, _digest(terms));
        vm.expectRevert(failure("FiatTokenV2: authorization is not yet valid"));
        _submit(token, terms, signed);
        vm.warp(NOW + 1);
        _submit(token, terms, signed);

        terms.nonce = keccak256("ends");
        terms.validAfter = 0;
        terms.validBefore = NOW + 5;
        signed = signature(PAYER_KEY, _digest(terms));
        vm.warp(NOW + 5);
        vm.expectRevert(failure("FiatTokenV2: authorization is expired"));
        _submit(token, terms, signed);
        vm.warp(NOW + 4);
        _submit(token, terms, signed);
        vm.assertEq(token.balanceOf(payee), 2, "both paid inside their interval");
    }

    function test_everyFieldIsSigned() public {
        FiatToken.Authorization memory terms = _terms(5);
        bytes memory signed = signature(PAYER_KEY, _digest(terms));

        terms.from = other;
        token.mint(other, 100);
        _refused(terms, signed, INVALID);
        terms = _terms(5);
        terms.to = address(0xBAD);
        _refused(terms, signed, INVALID);
        terms = _terms(6);
        _refused(terms, signed, INVALID);
        terms = _terms(5);
        terms.validAfter = 1;
        _refused(terms, signed, INVALID);
        terms = _terms(5);
        terms.validBefore += 1;
        _refused(terms, signed, INVALID);
        terms = _terms(5);
        terms.nonce = bytes32(uint256(1));
        _refused(terms, signed, INVALID);
    }

    function test_foreignDomainsAndTypesAreRefused() public {
        FiatToken.Authorization memory terms = _terms(5);
        bytes32 structHash = keccak256(abi.encode(token.TRANSFER_WITH_AUTHORIZATION_TYPEHASH(), terms));
        _refused(terms, signature(PAYER_KEY, typedDigest("USD Coin", "2", address(token), structHash)), INVALID);
        _refused(terms, signature(PAYER_KEY, typedDigest(token.name(), "1", address(token), structHash)), INVALID);
        _refused(terms, signature(PAYER_KEY, typedDigest(token.name(), "2", address(this), structHash)), INVALID);
        structHash = keccak256(abi.encode(token.RECEIVE_WITH_AUTHORIZATION_TYPEHASH(), terms));
        _refused(terms, signature(PAYER_KEY, typedDigest(token.name(), "2", address(token), structHash)), INVALID);
        bytes memory signed = signature(PAYER_KEY, _digest(terms));
        vm.chainId(2741);
        _refused(terms, signed, INVALID);
    }

    function test_onlyCanonicalSignatures() public {
        FiatToken.Authorization memory terms = _terms(5);
        bytes memory signed = signature(PAYER_KEY, _digest(terms));
        _refused(terms, mirrored(signed), "ECRecover: invalid signature 's' value");
        (,, uint8 v) = parts(signed);
        _refused(terms, withV(signed, v - 27), "ECRecover: invalid signature 'v' value");
        _refused(terms, withV(signed, 29), "ECRecover: invalid signature 'v' value");
        _refused(terms, withV(signed, v == 27 ? 28 : 27), "");
        (, bytes32 s,) = parts(signed);
        _refused(terms, abi.encodePacked(bytes32(0), s, v), "ECRecover: invalid signature");
        _refused(terms, abi.encodePacked(bytes32(N), s, v), "ECRecover: invalid signature");
        _refused(terms, abi.encodePacked(s, bytes32(0), v), "ECRecover: invalid signature");

        bytes memory length = failure("ECRecover: invalid signature length");
        bytes[3] memory sizes = [compact(signed), bytes(""), abi.encodePacked(signed, hex"00")];
        for (uint256 i = 0; i < sizes.length; ++i) {
            vm.expectRevert(length);
            _submit(token, terms, sizes[i]);
        }
    }

    function test_transferThatCannotBePaidLeavesTheNonce() public {
        FiatToken.Authorization memory terms = _terms(FUNDS + 1);
        _refused(terms, signature(PAYER_KEY, _digest(terms)), "ERC20: transfer amount exceeds balance");
        vm.assertTrue(!token.authorizationState(payer, NONCE), "not used");

        terms = _terms(1);
        terms.to = address(0);
        _refused(terms, signature(PAYER_KEY, _digest(terms)), "ERC20: transfer to the zero address");
    }

    function test_contractWalletSignsByErc1271() public {
        FiatToken.Authorization memory terms = _terms(5);
        terms.from = address(wallet);
        bytes memory signed = signature(OTHER_KEY, _digest(terms));
        _submit(token, terms, signed);
        vm.assertEq(token.balanceOf(payee), 5, "paid by the wallet");

        // FiatToken packs v,r,s to bytes, so a wallet that takes 65 bytes pays through that overload as well.
        terms.nonce = keccak256("second");
        _submitParts(token, terms, signature(OTHER_KEY, _digest(terms)));
        vm.assertEq(token.balanceOf(payee), 10, "paid through v,r,s");

        terms.nonce = keccak256("third");
        _refused(terms, signature(PAYER_KEY, _digest(terms)), INVALID);
        vm.expectRevert(failure(INVALID));
        _submit(token, terms, "");
    }

    function test_contractsThatAreNoWallets() public {
        FiatToken.Authorization memory terms = _terms(0);
        terms.from = address(new RevertingWallet());
        _refused(terms, signature(PAYER_KEY, _digest(terms)), INVALID);
        terms.from = address(token);
        _refused(terms, signature(PAYER_KEY, _digest(terms)), INVALID);
    }

    // --- receiveWithAuthorization and cancelAuthorization ----------------------------------------------------------------------

    function test_receiveWithAuthorizationIsThePayeesAlone() public {
        FiatToken.Authorization memory terms = _terms(5);
        bytes memory signed = signature(PAYER_KEY, _receiveDigest(terms));
        (bytes32 r, bytes32 s, uint8 v) = parts(signed);
        bytes memory notPayee = failure("FiatTokenV2: caller must be the payee");
        vm.expectRevert(notPayee);
        token.receiveWithAuthorization(payer, payee, 5, 0, terms.validBefore, NONCE, signed);
        vm.expectRevert(notPayee);
        token.receiveWithAuthorization(payer, payee, 5, 0, terms.validBefore, NONCE, v, r, s);
        _refused(terms, signed, INVALID);

        vm.expectEmit(true, true, true, true, address(token));
        emit FiatToken.AuthorizationUsed(payer, NONCE);
        vm.prank(payee);
        token.receiveWithAuthorization(payer, payee, 5, 0, terms.validBefore, NONCE, v, r, s);

        terms.nonce = keccak256("second");
        signed = signature(PAYER_KEY, _receiveDigest(terms));
        vm.prank(payee);
        token.receiveWithAuthorization(payer, payee, 5, 0, terms.validBefore, terms.nonce, signed);
        vm.assertEq(token.balanceOf(payee), 10, "received twice");

        vm.prank(payee);
        vm.expectRevert(failure("FiatTokenV2: authorization is used or canceled"));
        token.receiveWithAuthorization(payer, payee, 5, 0, terms.validBefore, terms.nonce, signed);
    }

    function test_cancelAuthorization() public {
        bytes32 structHash = keccak256(abi.encode(token.CANCEL_AUTHORIZATION_TYPEHASH(), payer, NONCE));
        bytes32 digest = typedDigest(token.name(), "2", address(token), structHash);
        bytes memory foreign = signature(OTHER_KEY, digest);
        vm.expectRevert(failure(INVALID));
        token.cancelAuthorization(payer, NONCE, foreign);

        bytes memory signed = signature(PAYER_KEY, digest);
        (bytes32 r, bytes32 s, uint8 v) = parts(signed);
        vm.expectEmit(true, true, true, true, address(token));
        emit FiatToken.AuthorizationCanceled(payer, NONCE);
        token.cancelAuthorization(payer, NONCE, v, r, s);
        vm.assertTrue(token.authorizationState(payer, NONCE), "used up");

        bytes memory used = failure("FiatTokenV2: authorization is used or canceled");
        vm.expectRevert(used);
        token.cancelAuthorization(payer, NONCE, signed);
        FiatToken.Authorization memory terms = _terms(1);
        signed = signature(PAYER_KEY, _digest(terms));
        vm.expectRevert(used);
        _submit(token, terms, signed);
    }

    // --- EIP-2612 ------------------------------------------------------------------------------------------------------------

    function test_permit() public {
        bytes memory signed = _permit(0, NOW);
        (bytes32 r, bytes32 s, uint8 v) = parts(signed);
        vm.expectEmit(true, true, true, true, address(token));
        emit Approval(payer, payee, 9);
        token.permit(payer, payee, 9, NOW, v, r, s);
        vm.assertEq(token.allowance(payer, payee), 9, "allowed");
        vm.assertEq(token.nonces(payer), 1, "nonce counted");

        vm.expectRevert(failure("EIP2612: invalid signature"));
        token.permit(payer, payee, 9, NOW, signed);
        signed = _permit(1, type(uint256).max);
        token.permit(payer, payee, 9, type(uint256).max, signed);
        signed = _permit(2, NOW);
        vm.warp(NOW + 1);
        vm.expectRevert(failure("FiatTokenV2: permit is expired"));
        token.permit(payer, payee, 9, NOW, signed);
    }

    // --- Any input -----------------------------------------------------------------------------------------------------------

    function testFuzz_authorizationMovesExactlyItsValue(
        uint256 key,
        address to,
        uint256 value,
        uint256 funds,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bool packed
    ) public {
        FiatToken.Authorization memory terms;
        key = bounded(key, 1, N - 1);
        terms.from = vm.addr(key);
        if (to == address(0) || terms.from.code.length != 0) return;
        terms.to = to;
        funds = bounded(funds, 1, 1e18);
        terms.value = bounded(value, 0, funds);
        terms.validAfter = bounded(validAfter, 0, NOW - 1);
        terms.validBefore = bounded(validBefore, NOW + 1, type(uint256).max);
        terms.nonce = nonce;
        token.mint(terms.from, funds);
        uint256 supply = token.totalSupply();
        uint256 had = token.balanceOf(to);
        uint256 owned = token.balanceOf(terms.from);

        bytes memory signed = signature(key, _digest(terms));
        packed ? _submit(token, terms, signed) : _submitParts(token, terms, signed);

        vm.assertEq(token.totalSupply(), supply, "nothing made or lost");
        if (to == terms.from) return;
        vm.assertEq(token.balanceOf(to), had + terms.value, "payee gets the value");
        vm.assertEq(token.balanceOf(terms.from), owned - terms.value, "payer pays the value");
    }

    function testFuzz_arbitrarySignaturesNeverPay(bytes memory signed) public {
        FiatToken.Authorization memory terms = _terms(1);
        vm.expectRevert();
        _submit(token, terms, signed);
    }

    // --- Helpers -------------------------------------------------------------------------------------------------------------

    function _terms(uint256 value) private view returns (FiatToken.Authorization memory) {
        return FiatToken.Authorization(payer, payee, value, 0, NOW + 300, NONCE);
    }

    function _digest(FiatToken.Authorization memory terms) private view returns (bytes32) {
        return _digestAt(address(token), terms);
    }

    function _digestAt(address where, FiatToken.Authorization memory terms) private view returns (bytes32) {
        return typedDigest("Bridged USDC (Stargate)", "2", where, _structHash("TransferWithAuthorization", terms));
    }

    function _receiveDigest(FiatToken.Authorization memory terms) private view returns (bytes32) {
        return typedDigest(
            "Bridged USDC (Stargate)", "2", address(token), _structHash("ReceiveWithAuthorization", terms)
        );
    }

    function _structHash(string memory name, FiatToken.Authorization memory t) private pure returns (bytes32) {
        bytes32 typehash = keccak256(
            abi.encodePacked(
                name,
                "(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
            )
        );
        return keccak256(abi.encode(typehash, t.from, t.to, t.value, t.validAfter, t.validBefore, t.nonce));
    }

    function _permit(uint256 nonce, uint256 deadline) private view returns (bytes memory) {
        bytes32 structHash = keccak256(abi.encode(token.PERMIT_TYPEHASH(), payer, payee, 9, nonce, deadline));
        return signature(PAYER_KEY, typedDigest("Bridged USDC (Stargate)", "2", address(token), structHash));
    }

    function _submit(UsdcE where, FiatToken.Authorization memory t, bytes memory signed) private {
        where.transferWithAuthorization(t.from, t.to, t.value, t.validAfter, t.validBefore, t.nonce, signed);
    }

    function _submitParts(UsdcE where, FiatToken.Authorization memory t, bytes memory signed) private {
        (bytes32 r, bytes32 s, uint8 v) = parts(signed);
        where.transferWithAuthorization(t.from, t.to, t.value, t.validAfter, t.validBefore, t.nonce, v, r, s);
    }

    /// Refused by both overloads in the same words; "" means in any words.
    function _refused(FiatToken.Authorization memory terms, bytes memory signed, string memory words) private {
        if (bytes(words).length == 0) {
            vm.expectRevert();
            _submit(token, terms, signed);
            vm.expectRevert();
            _submitParts(token, terms, signed);
        } else {
            vm.expectRevert(failure(words));
            _submit(token, terms, signed);
            vm.expectRevert(failure(words));
            _submitParts(token, terms, signed);
        }
    }
}
