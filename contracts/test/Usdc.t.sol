// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {FiatToken} from "../src/FiatToken.sol";
import {Usdc} from "../src/Usdc.sol";
import {UsdcE} from "../src/UsdcE.sol";
import {TestBase} from "./support/Vm.sol";

/// What Usdc adds to FiatToken, whose rules UsdcE.t.sol tests.
contract UsdcTest is TestBase {
    bytes32 private constant NONCE = keccak256("nonce");
    uint256 private constant NOW = 1_800_000_000;

    Usdc private token;

    function setUp() public {
        vm.warp(NOW);
        token = new Usdc();
        token.mint(payer, 1_000e6);
    }

    function test_metadataIsThatOfBaseSepolia() public {
        vm.assertEq(token.name(), "USDC", "name");
        vm.assertEq(token.version(), "2", "version");
        vm.assertEq(token.symbol(), "USDC", "symbol");
        vm.assertEq(token.decimals(), 6, "decimals");
        vm.assertTrue(token.paused.selector == 0x5c975abb, "selector of paused");
        // What Circle's contract answers on Base Sepolia.
        vm.chainId(84532);
        address circles = 0x036CbD53842c5426634e7929541eC2318f3dCF7e;
        vm.etch(circles, address(token).code);
        vm.assertEq(
            Usdc(circles).DOMAIN_SEPARATOR(),
            0x71f17a3b2ff373b803d70a5a07c046c1a2bc8e89c09ef722fcb047abe94c9818,
            "domain separator"
        );
    }

    function test_aSignatureForTheOtherTokenIsNone() public {
        UsdcE theirs = new UsdcE();
        bytes memory signed = signature(PAYER_KEY, _digest(theirs));
        vm.expectRevert(failure("FiatTokenV2: invalid signature"));
        token.transferWithAuthorization(payer, payee, 1, 0, NOW + 1, NONCE, signed);
    }

    function test_pauseStopsEveryRoad() public {
        bytes memory paused = failure("Pausable: paused");
        bytes memory signed = signature(PAYER_KEY, _digest(token));
        vm.expectEmit(true, true, true, true, address(token));
        emit Usdc.Pause();
        token.pause();
        vm.assertTrue(token.paused(), "paused");

        vm.prank(payer);
        vm.expectRevert(paused);
        token.transfer(payee, 1);
        vm.expectRevert(paused);
        token.transferFrom(payer, payee, 0);
        vm.prank(payer);
        vm.expectRevert(paused);
        token.approve(other, 1);
        vm.expectRevert(paused);
        token.transferWithAuthorization(payer, payee, 1, 0, NOW + 1, NONCE, signed);
        vm.prank(payee);
        vm.expectRevert(paused);
        token.receiveWithAuthorization(payer, payee, 1, 0, NOW + 1, NONCE, signed);
        vm.expectRevert(paused);
        token.cancelAuthorization(payer, NONCE, signed);
        vm.expectRevert(paused);
        token.permit(payer, other, 1, NOW, signed);
        // Circle's order: paused comes before blacklisted.
        token.blacklist(payer);
        vm.expectRevert(paused);
        token.transferWithAuthorization(payer, payee, 1, 0, NOW + 1, NONCE, signed);
        token.unBlacklist(payer);

        vm.expectEmit(true, true, true, true, address(token));
        emit Usdc.Unpause();
        token.unpause();
        token.transferWithAuthorization(payer, payee, 1, 0, NOW + 1, NONCE, signed);
        vm.assertEq(token.balanceOf(payee), 1, "moves again");
    }

    function _digest(FiatToken against) private view returns (bytes32) {
        bytes32 typehash = against.TRANSFER_WITH_AUTHORIZATION_TYPEHASH();
        bytes32 structHash = keccak256(abi.encode(typehash, payer, payee, 1, 0, NOW + 1, NONCE));
        return keccak256(abi.encodePacked(hex"1901", against.DOMAIN_SEPARATOR(), structHash));
    }
}
