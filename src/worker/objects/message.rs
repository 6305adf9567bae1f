//! How objects are spoken to: typed messages in binary form, as base64, by one method of each. (The runtime's own remote calls cost a third of a
//! fetch; what the `worker` crate makes of them is experimental.)

use crate::binary::{decode, encode};
use crate::wire::encoding::{from_base64_strict, to_base64};
use crate::wire::problem::{Problem, ProblemKind};
use crate::wire::x402::Reason;
use crate::worker::glue;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use worker::{Env, Error, Result, console_error};

/// An object may be moved or restarted during a call, so each gets this much more than it should take.
pub(super) const CALL_MARGIN: Duration = Duration::from_secs(5);

/// Calls an object. Whatever goes wrong, what it has done is unknown: the caller must not take it for a no.
pub(super) async fn call<A: DeserializeOwned>(
    env: &Env,
    binding: &str,
    name: &str,
    message: &impl Serialize,
    limit: Duration,
) -> std::result::Result<A, Problem> {
    let answer = async { read_text(&glue::ask(env, binding, name, &text(message)?, limit).await?) };
    answer.await.map_err(|error: Error| {
        console_error!("object {binding}: {error}");
        unknown()
    })
}

pub(super) fn unknown() -> Problem {
    Problem::unavailable("the payment's state is not known at the moment")
}

pub(super) fn binary(value: &impl Serialize) -> Result<Vec<u8>> {
    encode(value).map_err(|error| Error::RustError(error.to_string()))
}

pub(super) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    decode(bytes).map_err(|error| Error::RustError(error.to_string()))
}

/// A message as it goes from one object to another: the runtime copies a text for much less than it makes buffers of bytes for.
pub(super) fn text(value: &impl Serialize) -> Result<String> {
    Ok(to_base64(binary(value)?))
}

pub(super) fn read_text<T: DeserializeOwned>(text: &str) -> Result<T> {
    read(&from_base64_strict(text).map_err(|error| Error::RustError(error.to_string()))?)
}

/// A problem as it travels between objects.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::worker) struct Refused {
    kind: ProblemKind,
    detail: String,
    retry_after: Option<u32>,
    reason: Option<Reason>,
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self { kind: problem.kind, detail: problem.detail.into_owned(), retry_after: problem.retry_after, reason: problem.reason }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        Self { retry_after: refused.retry_after, reason: refused.reason, ..Self::new(refused.kind, refused.detail) }
    }
}
