//! The classes that the runtime makes objects of. A message comes as text, by a method of the object: what needs no I/O is
//! answered before that returns, without a promise.

use super::account::object::Account;
use super::channel::object::ChannelObject as Channel;
use super::message::{read_text, text};
use super::object::Object;
use super::payer::object::Payer;
use crate::worker::promised::{at_once, promise};
use js_sys::Promise;
use std::rc::Rc;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use worker::worker_sys::DurableObjectState;
use worker::{Env, State};

/// The answer, or a promise of it when the object must wait for something.
fn ask<O: Object>(object: &Rc<O>, message: &str) -> std::result::Result<JsValue, JsValue> {
    let object = object.clone();
    let message = read_text(message)?;
    at_once(async move { Ok(text(&object.answer(message).await?)?.into()) })
}

fn wake<O: Object>(object: &Rc<O>) -> Promise {
    let object = object.clone();
    promise(async move { Ok(object.wake().await.map(|()| JsValue::UNDEFINED)?) })
}

macro_rules! export {
    ($object:ident as $class:ident) => {
        #[doc = "The class of an object, for the runtime."]
        #[wasm_bindgen(js_name = $object)]
        pub struct $class(Rc<$object>);

        #[wasm_bindgen(js_class = $object)]
        impl $class {
            #[doc = "Makes the object."]
            #[wasm_bindgen(constructor)]
            pub fn new(state: DurableObjectState, env: Env) -> Self {
                Self(Rc::new($object::new(State::from(state), env)))
            }

            #[doc = "Answers a message."]
            pub fn ask(&self, message: &str) -> std::result::Result<JsValue, JsValue> {
                ask(&self.0, message)
            }

            #[doc = "The alarm rings."]
            pub fn alarm(&self) -> Promise {
                wake(&self.0)
            }
        }
    };
}

export!(Account as AccountClass);
export!(Channel as ChannelClass);
export!(Payer as PayerClass);
