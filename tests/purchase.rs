//! A model of one payment: several requests with copies of one credential, and the payer's object between them, as
//! `src/worker/paid.rs` and `src/worker/objects/payer.rs` drive [`Purchase`]. The object dies and forgets who works for it; requests
//! die and never give back what they hold; leases run out; the settlement account is slow to say how it ended; some requests
//! come with idempotency keys.
//!
//! Bounds: up to 4 requests at a time and 80 events of 9 kinds, over up to 3 days; 2,000 schedules, drawn anew at each run.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

use alloy_primitives::{Address, B256, keccak256};
use mpp_edge::binary::{VERSION, decode, encode};
use mpp_edge::evm::erc3009::{Authorization, SignedAuthorization};
use mpp_edge::evm::key::PrivateKey;
use mpp_edge::money::Amount;
use mpp_edge::purchase::{LeaseId, Lost, MAX_CALLS, Next, Purchase, REOPENABLE, REST, Refusal, Reopened, Stage, Undelivered};
use mpp_edge::rail::evm::Asset;
use mpp_edge::rail::evm::charge::{Binding, Charge};
use mpp_edge::rail::{Payment, Reference};
use mpp_edge::settlement::{Failure, Verdict};
use mpp_edge::time::{Timestamp, UnixSeconds};
use mpp_edge::wire::idempotency::Key;
use proptest::prelude::*;
use std::sync::LazyLock;
use std::time::Duration;

const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const LIFETIME: Duration = Duration::from_secs(300);
const RESUMABLE: Duration = Duration::from_secs(24 * 60 * 60);
const LEASE: Duration = Duration::from_secs(65);
const TRANSACTION: B256 = B256::repeat_byte(7);

/// No key, one key on two requests, and another key on the first of them.
static KEYS: LazyLock<[Option<Key>; 4]> = LazyLock::new(|| {
    let key = |name, body: &str| Some(Key::new("a", name, "POST", "/v1/answers", keccak256(body)));
    [None, key("k", "one"), key("k", "two"), key("l", "one")]
});

static EXPIRES: LazyLock<Timestamp> = LazyLock::new(|| START.saturating_add(LIFETIME));

static CHARGE: LazyLock<Payment> = LazyLock::new(|| {
    let key = PrivateKey::parse("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80").unwrap();
    let authorization = Authorization {
        from: key.address(),
        to: Address::repeat_byte(2),
        value: Amount::from_base_units(10_000),
        valid_after: UnixSeconds::new(0),
        valid_before: START.saturating_add(LIFETIME).seconds(),
        nonce: B256::repeat_byte(3),
    };
    Payment::Evm(Charge {
        binding: Binding::Challenge { id: "a".into(), expires: *EXPIRES, binds_nonce: true },
        asset: Asset { chain_id: 1, token: Address::repeat_byte(1) },
        signed: SignedAuthorization { authorization, signature: key.sign(keccak256(b"x")) },
    })
});

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    /// Inside the object: the transfer is being simulated. `reserve` as in the shell's message; `fetched` is the lease under
    /// which the origin has answered a reservation.
    Simulating {
        reserve: bool,
        fetched: Option<LeaseId>,
        listening: bool,
    },
    /// Inside the object: the settlement account is being asked. Nobody may be listening for the answer any more.
    Settling {
        fetched: Option<LeaseId>,
        listening: bool,
    },
    /// Outside: the origin is being called for a settled payment, or has answered.
    Fetching {
        lease: LeaseId,
    },
    /// Outside: the origin is being called for a reserved payment.
    FetchingReserved {
        lease: LeaseId,
    },
    /// The response is on its way to the client.
    Streaming {
        lease: LeaseId,
    },
    Gone,
}

