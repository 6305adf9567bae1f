// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

/// A contract wallet (ERC-1271) whose owner signs for it and acts through it.
contract Wallet {
    address private immutable owner;

    constructor(address owner_) {
        owner = owner_;
    }

    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4) {
        return SignatureChecker.isValidSignatureNowCalldata(owner, digest, signature)
            ? this.isValidSignature.selector
            : bytes4(0xffffffff);
    }

    function execute(address target, bytes calldata data) external returns (bytes memory) {
        (bool ok, bytes memory answer) = target.call(data);
        if (!ok) {
            assembly ("memory-safe") {
                revert(add(answer, 0x20), mload(answer))
            }
        }
        return answer;
    }
}

/// A contract account whose signature check fails by reverting.
contract RevertingWallet {
    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes4) {
        revert("no");
    }
}

/// A token of the old kind: it answers false where others revert.
contract FalseToken {
    bool public moves = true;

    function setMoves(bool moves_) external {
        moves = moves_;
    }

    function transfer(address, uint256) external view returns (bool) {
        return moves;
    }

    function transferFrom(address, address, uint256) external view returns (bool) {
        return moves;
    }
}

/// A token that, while it moves, calls its caller back with whatever it was told to, once.
contract CallbackToken {
    uint256 private _received;
    address private target;
    bytes private data;
    bool public called;
    bytes public failure;

    function callBack(address target_, bytes calldata data_) external {
        target = target_;
        data = data_;
    }

    function transfer(address, uint256) external returns (bool) {
        return _call();
    }

    function transferFrom(address, address, uint256) external returns (bool) {
        return _call();
    }

    function receiveWithAuthorization(address, address, uint256 value, uint256, uint256, bytes32, bytes calldata) external {
        _received += value;
        _call();
    }

    function balanceOf(address) external view returns (uint256) {
        return _received;
    }

    function _call() private returns (bool) {
        if (target != address(0)) {
            address once = target;
            target = address(0);
            bool ok;
            (ok, failure) = once.call(data);
            called = ok;
        }
        return true;
    }
}

/// A token without ERC-3009 that, like WETH, takes any call it does not know without a word.
contract SilentToken {
    mapping(address => uint256) public balanceOf;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        balanceOf[msg.sender] -= amount;
        balanceOf[to] += amount;
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
        return true;
    }

    fallback() external {}
}

/// A token that keeps one unit of what it moves.
contract FeeToken {
    mapping(address => uint256) public balanceOf;

    function receiveWithAuthorization(address, address to, uint256 value, uint256, uint256, bytes32, bytes calldata) external {
        balanceOf[to] += value - 1;
    }
}
