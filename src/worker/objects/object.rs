//! What an object is to the runtime.

use serde::Serialize;
use serde::de::DeserializeOwned;
use worker::{Env, Error, Result, State};

/// What an object does.
pub(super) trait Object: 'static {
    type Message: DeserializeOwned;
    type Reply: Serialize;

    fn new(state: State, env: Env) -> Self;

    /// Answers a message.
    async fn answer(&self, message: Self::Message) -> Result<Self::Reply>;

    /// Does what an alarm was set for.
    async fn wake(&self) -> Result<()>;
}

/// The error of an object that cannot work because the configuration is wrong.
pub(super) fn unconfigured() -> Error {
    Error::RustError("the configuration is wrong".to_string())
}