#[derive(Clone, Debug)]
enum Event {
    /// A copy of the credential arrives, on a route that settles first or after the origin.
    Arrive {
        reserve: bool,
        key: usize,
    },
    /// A request goes on; `well` says whether what it waited for went well. (The origin does not when it fails.)
    Proceed {
        which: usize,
        well: bool,
    },
    /// A request's isolate dies: it gives nothing back, and what it asked of the object goes on.
    Die {
        which: usize,
    },
    /// A request does not wait any longer for the object or the origin, and gives back what it holds; before the origin was
    /// called, if that is so.
    GiveUp {
        which: usize,
        called: bool,
    },
    /// The object dies, and with it what was going on inside.
    Restart,
    /// The account reaches its verdict on what it was asked.
    Conclude {
        settled: bool,
    },
    Pass {
        seconds: u64,
    },
    /// The object forgets what it may.
    Prune,
}

struct World {
    now: Timestamp,
    stored: Option<Vec<u8>>,
    at_work: bool,
    requests: Vec<Request>,
    asked: bool,
    verdict: Option<Verdict>,
    /// Responses handed out and not taken back.
    delivered: u32,
    /// Calls of the origin that count, and all that it did not fail.
    counted: u8,
    unfailed: u8,
    /// When it was delivered first, under which key, and how often that was repeated since.
    delivered_at: Option<Timestamp>,
    delivered_key: Option<Key>,
    repeated: u8,
    /// The key of the request that was taken on last: who holds the payment holds it for that one.
    taken_on: Option<Key>,
}

impl World {
    fn new() -> Self {
        Self {
            now: START,
            stored: None,
            at_work: false,
            requests: Vec::new(),
            asked: false,
            verdict: None,
            delivered: 0,
            counted: 0,
            unfailed: 0,
            delivered_at: None,
            delivered_key: None,
            repeated: 0,
            taken_on: None,
        }
    }

    fn payment(&self) -> Option<Purchase> {
        self.stored.as_ref().map(|bytes| decode(bytes).unwrap())
    }

    fn save(&mut self, payment: &Purchase) {
        self.stored = Some(encode(payment).unwrap());
    }

    /// Reads, changes and writes.
    fn change<T>(&mut self, change: impl FnOnce(&mut Purchase) -> T) -> Option<T> {
        let mut payment = self.payment()?;
        let result = change(&mut payment);
        self.save(&payment);
        Some(result)
    }

    fn arrive(&mut self, reserve: bool, key: Option<Key>) -> Result<(), Refusal> {
        // The gateway does not even ask for a challenge older than this.
        if self.now >= EXPIRES.saturating_add(RESUMABLE) {
            return Ok(());
        }
        let (payment, next) = Purchase::present(self.payment(), CHARGE.clone(), key, self.now, self.at_work)?;
        self.save(&payment);
        if let Next::Replay { reference } = next {
            assert!(self.is_paid_by(&reference), "repeated unpaid");
            assert!(self.delivered == 1 && key.is_some() && key == self.delivered_key, "repeated what was not delivered under the key");
            self.called();
            self.repeated += 1;
            return Ok(());
        }
        self.taken_on = key;
        let request = match next {
            Next::Prepare => {
                assert!(self.verdict.is_none(), "a payment with a verdict is begun again");
                self.at_work = true;
                Request::Simulating { reserve, fetched: None, listening: true }
            }
            Next::Settle { gas_limit } => self.settle(gas_limit, None, true),
            Next::Deliver => self.hand_out(),
            Next::Replay { .. } => Request::Gone,
        };
        self.requests.push(request);
        Ok(())
    }

    fn is_paid_by(&self, reference: &Reference) -> bool {
        self.verdict == Some(Verdict::Settled { transaction: TRANSACTION }) && *reference == TRANSACTION.into()
    }

    /// Somebody may call the origin from here on.
    fn called(&mut self) {
        self.counted += 1;
        self.unfailed += 1;
    }

