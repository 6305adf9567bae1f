//! Request bodies that are read before they are passed on: hashed as they come, on routes that bind them, and held where they are to
//! be sent on after that. They stay in JavaScript's memory, which is given back; that of wasm never shrinks.

use super::glue::{self, Bounds};
use crate::gateway::config::Limits;
use crate::wire::mpp::digest::BodyDigest;
use crate::wire::problem::{Problem, ProblemKind};
use js_sys::Uint8Array;
use std::cell::Cell;
use std::num::NonZeroU32;
use std::time::Duration;
use wasm_bindgen::JsCast;
use web_sys::Request;

/// Bytes of bodies that an isolate holds at once. One body alone may always be as long as the configuration allows.
const HELD_BYTES: usize = 16 * 1024 * 1024;

/// What a request may take besides the waits that are configured.
const SLACK: Duration = Duration::from_secs(30);

std::thread_local! {
    static LAST: Cell<u32> = const { Cell::new(0) };
}

/// A body that is held for as long as this lives, or until its request is forgotten.
pub(super) struct Held {
    id: NonZeroU32,
    /// Its hash.
    pub(super) digest: BodyDigest,
}

impl Held {
    /// What goes on to the origin, `None` when the body is empty.
    ///
    /// # Errors
    /// `503` when the request took so long that it was let go.
    pub(super) fn bytes(&self) -> Result<Option<Uint8Array>, Problem> {
        let bytes = glue::held(self.id.get());
        if bytes.is_none() && self.digest != BodyDigest::of(&[]) {
            return Err(Problem::unavailable("the request took so long that its body was let go"));
        }
        Ok(bytes)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        glue::release(self.id.get());
    }
}

/// Reads the body and holds it.
///
/// # Errors
/// `413` when it is too long, `408` when it comes too slowly, `503` when too much is held.
pub(super) async fn hold(request: &Request, limits: &Limits) -> Result<Held, Problem> {
    let id = LAST.with(|last| NonZeroU32::MIN.saturating_add(last.replace(last.get().wrapping_add(1) % (u32::MAX - 1))));
    Ok(Held { id, digest: read(request, limits, Some(id)).await? })
}

/// Hashes the body, of which nothing is kept.
///
/// # Errors
/// `413` when it is too long, `408` when it comes too slowly.
pub(super) async fn hash(request: &Request, limits: &Limits) -> Result<BodyDigest, Problem> {
    read(request, limits, None).await
}

async fn read(request: &Request, limits: &Limits, id: Option<NonZeroU32>) -> Result<BodyDigest, Problem> {
    let most = limits.digest_body_bytes;
    let too_large = || {
        Problem::new(
            ProblemKind::ContentTooLarge,
            format!("the body is longer than {most} bytes, the most that can be bound to a payment here; send a shorter one"),
        )
    };
    let declared = request.headers().get("content-length").ok().flatten().and_then(|length| length.parse::<usize>().ok());
    if declared.is_some_and(|length| length > most) {
        return Err(too_large());
    }
    if request.body().is_none() {
        return Ok(BodyDigest::of(&[]));
    }
    let bytes = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    let lifetime = limits.settlement_timeout + 2 * limits.origin_timeout + SLACK;
    let bounds = Bounds { most: bytes(most), budget: bytes(HELD_BYTES.max(most)), patience: limits.origin_timeout, lifetime };
    let unreadable = || Problem::new(ProblemKind::BadRequest, "the request's body could not be read; send the whole request again");
    let outcome = glue::read(request, id, &bounds).await.map_err(|_| unreadable())?;
    match outcome.as_string().as_deref() {
        Some("large") => Err(too_large()),
        Some("slow") => {
            Err(Problem::new(ProblemKind::RequestTimeout, "the request's body came too slowly; send it faster, or a shorter one"))
        }
        Some(_) => Err(Problem::unavailable("the gateway holds as many request bodies as it may")),
        None => {
            let hash = outcome.dyn_into::<Uint8Array>().ok().and_then(|hash| hash.to_vec().try_into().ok());
            hash.map(BodyDigest::from_sha256).ok_or_else(unreadable)
        }
    }
}
