//! The gateway's own answers.

use super::glue::Changes;
use crate::gateway::cors::Preflight;
use crate::gateway::probe;
use crate::wire::problem::Problem;
use web_sys::Response;
use worker::Result;

/// Answers with a problem.
pub(super) fn problem(problem: &Problem) -> Result<Response> {
    problem_with(problem, None, Changes::default())
}

/// Answers with a problem, with more members of its JSON, and with headers besides its own.
pub(super) fn problem_with(problem: &Problem, members: Option<&str>, mut headers: Changes) -> Result<Response> {
    if let Some(seconds) = problem.retry_after {
        headers.set("retry-after", &format!("{seconds}"));
    }
    let body = members.map_or_else(|| problem.to_json(), |members| problem.to_json_with(members));
    Ok(headers.problem(problem.kind.status(), &body)?)
}

/// Answers with JSON.
pub(super) fn json(body: &str, status: u16) -> Result<Response> {
    let mut headers = Changes::default();
    headers.set("content-type", "application/json");
    headers.set("cache-control", "no-store");
    headers.set("access-control-allow-origin", "*");
    Ok(headers.answer(status, Some(body))?)
}

/// Tells a gateway that its origin is itself.
pub(super) fn looped(answer: &str) -> Result<Response> {
    let mut headers = Changes::default();
    headers.set("cache-control", "no-store");
    headers.set(probe::HEADER, answer);
    Ok(headers.answer(508, None)?)
}

/// Tells a browser that a page may send the request that it asked about.
pub(super) fn preflight(preflight: &Preflight) -> Result<Response> {
    let mut headers = Changes::default();
    headers.set("cache-control", "no-store");
    for (name, value) in preflight.answer() {
        headers.set(name, &value);
    }
    Ok(headers.answer(204, None)?)
}
