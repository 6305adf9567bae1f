// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

/// The cheatcodes of forge that these tests use. forge answers them at one address; forge-std, which usually declares them, is
/// not on npm.
interface Vm {
    struct Log {
        bytes32[] topics;
        bytes data;
        address emitter;
    }

    function addr(uint256 key) external pure returns (address);
    function sign(uint256 key, bytes32 digest) external pure returns (uint8 v, bytes32 r, bytes32 s);
    function prank(address sender) external;
    function startPrank(address sender) external;
    function stopPrank() external;
    function warp(uint256 timestamp) external;
    function chainId(uint256 id) external;
    function etch(address where, bytes calldata code) external;
    function expectRevert(bytes calldata data) external;
    function expectRevert(bytes4 selector) external;
    function expectRevert() external;
    function expectEmit(bool topic1, bool topic2, bool topic3, bool data, address emitter) external;
    function recordLogs() external;
    function getRecordedLogs() external returns (Log[] memory);
    function assertTrue(bool condition, string calldata message) external pure;
    function assertEq(bool left, bool right, string calldata message) external pure;
    function assertEq(uint256 left, uint256 right, string calldata message) external pure;
    function assertEq(address left, address right, string calldata message) external pure;
    function assertEq(bytes32 left, bytes32 right, string calldata message) external pure;
    function assertEq(string calldata left, string calldata right, string calldata message) external pure;
    function assertLe(uint256 left, uint256 right, string calldata message) external pure;
    function assertGe(uint256 left, uint256 right, string calldata message) external pure;
}

/// What every test contract here starts from: the cheatcodes, keys, and signatures in all the shapes that must be refused.
abstract contract TestBase {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    /// Order of secp256k1.
    uint256 internal constant N = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;

    uint256 internal constant PAYER_KEY = 0xA11CE;
    uint256 internal constant OTHER_KEY = 0xB0B;
    address internal payer;
    address internal other;
    address internal constant payee = address(0xCAFE);

    constructor() {
        payer = vm.addr(PAYER_KEY);
        other = vm.addr(OTHER_KEY);
    }

    function signature(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    /// The other signature that plain ECDSA accepts for the same digest: s mirrored, v flipped.
    function mirrored(bytes memory from) internal pure returns (bytes memory) {
        (bytes32 r, bytes32 s, uint8 v) = parts(from);
        return abi.encodePacked(r, bytes32(N - uint256(s)), v == 27 ? uint8(28) : uint8(27));
    }

    function withV(bytes memory from, uint8 v) internal pure returns (bytes memory) {
        (bytes32 r, bytes32 s,) = parts(from);
        return abi.encodePacked(r, s, v);
    }

    /// ERC-2098: 64 bytes, v in the top bit of s.
    function compact(bytes memory from) internal pure returns (bytes memory) {
        (bytes32 r, bytes32 s, uint8 v) = parts(from);
        return abi.encodePacked(r, bytes32(uint256(s) | (uint256(v - 27) << 255)));
    }

    function parts(bytes memory from) internal pure returns (bytes32 r, bytes32 s, uint8 v) {
        require(from.length == 65, "parts: not a 65 byte signature");
        assembly ("memory-safe") {
            r := mload(add(from, 0x20))
            s := mload(add(from, 0x40))
            v := byte(0, mload(add(from, 0x60)))
        }
    }

    /// A digest as EIP-712 defines it, written out here so that the contracts' own arithmetic is not what it is compared with.
    function typedDigest(string memory name, string memory version, address verifier, bytes32 structHash)
        internal
        view
        returns (bytes32)
    {
        bytes32 separator = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256(bytes(name)),
                keccak256(bytes(version)),
                block.chainid,
                verifier
            )
        );
        return keccak256(abi.encodePacked(hex"1901", separator, structHash));
    }

    function failure(string memory message) internal pure returns (bytes memory) {
        return abi.encodeWithSignature("Error(string)", message);
    }

    function bounded(uint256 value, uint256 lowest, uint256 highest) internal pure returns (uint256) {
        return lowest + value % (highest - lowest + 1);
    }
}