    fn settle(&mut self, gas_limit: Option<u64>, fetched: Option<LeaseId>, listening: bool) -> Request {
        self.change(|payment| payment.submit(gas_limit));
        self.at_work = true;
        self.asked = true;
        Request::Settling { fetched, listening }
    }

    fn hand_out(&mut self) -> Request {
        let now = self.now;
        match self.change(|payment| payment.hand_over(now, LEASE)) {
            Some(Ok((lease, _))) => {
                self.called();
                Request::Fetching { lease }
            }
            _ => Request::Gone,
        }
    }

    fn proceed(&mut self, request: Request, well: bool) -> Request {
        match request {
            Request::Simulating { .. } if !well => {
                self.at_work = false;
                self.keep_or_forget(Purchase::forgo);
                Request::Gone
            }
            Request::Simulating { reserve: true, fetched: None, listening } => {
                self.at_work = false;
                let now = self.now;
                let lease = self.change(|payment| payment.reserve(now, LEASE)).unwrap().unwrap();
                self.called();
                if listening { Request::FetchingReserved { lease } } else { Request::Gone }
            }
            Request::Simulating { fetched, listening, .. } => self.settle(Some(100_000), fetched, listening),
            Request::Settling { fetched, listening } => {
                self.at_work = false;
                let Some(verdict) = self.verdict.filter(|_| well) else { return Request::Gone };
                self.change(|payment| payment.conclude(verdict));
                let now = self.now;
                let next = match (verdict, fetched) {
                    (Verdict::Failed(_), _) => Request::Gone,
                    (Verdict::Settled { .. }, Some(lease)) => match self.change(|payment| payment.hand_back(lease, now, LEASE)) {
                        Some(Ok(_)) => Request::Fetching { lease },
                        _ => Request::Gone,
                    },
                    (Verdict::Settled { .. }, None) => self.hand_out(),
                };
                if listening { next } else { Request::Gone }
            }
            Request::Fetching { lease } if well => self.deliver(lease),
            Request::FetchingReserved { lease } if well => {
                if self.change(|payment| payment.resume(lease)) == Some(Ok(())) {
                    assert!(!self.at_work, "two work on one payment");
                    self.at_work = true;
                    return Request::Simulating { reserve: true, fetched: Some(lease), listening: true };
                }
                Request::Gone
            }
            Request::Fetching { lease } | Request::FetchingReserved { lease } => {
                self.release(lease, Undelivered::Failed);
                Request::Gone
            }
            Request::Streaming { lease } => {
                if !well {
                    let now = self.now;
                    match self.change(|payment| payment.reopen(lease, now)) {
                        Some(Ok(())) => {
                            assert!(self.repeated == 0, "given back after it was repeated");
                            self.delivered -= 1;
                        }
                        // Unless it was forgotten meanwhile, who delivered can take back, a few times and for an hour.
                        Some(Err(Lost)) => {
                            let in_time = self.delivered_at.is_some_and(|at| self.now.since(at) < REOPENABLE);
                            assert!(self.counted == MAX_CALLS || !in_time || self.repeated > 0, "refused too soon");
                        }
                        None => {}
                    }
                }
                Request::Gone
            }
            Request::Gone => Request::Gone,
        }
    }

    fn keep_or_forget(&mut self, change: impl FnOnce(Purchase) -> Option<Purchase>) {
        if let Some(payment) = self.payment() {
            self.stored = None;
            if let Some(payment) = change(payment) {
                self.save(&payment);
            }
        }
    }

    fn release(&mut self, lease: LeaseId, how: Undelivered) {
        let (before, now) = (self.stored.clone(), self.now);
        self.keep_or_forget(|payment| payment.release(lease, how, now));
        if how != Undelivered::Unfinished {
            self.unfailed -= 1;
            // Who does not hold it any more has nothing to say about it.
            self.counted -= u8::from(before != self.stored);
        }
    }

