//! What went wrong inside the gateway: told to its operator by the log, and to the client as no more than a reference.

use crate::gateway::offer::Entropy;
use crate::wire::encoding::to_base64url;
use crate::wire::problem::{FieldError, Problem, ProblemKind};
use std::cell::RefCell;
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

std::thread_local! {
    /// Random bytes that nobody has had yet, drawn many at once: each draw is a call of the runtime, with a buffer of its own.
    static DRAWN: RefCell<Vec<Entropy>> = const { RefCell::new(Vec::new()) };
}

/// Random bytes: of a challenge, of a reference, of a probe.
pub(super) fn entropy() -> Result<Entropy> {
    if let Some(entropy) = DRAWN.with_borrow_mut(Vec::pop) {
        return Ok(entropy);
    }
    let mut drawn = [Entropy::default(); 32];
    getrandom::fill(drawn.as_flattened_mut()).map_err(|error| Error::RustError(format!("entropy: {error}")))?;
    let [entropy, rest @ ..] = drawn;
    DRAWN.with_borrow_mut(|drawn| drawn.extend(rest));
    Ok(entropy)
}
