//! Where a channel stands, for a client that has forgotten: it names the channel, or itself, in `Payment-Session`, and proves
//! nothing by that. So it makes little work: what one asks for is told to all who ask for the same, and not much is looked up at all.

use super::config::{Isolate, load};
use super::objects::channel::{ChannelMessage, ChannelReply, ask_channel};
use super::objects::payer::{PayerMessage, PayerReply, ask_payer};
use super::origin::Incoming;
use super::shared::shared;
use crate::channel::{Reuse, Status};
use crate::evm::{Address, B256, ChainId, parse};
use crate::gateway::route::Route;
use crate::gateway::shared::{Bounds, Shared};
use crate::money::Amount;
use crate::rail::RailId;
use crate::rail::evm::Method;
use crate::rail::evm::session::Snapshot;
use std::cell::RefCell;
use std::time::Duration;
use worker::{Context, Env};

/// How often an isolate looks something up. Each time wakes three objects at the most.
const BOUNDS: Bounds = Bounds { patience: Duration::from_secs(5), per_second: 16 };

/// What is known of a channel changes with each purchase.
const KNOWN_LIFETIME: Duration = Duration::from_secs(1);

/// Who is not known will not be soon.
const UNKNOWN_LIFETIME: Duration = Duration::from_secs(5);

/// A snapshot, and the rail and method of its channel.
pub(super) type Located = (RailId, Method, Snapshot);

std::thread_local! {
    /// Where channels stand.
    static KNOWN: RefCell<Shared<Question, Option<Located>>> = const { RefCell::new(Shared::new(BOUNDS)) };
}

/// Who is named, and what is sold to them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Question {
    name: Name,
    sold: Vec<Sold>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Channel(B256),
    /// On this chain.
    Payer(ChainId, Address),
}

/// How sessions of one method are sold on the route.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Sold {
    rail: RailId,
    method: Method,
    escrow: Address,
    /// What the least purchase costs.
    price: Amount,
    reuse: Reuse,
}

impl Question {
    /// `None` where nobody is named, or no sessions are sold.
    fn of(incoming: &Incoming, isolate: &Isolate, route: &Route) -> Option<Self> {
        let named = incoming.header("payment-session")?;
        let name = match parse::did_pkh(&named) {
            Some((chain_id, payer)) if isolate.connections().any(|connection| connection.rail.chain_id == chain_id) => {
                Name::Payer(chain_id, payer)
            }
            _ => Name::Channel(parse::hash(&named).ok()?),
        };
        let sold = route.offers.iter().filter_map(|offer| {
            let session = offer.session()?;
            let price = route.least_cost(session);
            Some(Sold { rail: offer.rail, method: session.method, escrow: session.terms.escrow, price, reuse: session.reuse })
        });
        let sold: Vec<Sold> = sold.collect();
        (!sold.is_empty()).then_some(Self { name, sold })
    }

    async fn look_up(self, env: &Env, isolate: &Isolate) -> Option<Located> {
        // The last channel of a payer, once asked for: methods of the same rail share it.
        let mut last = None;
        for sold in &self.sold {
            let Ok(connection) = isolate.connection(sold.rail) else { continue };
            let channel_id = match self.name {
                Name::Channel(channel_id) => channel_id,
                Name::Payer(chain_id, _) if chain_id != connection.rail.chain_id => continue,
                Name::Payer(_, payer) => {
                    if last.as_ref().is_none_or(|(rail, _)| *rail != sold.rail) {
                        last = Some((sold.rail, ask_payer(connection, env, payer, &PayerMessage::LastChannel).await));
                    }
                    let Some((_, Ok(PayerReply::Channel(Some((method, channel_id)))))) = &last else { continue };
                    if *method != sold.method {
                        continue;
                    }
                    *channel_id
                }
            };
            let show = ChannelMessage::Show { price: sold.price, reuse: sold.reuse };
            let reply = ask_channel(connection, env, sold.escrow, channel_id, &show).await;
            if let Ok(ChannelReply::Shown(shown)) = reply
                && shown.status == Status::Open
            {
                return Some((sold.rail, sold.method, Snapshot { channel_id, balance: shown.balance }));
            }
        }
        None
    }
}

/// The channel that a client without a credential names, itself or by its payer, if it is known here.
pub(super) async fn snapshot(isolate: &Isolate, env: &Env, context: &Context, incoming: &Incoming, route: &Route) -> Option<Located> {
    let question = Question::of(incoming, isolate, route)?;
    let looked_up = {
        let (env, question) = (env.clone(), question.clone());
        move || async move {
            let loaded = load(&env);
            let found = match loaded.as_ref() {
                Ok(isolate) => question.look_up(&env, isolate).await,
                Err(_) => None,
            };
            (found, if found.is_some() { KNOWN_LIFETIME } else { UNKNOWN_LIFETIME })
        }
    };
    shared(context, &KNOWN, question, looked_up).await.flatten()
}