    fn deliver(&mut self, lease: LeaseId) -> Request {
        let now = self.now;
        match self.change(|payment| payment.deliver(lease, now)) {
            Some(Ok(reference)) => {
                self.delivered_at.get_or_insert(now);
                self.delivered_key = self.taken_on;
                assert!(self.is_paid_by(&reference), "delivered unpaid");
                self.delivered += 1;
                Request::Streaming { lease }
            }
            _ => Request::Gone,
        }
    }

    fn happen(&mut self, event: &Event) {
        match *event {
            Event::Arrive { reserve, key } => {
                if self.requests.len() < 4 {
                    let _ = self.arrive(reserve, KEYS[key]);
                }
            }
            Event::Proceed { which, well } if !self.requests.is_empty() => {
                let at = which % self.requests.len();
                let before = self.requests[at];
                self.requests[at] = self.proceed(before, well);
            }
            Event::Die { which } | Event::GiveUp { which, .. } if !self.requests.is_empty() => {
                let at = which % self.requests.len();
                let how = match event {
                    Event::GiveUp { called: false, .. } => Some(Undelivered::Uncalled),
                    Event::GiveUp { .. } => Some(Undelivered::Unfinished),
                    _ => None,
                };
                let lease = match &mut self.requests[at] {
                    Request::Simulating { listening, fetched, .. } | Request::Settling { listening, fetched } => {
                        *listening = false;
                        // The origin was called for it.
                        fetched.map(|lease| (lease, Some(Undelivered::Unfinished)))
                    }
                    Request::Streaming { .. } | Request::Gone => None,
                    Request::Fetching { lease } | Request::FetchingReserved { lease } => {
                        let lease = *lease;
                        self.requests[at] = Request::Gone;
                        Some((lease, how))
                    }
                };
                if let Some((lease, Some(how))) = lease.filter(|_| how.is_some()) {
                    self.release(lease, how);
                }
            }
            Event::Proceed { .. } | Event::Die { .. } | Event::GiveUp { .. } => {}
            Event::Restart => {
                self.at_work = false;
                for request in &mut self.requests {
                    if let Request::Simulating { .. } | Request::Settling { .. } = request {
                        *request = Request::Gone;
                    }
                }
            }
            Event::Conclude { settled } if self.asked && self.verdict.is_none() => {
                self.verdict =
                    Some(if settled { Verdict::Settled { transaction: TRANSACTION } } else { Verdict::Failed(Failure::Reverted) });
            }
            Event::Conclude { .. } => {}
            Event::Pass { seconds } => self.now = self.now.saturating_add(Duration::from_secs(seconds)),
            Event::Prune => {
                let forget_at: Option<Timestamp> = self.payment().and_then(|payment| payment.forget_at().into());
                if forget_at.is_some_and(|at| at <= self.now) && !self.at_work {
                    self.stored = None;
                }
            }
        }
        self.requests.retain(|request| *request != Request::Gone);
    }

    fn check(&self) -> Result<(), TestCaseError> {
        prop_assert!(self.delivered <= 1, "delivered twice");
        prop_assert!(self.unfailed <= MAX_CALLS, "the origin was called {} times", self.unfailed);
        prop_assert!(self.repeated < MAX_CALLS, "repeated {} times", self.repeated);
        let stage = self.payment().map(|payment| payment.stage().clone());
        let resumable = self.now < EXPIRES.saturating_add(RESUMABLE);
        if self.asked && resumable && self.now < *EXPIRES {
            prop_assert!(stage.is_some(), "forgotten while it may be on chain");
        }
        if self.asked && resumable && self.verdict.is_some_and(|verdict| matches!(verdict, Verdict::Settled { .. })) && self.delivered == 0
        {
            prop_assert!(stage.is_some(), "paid, not delivered, and forgotten");
        }
        let counts_as_delivered = matches!(stage, Some(Stage::Delivered { .. }));
        prop_assert!(!counts_as_delivered || self.delivered == 1, "nobody was given what counts as delivered");
        Ok(())
    }

