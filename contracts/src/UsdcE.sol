// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {FiatToken} from "./FiatToken.sol";

/// @title UsdcE: a stand-in for the bridged USDC on Abstract, which cannot be paused
contract UsdcE is FiatToken {
    function name() public pure override returns (string memory) {
        return "Bridged USDC (Stargate)";
    }

    function symbol() public pure override returns (string memory) {
        return "USDC.e";
    }
}
