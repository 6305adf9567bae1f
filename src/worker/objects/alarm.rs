//! Alarms of objects.

use crate::time::{self, Timestamp};
use crate::worker::clock::now;
use std::cell::Cell;
use std::time::Duration;
use worker::{Date, DateInit, Result, ScheduledTime, State, console_error};

/// Work that is hindered, by a wrong configuration for one, is taken up again after this.
const HINDERED: Duration = Duration::from_secs(30);

/// An object's alarm that remembers when it goes off.
#[derive(Default)]
pub(super) struct Alarm(Cell<time::Alarm>);

impl Alarm {
    /// It has gone off.
    pub(super) fn rang(&self) {
        self.0.set(time::Alarm::Off);
    }

    /// Sees to it that it goes off at `at` or sooner.
    pub(super) async fn by(&self, state: &State, at: Timestamp) -> Result<()> {
        if self.0.get() == time::Alarm::Unknown {
            let set = state.storage().get_alarm().await?.and_then(|set| u64::try_from(set).ok());
            self.0.set(self.0.get().or_read(set.map(Timestamp::from_millis)));
        }
        if self.0.get().rings_by(at) == Some(true) {
            return Ok(());
        }
        self.at(state, Some(at)).await
    }

    /// Sets it for `at`, whatever it is set for: that is the first time at which there is something to do, if there is any.
    pub(super) async fn at(&self, state: &State, at: Option<Timestamp>) -> Result<()> {
        let wanted = at.map_or(time::Alarm::Off, time::Alarm::Set);
        if self.0.replace(wanted) == wanted {
            return Ok(());
        }
        let done = match at {
            Some(at) => set_alarm(state, at).await,
            None => state.storage().delete_alarm().await,
        };
        if done.is_err() {
            self.0.set(time::Alarm::Unknown);
        }
        done
    }

    /// Nothing is known of it from here on.
    pub(super) fn forget(&self) {
        self.0.set(time::Alarm::Unknown);
    }

    /// Has work that failed taken up again, or sooner if it is set for that.
    pub(super) async fn or_later(&self, state: &State, who: &str, work: Result<()>) -> Result<()> {
        match hindered(who, work) {
            Some(at) => self.by(state, at).await,
            None => Ok(()),
        }
    }
}

/// Wakes the object at `at`. There is one alarm per object: the last one set counts.
pub(super) async fn set_alarm(state: &State, at: Timestamp) -> Result<()> {
    let date = js_sys::Date::from(Date::new(DateInit::Millis(at.millis())));
    state.storage().set_alarm(ScheduledTime::new(date)).await
}

/// Has work that failed taken up again.
pub(super) async fn or_later(state: &State, who: &str, work: Result<()>) -> Result<()> {
    match hindered(who, work) {
        Some(at) => set_alarm(state, at).await,
        None => Ok(()),
    }
}

/// When work that failed is to be taken up again. The platform drops an alarm that fails too often, and with it what was to be done.
fn hindered(who: &str, work: Result<()>) -> Option<Timestamp> {
    let error = work.err()?;
    console_error!("{who}: {error}");
    Some(now().saturating_add(HINDERED))
}