    /// Everybody is gone, leases have run out: what was paid and not delivered can be fetched now, and nothing else.
    fn aftermath(&mut self) -> Result<(), TestCaseError> {
        self.happen(&Event::Restart);
        self.requests.clear();
        self.happen(&Event::Pass { seconds: LEASE.max(REST).as_secs() });
        if self.now >= EXPIRES.saturating_add(RESUMABLE) {
            return Ok(());
        }
        let paid = matches!(self.verdict, Some(Verdict::Settled { .. }));
        let before = self.delivered;
        let mut fetched = false;
        let used_up = self.counted >= MAX_CALLS;
        if self.arrive(false, None).is_ok() {
            while let Some(request) = self.requests.pop() {
                let next = self.proceed(request, true);
                fetched |= matches!(next, Request::Streaming { .. });
                if !matches!(next, Request::Gone | Request::Streaming { .. }) {
                    self.requests.push(next);
                }
            }
        }
        prop_assert_eq!(fetched, paid && before == 0 && !used_up, "{:?}", self.payment());
        self.check()
    }
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (any::<bool>(), 0usize..4).prop_map(|(reserve, key)| Event::Arrive { reserve, key }),
        10 => (0usize..4, prop::bool::weighted(0.8)).prop_map(|(which, well)| Event::Proceed { which, well }),
        1 => (0usize..4).prop_map(|which| Event::Die { which }),
        2 => (0usize..4, any::<bool>()).prop_map(|(which, called)| Event::GiveUp { which, called }),
        1 => Just(Event::Restart),
        2 => any::<bool>().prop_map(|settled| Event::Conclude { settled }),
        3 => prop_oneof![8 => 0u64..40, 1 => 0u64..400, 1 => 0u64..100_000].prop_map(|seconds| Event::Pass { seconds }),
        1 => Just(Event::Prune),
    ]
}

/// Who changes what is stored raises `mpp_edge::binary::VERSION`, and pins the new form here.
#[test]
fn the_stored_form_is_that_of_its_version() {
    let (mut payment, _) = Purchase::present(None, CHARGE.clone(), KEYS[1], START, false).unwrap();
    payment.submit(Some(100_000));
    payment.conclude(Verdict::Settled { transaction: TRANSACTION });
    payment.hand_over(START, LEASE).unwrap();
    let mut reopened = Reopened::default();
    reopened.note(START);
    let forms = [encode(&payment), encode(&reopened)].map(|form| keccak256(form.unwrap()).to_string());
    assert_eq!(
        (VERSION, forms[0].as_str(), forms[1].as_str()),
        (
            4,
            "0xf3f70bfbf82160b212e85be7cc24a0fa2111063d565dacec3625b03f09574c13",
            "0xb38f0e93425451370086812ceabfd095f8ab86bf33c2577c953d2bc69e803f09"
        )
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_payment_buys_one_delivery(events in prop::collection::vec(event(), 1..80)) {
        let mut world = World::new();
        for event in &events {
            world.happen(event);
            world.check()?;
        }
        world.aftermath()?;
    }
}

/// The lease under which a reserved payment is settled is the one that delivers, and that can take the delivery back.
#[test]
fn a_reservation_that_was_delivered_can_be_reopened() {
    let (mut payment, _) = Purchase::present(None, CHARGE.clone(), KEYS[1], START, false).unwrap();
    let lease = payment.reserve(START, LEASE).unwrap();
    payment.resume(lease).unwrap();
    payment.submit(Some(1));
    payment.conclude(Verdict::Settled { transaction: TRANSACTION });
    assert_eq!(payment.hand_back(lease, START, LEASE), Ok(TRANSACTION.into()));
    assert_eq!(payment.deliver(lease, START), Ok(TRANSACTION.into()));
    assert_eq!(payment.reopen(lease, START), Ok(()));
}
