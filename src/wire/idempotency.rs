//! The request header `Idempotency-Key`, as the gateway keeps it.

use crate::evm::{B256, keccak256};
use alloc::format;
use serde::{Deserialize, Serialize};

/// The longest key that is taken, in bytes.
pub const MAX_BYTES: usize = 255;

/// What a client's key stands for: one request under one challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Hash of the challenge's id and the client's key.
    pub name: B256,
    /// Hash of the HTTP method, the target and the body.
    pub target: B256,
}

impl Key {
    /// The key that a client calls `key`, for a request whose body hashes to `content`.
    pub fn new(challenge_id: &str, key: &str, method: &str, target: &str, content: B256) -> Self {
        Self { name: keccak256(format!("{challenge_id}\n{key}")), target: keccak256(format!("{method} {target} {content}")) }
    }

    /// Whether `other` is the same key on another request.
    pub fn is_taken_by(&self, other: &Self) -> bool {
        self.name == other.name && self.target != other.target
    }
}
