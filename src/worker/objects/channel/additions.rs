//! Additions to the deposit that clients name. Those who name some at the same time wait for one question to the chain.

use super::desk::{Turn, unanswered};
use super::object::{ChannelObject, Unserved};
use super::on_chain::inspect;
use crate::channel::{Addition, Additions, Channel, Claim, Told};
use crate::money::Amount;
use crate::worker::connection::Connection;
use crate::worker::escrow;
use worker::Result;

/// Looks whether the ledger holds an addition that a client names, and has the chain asked if not. Whoever names it has shown nothing of
/// his own.
pub(super) async fn hear(object: &ChannelObject, connection: &Connection, claim: &Claim, addition: Addition) -> Result<(), Unserved> {
    let desk = &object.desk;
    let deposit = object.look(Channel::deposit)?.unwrap_or(Amount::ZERO);
    if desk.is_known(&addition, deposit) {
        return Ok(());
    }
    let _asking = match desk.turn(addition).await? {
        Turn::Told(told) => return Ok(told?),
        Turn::Ask(asking) => asking,
    };
    let batch = desk.batch(addition).await;
    let told = ask_about(object, connection, claim, &batch).await?;
    desk.tell(&batch, &told);
    // Its own is the first.
    Ok(told.into_iter().next().unwrap_or_else(|| Err(unanswered()))?)
}

/// Asks the chain about some additions, and about the channel if one of them is news. Tells of each in turn.
pub(super) async fn ask_about(object: &ChannelObject, connection: &Connection, claim: &Claim, additions: &[Addition]) -> Result<Vec<Told>> {
    let (head, left) = match escrow::verify_additions(connection, claim, additions).await {
        Ok(verified) => verified,
        Err(problem) => return Ok(additions.iter().map(|_| Err(problem.clone())).collect()),
    };
    let deposit = object.look(Channel::deposit)?.unwrap_or(Amount::ZERO);
    let seen = if left.iter().any(|left| Additions::is_news(left, deposit)) {
        match inspect(object, connection).await {
            Ok(block) => Ok(block),
            Err(Unserved::Problem(problem)) => Err(problem),
            Err(Unserved::Error(error)) => return Err(error),
        }
    } else {
        Ok(head)
    };
    let mut known = object.desk.additions.borrow_mut();
    Ok(additions.iter().zip(left).map(|(addition, left)| known.tell(*addition, left, deposit, head, &seen)).collect())
}
