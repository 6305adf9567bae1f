//! Holding what was claimed while its request is served. A client that hangs up before it got anything gets it back at
//! once: it is not left to run out.

use super::glue;
use crate::purchase::Undelivered;
use crate::wire::problem::Problem;
use js_sys::Function;
use litemap::LiteMap;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::Closure;
use wasm_bindgen_futures::spawn_local;
use web_sys::Request;
use worker::Context;

/// A request that is kept alive until this is dropped.
struct Alive {
    end: Function,
}

impl Drop for Alive {
    fn drop(&mut self) {
        // It does not fail.
        let _ = self.end.call0(&JsValue::UNDEFINED);
    }
}

/// How far a request has come whose client may leave.
enum Stage {
    /// Something is being claimed.
    Claiming,
    /// That, and nobody waits for it any more.
    Left,
    /// It is served. This is how what was claimed is released when the client leaves.
    Serving(Pin<Box<dyn Future<Output = ()>>>, Alive),
}

std::thread_local! {
    static STAGES: RefCell<LiteMap<u32, Stage>> = const { RefCell::new(LiteMap::new_vec()) };
    static LAST: Cell<u32> = const { Cell::new(0) };
    static LEFT: Closure<dyn Fn(u32)> = Closure::new(left);
}

/// Alive as long as the request is served; dropping it ends the watch over the client.
pub(super) struct Holding(u32);

impl Drop for Holding {
    fn drop(&mut self) {
        drop(to(self.0, None));
    }
}

/// Makes a claim that outlives the client. When the client hangs up, `release` says how to release what was claimed, if there is
/// anything to release: before the origin is called, which then it is not, or later and before the [`Holding`] is dropped. The origin
/// must be called as soon as this is ready: a client that left before is not served.
pub(super) async fn hold<C: 'static, G: Future<Output = ()> + 'static>(
    context: &Context,
    request: &Request,
    claim: impl Future<Output = Result<C, Problem>> + 'static,
    release: impl Fn(&C, Undelivered) -> Option<G> + 'static,
) -> Result<(C, Holding), Problem> {
    let id = LAST.replace(LAST.get().wrapping_add(1));
    to(id, Some(Stage::Claiming));
    let holding = Holding(id);
    let alive = Alive { end: LEFT.with(|left| glue::hold(context.as_ref(), request, id, left)) };
    let claimed = claim.await;
    if let Some(Stage::Left) = to(id, None) {
        if let Some(early) = claimed.as_ref().ok().and_then(|claimed| release(claimed, Undelivered::Uncalled)) {
            early.await;
        }
        // Nobody reads this.
        return Err(Problem::unavailable("the client has left"));
    }
    let claimed = claimed?;
    if let Some(late) = release(&claimed, Undelivered::Unfinished) {
        to(id, Some(Stage::Serving(Box::pin(late), alive)));
    }
    Ok((claimed, holding))
}

/// Notes how far a request has come, and returns how far it had.
fn to(id: u32, stage: Option<Stage>) -> Option<Stage> {
    STAGES.with_borrow_mut(|stages| match stage {
        Some(stage) => stages.insert(id, stage),
        None => stages.remove(&id),
    })
}

/// The client of a request has left.
fn left(id: u32) {
    match to(id, None) {
        Some(Stage::Claiming | Stage::Left) => drop(to(id, Some(Stage::Left))),
        Some(Stage::Serving(late, alive)) => spawn_local(async move {
            late.await;
            drop(alive);
        }),
        None => {}
    }
}
