// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {FiatToken} from "./FiatToken.sol";

/// @title Usdc: a stand-in for Circle's own USDC, which can be paused (by everybody: local chain)
contract Usdc is FiatToken {
    bool public paused;

    event Pause();
    event Unpause();

    function name() public pure override returns (string memory) {
        return "USDC";
    }

    function symbol() public pure override returns (string memory) {
        return "USDC";
    }

    function pause() external {
        paused = true;
        emit Pause();
    }

    function unpause() external {
        paused = false;
        emit Unpause();
    }

    /// Balances do not move while the token is paused, and nobody is newly allowed to move them.
    function approve(address spender, uint256 value) public override whenNotPaused returns (bool) {
        return super.approve(spender, value);
    }

    function _requireNotPaused() internal view override {
        require(!paused, "Pausable: paused");
    }
}
