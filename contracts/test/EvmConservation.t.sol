// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {EvmPaymentChannel} from "../src/EvmPaymentChannel.sol";
import {UsdcE} from "../src/UsdcE.sol";
import {AbstractStreamChannelTest} from "./AbstractStreamChannel.t.sol";
import {ConservationInvariantTest, ConservationTest, Town} from "./Conservation.t.sol";
import {EscrowStrangersTest} from "./EscrowStrangers.t.sol";
import {EscrowBase} from "./support/EscrowBase.sol";
import {Authorizations} from "./support/EvmBase.sol";

abstract contract EvmEscrow is EscrowBase {
    constructor() {
        ofEvm = true;
    }
}

/// What Abstract's escrow must do, the escrow of `evm` must do: the same tests once more.
contract EvmAsAbstractStreamChannelTest is EvmEscrow, AbstractStreamChannelTest {}

contract EvmStrangersTest is EvmEscrow, EscrowStrangersTest {}

contract EvmConservationTest is EvmEscrow, ConservationTest {}

/// The town, whose people also pay by signature, for themselves and for one another.
contract SigningTown is Town, Authorizations {
    constructor(EvmPaymentChannel escrow_, UsdcE token_) Town(escrow_, token_) {}

    function openSigned(uint256 who, uint256 toWhom, uint256 amount) external {
        uint256 key = keys[who % keys.length];
        Opening memory o;
        o.from = vm.addr(key);
        uint256 funds = token.balanceOf(o.from);
        if (funds == 0) return;
        o.payee = payees[toWhom % payees.length];
        o.token = address(token);
        o.deposit = uint128(bounded(amount, 1, funds));
        o.salt = bytes32(++_salt);
        o.validBefore = type(uint256).max;
        EvmPaymentChannel evm = EvmPaymentChannel(address(escrow));
        sign(key, evm, o);
        _remember(submit(evm, o), key, o.deposit);
    }

    function topUpSigned(uint256 which, uint256 who, uint256 amount) external {
        if (open.length == 0) return;
        uint256 key = keys[who % keys.length];
        Addition memory a;
        a.from = vm.addr(key);
        uint256 funds = token.balanceOf(a.from);
        if (funds == 0) return;
        a.channelId = open[which % open.length];
        a.additionalDeposit = uint128(bounded(amount, 1, funds));
        a.topUpSalt = bytes32(++_salt);
        a.validBefore = type(uint256).max;
        EvmPaymentChannel evm = EvmPaymentChannel(address(escrow));
        sign(key, evm, address(token), a);
        submit(evm, a);
        deposited[a.channelId] += a.additionalDeposit;
    }
}

contract EvmConservationInvariantTest is ConservationInvariantTest {
    function newTown(UsdcE token_) internal override returns (Town) {
        return new SigningTown(new EvmPaymentChannel(), token_);
    }
}
