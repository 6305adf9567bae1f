//! The rules for sessions.

use crate::channel::Policy;
use crate::gateway::config::Limits;
use crate::gateway::validate::{Findings, Rule, bounded};
use crate::money::Amount;
use crate::rail::evm::Session;
use alloc::format;
use alloc::string::String;
use core::time::Duration;
use serde::Deserialize;

/// The table of sessions as written: one for all rails.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawSession {
    settle_amount: Option<String>,
    settle_minimum: Option<String>,
    settle_after_seconds: Option<u64>,
    close_idle_seconds: Option<u64>,
    watch_seconds: Option<u64>,
    voucher_wait_seconds: Option<u64>,
    suggested_deposit: Option<String>,
    min_voucher_delta: Option<String>,
    #[serde(default)]
    pub(crate) fee_payer: bool,
    min_deposit: Option<String>,
}

/// A booking may still be credited back this long after the origin's time-out.
const DELIVERY_MARGIN: Duration = Duration::from_secs(5);

const YEAR: u64 = 365 * 24 * 60 * 60;

/// How sessions are run; `None` when something is wrong with that, or with the limits.
pub(super) fn session(raw: &RawSession, decimals: u8, limits: Option<&Limits>, findings: &mut Findings) -> Option<Session> {
    let mut seconds = |field: &str, value, default, range| {
        Duration::from_secs(bounded(Rule::SessionFields, &format!("session.{field}"), value, default, range, findings))
    };
    let settle_after = seconds("settleAfterSeconds", raw.settle_after_seconds, 3600, 1..=YEAR);
    let close_idle = seconds("closeIdleSeconds", raw.close_idle_seconds, 24 * 60 * 60, 1..=YEAR);
    // A third of the shortest grace period that is accepted.
    let watch = seconds("watchSeconds", raw.watch_seconds, 120, 1..=200);
    let voucher_wait = seconds("voucherWaitSeconds", raw.voucher_wait_seconds, 60, 1..=3600);
    let mut amount = |field: &str, text: &Option<String>| match text.as_deref().map(|text| Amount::parse_human(text, decimals)) {
        None => Ok(None),
        Some(Ok(amount)) => Ok(Some(amount)),
        Some(Err(error)) => {
            let remedy = "give an amount in human units, such as \"0.5\"";
            findings.add(Rule::SessionFields, format!("session.{field}"), error, remedy);
            Err(())
        }
    };
    let settle_amount = amount("settleAmount", &raw.settle_amount);
    let settle_minimum = amount("settleMinimum", &raw.settle_minimum);
    let suggested_deposit = amount("suggestedDeposit", &raw.suggested_deposit);
    let min_delta = amount("minVoucherDelta", &raw.min_voucher_delta);
    let min_deposit = amount("minDeposit", &raw.min_deposit);
    let unit = Amount::parse_human("1", decimals).ok()?;
    let tenth = Amount::parse_human("0.1", decimals).unwrap_or(unit);
    let settle_amount = settle_amount.ok()?.unwrap_or(unit);
    let settle_minimum = settle_minimum.ok()?;
    if settle_minimum.is_some_and(|minimum| minimum > settle_amount) {
        let what = "exceeds session.settleAmount, at which it is settled in any case";
        findings.add(Rule::SessionFields, "session.settleMinimum", what, "give at most session.settleAmount");
        return None;
    }
    let cent = Amount::parse_human("0.01", decimals).unwrap_or(Amount::from_base_units(1));
    let policy = Policy {
        settle_amount,
        settle_after,
        settle_minimum: settle_minimum.unwrap_or_else(|| cent.min(settle_amount)),
        close_idle,
        delivery_window: limits?.origin_timeout.saturating_add(DELIVERY_MARGIN),
        min_delta: min_delta.ok()?.unwrap_or(Amount::ZERO),
    };
    Some(Session {
        policy,
        watch,
        voucher_wait,
        suggested_deposit: suggested_deposit.ok()?,
        sponsors: raw.fee_payer,
        min_deposit: min_deposit.ok()?.unwrap_or(tenth),
    })
}
