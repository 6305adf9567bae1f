// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {Nonces} from "@openzeppelin/contracts/utils/Nonces.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

/// @title FiatToken: what the stand-ins for USDC have in common
/// @notice FOR THE LOCAL CHAIN ONLY, NOT AUDITED. Anybody can mint and anybody can blacklist, because tests must.
///
/// It behaves towards a payment gateway as Circle's FiatToken v2.2 does: ERC-3009 in both overloads, ERC-1271 wallets, the same
/// order of checks, the same revert strings, the same order of events. What a gateway does not meet is left out: proxy, roles,
/// rescue. Who inherits says what the token is called, and whether it can be paused.
///
/// Nothing is kept in constructor-written storage or in immutables: names and version are code and the domain separator is made
/// anew at each use. So the code works at whatever address a local chain puts it.
abstract contract FiatToken is ERC20, Nonces {
    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 public constant TRANSFER_WITH_AUTHORIZATION_TYPEHASH = keccak256(
        "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );
    bytes32 public constant RECEIVE_WITH_AUTHORIZATION_TYPEHASH = keccak256(
        "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );
    bytes32 public constant CANCEL_AUTHORIZATION_TYPEHASH =
        keccak256("CancelAuthorization(address authorizer,bytes32 nonce)");
    bytes32 public constant PERMIT_TYPEHASH =
        keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");

    event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce);
    event AuthorizationCanceled(address indexed authorizer, bytes32 indexed nonce);
    event Mint(address indexed minter, address indexed to, uint256 amount);
    event Blacklisted(address indexed account);
    event UnBlacklisted(address indexed account);

    /// One terms-of-payment record, so that the two overloads of two functions share one path without deep stacks.
    struct Authorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }

    mapping(address authorizer => mapping(bytes32 nonce => bool)) public authorizationState;
    mapping(address account => bool) public isBlacklisted;

    modifier whenNotPaused() {
        _requireNotPaused();
        _;
    }

    modifier notBlacklisted(address account) {
        require(!isBlacklisted[account], "Blacklistable: account is blacklisted");
        _;
    }

    constructor() ERC20("", "") {}

    // --- What the token is -------------------------------------------------------------------------------------------------

    function decimals() public pure override returns (uint8) {
        return 6;
    }

    /// The version of the EIP-712 domain, as FiatToken names it.
    function version() public pure returns (string memory) {
        return "2";
    }

    function DOMAIN_SEPARATOR() public view returns (bytes32) {
        return keccak256(
            abi.encode(
                DOMAIN_TYPEHASH, keccak256(bytes(name())), keccak256(bytes(version())), block.chainid, address(this)
            )
        );
    }

    // --- Faucet and blacklist (open to everybody: local chain) ---------------------------------------------------------------

    function mint(address to, uint256 amount) external returns (bool) {
        require(to != address(0), "FiatToken: mint to the zero address");
        require(amount > 0, "FiatToken: mint amount not greater than 0");
        emit Mint(msg.sender, to, amount);
        _mint(to, amount);
        return true;
    }

    function blacklist(address account) external {
        isBlacklisted[account] = true;
        emit Blacklisted(account);
    }

    function unBlacklist(address account) external {
        isBlacklisted[account] = false;
        emit UnBlacklisted(account);
    }

    // --- ERC-20 --------------------------------------------------------------------------------------------------------------

    function transfer(address to, uint256 value)
        public
        override
        whenNotPaused
        notBlacklisted(msg.sender)
        notBlacklisted(to)
        returns (bool)
    {
        _move(msg.sender, to, value);
        return true;
    }

    function transferFrom(address from, address to, uint256 value)
        public
        override
        whenNotPaused
        notBlacklisted(msg.sender)
        notBlacklisted(from)
        notBlacklisted(to)
        returns (bool)
    {
        // FiatToken also counts down the largest allowance; OpenZeppelin's own would treat it as endless.
        uint256 allowed = allowance(from, msg.sender);
        require(value <= allowed, "ERC20: transfer amount exceeds allowance");
        _approve(from, msg.sender, allowed - value, false);
        _move(from, to, value);
        return true;
    }

    // --- ERC-3009 ------------------------------------------------------------------------------------------------------------

    function transferWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external {
        _transferWithAuthorization(
            Authorization(from, to, value, validAfter, validBefore, nonce), abi.encodePacked(r, s, v)
        );
    }

    function transferWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes memory signature
    ) external {
        _transferWithAuthorization(Authorization(from, to, value, validAfter, validBefore, nonce), signature);
    }

    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external {
        _receiveWithAuthorization(
            Authorization(from, to, value, validAfter, validBefore, nonce), abi.encodePacked(r, s, v)
        );
    }

    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes memory signature
    ) external {
        _receiveWithAuthorization(Authorization(from, to, value, validAfter, validBefore, nonce), signature);
    }

    function cancelAuthorization(address authorizer, bytes32 nonce, uint8 v, bytes32 r, bytes32 s) external {
        _cancelAuthorization(authorizer, nonce, abi.encodePacked(r, s, v));
    }

    function cancelAuthorization(address authorizer, bytes32 nonce, bytes memory signature) external {
        _cancelAuthorization(authorizer, nonce, signature);
    }

    // --- EIP-2612 ------------------------------------------------------------------------------------------------------------

    function permit(address owner, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        external
    {
        _permit(owner, spender, value, deadline, abi.encodePacked(r, s, v));
    }

    function permit(address owner, address spender, uint256 value, uint256 deadline, bytes memory signature) external {
        _permit(owner, spender, value, deadline, signature);
    }

    // --- What a token may add ------------------------------------------------------------------------------------------------

    /// Reverts while the token is paused. One that cannot be has nothing to check.
    function _requireNotPaused() internal view virtual {}

    // --- How it is done ------------------------------------------------------------------------------------------------------

    function _transferWithAuthorization(Authorization memory terms, bytes memory signature)
        private
        whenNotPaused
        notBlacklisted(terms.from)
        notBlacklisted(terms.to)
    {
        _useAuthorization(TRANSFER_WITH_AUTHORIZATION_TYPEHASH, terms, signature);
    }

    function _receiveWithAuthorization(Authorization memory terms, bytes memory signature)
        private
        whenNotPaused
        notBlacklisted(terms.from)
        notBlacklisted(terms.to)
    {
        // Only the payee may call: nobody can take an authorization out of the mempool and use it outside the payee's own call.
        require(terms.to == msg.sender, "FiatTokenV2: caller must be the payee");
        _useAuthorization(RECEIVE_WITH_AUTHORIZATION_TYPEHASH, terms, signature);
    }

    function _useAuthorization(bytes32 typehash, Authorization memory terms, bytes memory signature) private {
        require(block.timestamp > terms.validAfter, "FiatTokenV2: authorization is not yet valid");
        require(block.timestamp < terms.validBefore, "FiatTokenV2: authorization is expired");
        _requireUnusedAuthorization(terms.from, terms.nonce);
        // The struct's six fields are static, so its encoding is the six words that EIP-712 wants.
        _requireSigned(
            terms.from, keccak256(abi.encode(typehash, terms)), signature, "FiatTokenV2: invalid signature"
        );

        authorizationState[terms.from][terms.nonce] = true;
        // FiatToken's order: AuthorizationUsed is the log right before Transfer. Whoever reads receipts relies on it.
        emit AuthorizationUsed(terms.from, terms.nonce);
        _move(terms.from, terms.to, terms.value);
    }

    function _cancelAuthorization(address authorizer, bytes32 nonce, bytes memory signature)
        private
        whenNotPaused
    {
        _requireUnusedAuthorization(authorizer, nonce);
        _requireSigned(
            authorizer,
            keccak256(abi.encode(CANCEL_AUTHORIZATION_TYPEHASH, authorizer, nonce)),
            signature,
            "FiatTokenV2: invalid signature"
        );
        authorizationState[authorizer][nonce] = true;
        emit AuthorizationCanceled(authorizer, nonce);
    }

    function _requireUnusedAuthorization(address authorizer, bytes32 nonce) private view {
        require(!authorizationState[authorizer][nonce], "FiatTokenV2: authorization is used or canceled");
    }

    function _permit(address owner, address spender, uint256 value, uint256 deadline, bytes memory signature)
        private
        whenNotPaused
    {
        require(deadline >= block.timestamp, "FiatTokenV2: permit is expired");
        _requireSigned(
            owner,
            keccak256(abi.encode(PERMIT_TYPEHASH, owner, spender, value, _useNonce(owner), deadline)),
            signature,
            "EIP2612: invalid signature"
        );
        _approve(owner, spender, value);
    }

    /// Accounts without code sign by ECDSA (65 bytes, v 27 or 28, s in the lower half), accounts with code answer by ERC-1271.
    function _requireSigned(address signer, bytes32 structHash, bytes memory signature, string memory otherwise)
        private
        view
    {
        bytes32 digest = MessageHashUtils.toTypedDataHash(DOMAIN_SEPARATOR(), structHash);
        if (signer.code.length != 0) {
            require(SignatureChecker.isValidERC1271SignatureNow(signer, digest, signature), otherwise);
            return;
        }
        (address recovered, ECDSA.RecoverError problem,) = ECDSA.tryRecover(digest, signature);
        require(
            problem != ECDSA.RecoverError.InvalidSignatureLength, "ECRecover: invalid signature length"
        );
        require(problem != ECDSA.RecoverError.InvalidSignatureS, "ECRecover: invalid signature 's' value");
        // The precompile answers nothing both for another v and for an r that is no point of the curve.
        uint8 v = uint8(signature[64]);
        require(v == 27 || v == 28, "ECRecover: invalid signature 'v' value");
        require(problem == ECDSA.RecoverError.NoError, "ECRecover: invalid signature");
        require(recovered == signer, otherwise);
    }

    /// Every transfer that is not a mint comes through here, to fail with FiatToken's words rather than with OpenZeppelin's errors.
    function _move(address from, address to, uint256 value) private {
        require(from != address(0), "ERC20: transfer from the zero address");
        require(to != address(0), "ERC20: transfer to the zero address");
        require(value <= balanceOf(from), "ERC20: transfer amount exceeds balance");
        _transfer(from, to, value);
    }
}
