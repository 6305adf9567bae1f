//! What went wrong inside the gateway: told to its operator by the log, and to the client as no more than a reference.

use crate::gateway::offer::Entropy;
use crate::wire::encoding::to_base64url;
use crate::wire::problem::{FieldError, Problem, ProblemKind};
use std::fmt;
use worker::{Error, Result, console_error};

/// Logs what failed under a reference and gives the problem that shows only the reference.
pub(super) fn internal(what: &str, error: impl fmt::Debug) -> Problem {
    let reference = entropy().map(to_base64url).unwrap_or_default();
    console_error!("{reference}: {what}: {error:?}");
    Problem::new(ProblemKind::Internal, format!("the gateway failed; its log says more under {reference}, so tell that to its operator"))
}

/// [`internal`] for a JavaScript error.
pub(super) fn failed(what: &str) -> impl Fn(Error) -> Problem + '_ {
    move |error| internal(what, error)
}

/// The problem of a wrong configuration.
pub(super) fn misconfigured(errors: &[FieldError]) -> Problem {
    let first = errors.first().map_or_else(|| "".into(), |error| format!(": {} {}", error.field, error.detail));
    let mut problem = Problem::new(ProblemKind::Internal, format!("the gateway's configuration is wrong{first}"));
    problem.errors = errors.to_vec();
    problem
}

/// Random bytes: of a challenge, of a reference, of a probe.
pub(super) fn entropy() -> Result<Entropy> {
    let mut entropy = Entropy::default();
    getrandom::fill(&mut entropy).map_err(|error| Error::RustError(format!("entropy: {error}")))?;
    Ok(entropy)
}
