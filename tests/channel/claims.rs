//! Who may do what to a channel, and what is done for a claim in which order: a chain that can be told what to say stands in for
//! everything that is asked.

use super::fixture::*;
use alloy_primitives::{Address, B256, U256};
use mpp_edge::channel::{
    Action, Addition, Answer, Bought, Channel, Claim, Claiming, Denied, Event, Expected, Found, Order, PresentedVoucher, Proof, Refusal,
    Reuse, Rules, SponsoredDeposit, Status, Task, Unfit,
};
use mpp_edge::evm::erc3009::{Authorization, SignedAuthorization};
use mpp_edge::evm::escrow::{EscrowFacts, OnChain, Opening, ToppingUp};
use mpp_edge::evm::reading::Reading;
use mpp_edge::money::Amount;
use mpp_edge::rail::evm::Asset;
use mpp_edge::settlement::{Failure, Verdict};
use mpp_edge::time::{Timestamp, UnixSeconds};
use mpp_edge::wire::problem::{Problem, ProblemKind};
use proptest::prelude::*;
use std::time::Duration;

const NOW: Timestamp = Timestamp::from_millis(START * 1000);
const CLIENTS: B256 = B256::repeat_byte(0xc1);

fn signed(from: Address, value: u128) -> SignedAuthorization {
    let [valid_after, valid_before] = [0, START + 60].map(UnixSeconds::new);
    let authorization = Authorization { from, to: ESCROW, value: amount(value), valid_after, valid_before, nonce: ID };
    SignedAuthorization { authorization, signature: voucher(1).signature }
}

fn opening(value: u128) -> SponsoredDeposit {
    let signed = signed(PAYER, value);
    SponsoredDeposit::Open(Opening { escrow: ESCROW, token: TOKEN, payee: PAYEE, salt: ID, authorized_signer: SIGNER, signed })
}

fn addition(value: u128) -> SponsoredDeposit {
    SponsoredDeposit::TopUp(ToppingUp { escrow: ESCROW, token: TOKEN, channel_id: ID, salt: ID, signed: signed(PAYER, value) })
}

fn claim(action: Action, presented: Option<PresentedVoucher>) -> Claim {
    let proof = Proof { presented, source: None, sponsored: None };
    Claim { escrow: ESCROW, channel_id: ID, action, proof, order: None, price: amount(10), reuse: Reuse::Once }
}

/// A claim that buys, and brings this along.
fn buys(total: u128, price: u128) -> Claim {
    Claim { order: Some(once(price)), ..claim(Action::Voucher, Some(presented(total))) }
}

fn sponsored(deposit: SponsoredDeposit, claim: Claim) -> Claim {
    Claim { proof: Proof { sponsored: Some(deposit), ..claim.proof }, ..claim }
}

const OPEN: Action = Action::Open { transaction: Some(CLIENTS) };
const OPEN_FOR_CLIENT: Action = Action::Open { transaction: None };
const TOP_UP_FOR_CLIENT: Action = Action::TopUp { transaction: None };

fn top_up(value: u128) -> Action {
    Action::TopUp { transaction: Some((CLIENTS, amount(value))) }
}

fn open_for_client(value: u128, total: u128) -> Claim {
    sponsored(opening(value), claim(OPEN_FOR_CLIENT, Some(presented(total))))
}

fn top_up_for_client(value: u128) -> Claim {
    sponsored(addition(value), claim(TOP_UP_FOR_CLIENT, None))
}

/// All that is asked.
#[derive(Clone)]
struct World {
    ledger: Option<Channel>,
    shown: OnChain,
    /// What it shows once a deposit was brought in.
    after: OnChain,
    facts: EscrowFacts,
    has_code: bool,
    is_young: bool,
    unreachable: bool,
    sponsors: bool,
    begun: bool,
    verdict: Option<Verdict>,
    balance: Option<U256>,
    least_sponsored: Amount,
    expected: Expected,
    /// Another request takes the channel on while the chain is read.
    overtaken: bool,
    /// What was asked, in order.
    tasks: Vec<&'static str>,
    transaction: Option<B256>,
}

fn adopted(on_chain: OnChain) -> Channel {
    Channel::adopt(ID, &seen(on_chain), &FACTS, &EXPECTED, NOW).unwrap()
}

const fn name(task: &Task) -> &'static str {
    match task {
        Task::AskWhetherSponsored => "sponsored?",
        Task::Find { opening: None } => "find",
        Task::Find { opening: Some(CLIENTS) } => "find by the client's",
        Task::Find { opening: Some(_) } => "find by ours",
        Task::AskWhetherBegun(_) => "begun?",
        Task::BringAbout(_) => "bring about",
        Task::Diagnose { .. } => "diagnose",
        Task::TakeOn(_) => "take on",
        Task::Inspect => "inspect",
        Task::Verify(_) => "verify",
        Task::Hear(_) => "hear",
        Task::Close(_) => "close",
        Task::Step(_) => "step",
        Task::Done => "done",
    }
}

impl World {
    /// One where the escrow shows this, and the channel is not known.
    fn unknown(shown: OnChain) -> Self {
        Self {
            ledger: None,
            shown,
            after: shown,
            facts: FACTS,
            has_code: false,
            is_young: false,
            unreachable: false,
            sponsors: true,
            begun: false,
            verdict: Some(DONE),
            balance: Some(U256::MAX),
            least_sponsored: amount(50),
            expected: EXPECTED,
            overtaken: false,
            tasks: Vec::new(),
            transaction: None,
        }
    }

    /// One where it is known.
    fn known(shown: OnChain) -> Self {
        Self { ledger: Some(adopted(shown)), ..Self::unknown(shown) }
    }

    fn observe(&mut self) {
        let reading = Reading { block: BLOCK, on_chain: self.shown, signer_has_code: self.has_code };
        self.step(Event::Observed(reading)).unwrap();
    }

    fn step(&mut self, event: Event) -> Result<Answer, Refusal> {
        let (ledger, outcome) = self.ledger.take().unwrap().step(event, &POLICY, NOW);
        self.ledger = Some(ledger);
        outcome.answer
    }

    fn find(&mut self) -> Result<Found, Problem> {
        if self.overtaken {
            self.ledger.get_or_insert_with(|| adopted(self.after));
        }
        if self.unreachable {
            return Err(Problem::unavailable("the chain cannot be asked"));
        }
        let reading = Reading { block: BLOCK, on_chain: self.shown, signer_has_code: self.has_code };
        Ok(Found { reading, facts: self.facts, is_young: self.is_young })
    }

    fn serve(&mut self, claim: &Claim) -> Result<Answer, Denied> {
        let rules = Rules { expected: self.expected, policy: &POLICY, least_sponsored: self.least_sponsored };
        let mut claiming = Claiming::new(claim, rules);
        let served = loop {
            let task = match claiming.next(self.ledger.as_ref(), NOW) {
                Ok(task) => task,
                Err(denied) => break Err(denied),
            };
            assert!(self.tasks.len() < 12, "{:?}", self.tasks);
            self.tasks.push(name(&task));
            match task {
                Task::AskWhetherSponsored => claiming.sponsors(self.sponsors),
                Task::Find { .. } => claiming.found(self.find()),
                Task::AskWhetherBegun(_) => claiming.begun(self.begun),
                Task::BringAbout(purpose) => {
                    assert_eq!(Some(purpose), claim.proof.sponsored.map(|deposit| deposit.purpose()));
                    self.shown = self.after;
                    claiming.brought_about(self.verdict);
                }
                Task::Diagnose { payer, .. } => {
                    assert_eq!(payer, PAYER);
                    claiming.diagnosed(self.balance);
                }
                Task::TakeOn(ledger) => {
                    assert!(self.ledger.is_none());
                    self.ledger = Some(*ledger);
                }
                Task::Inspect => self.observe(),
                Task::Verify(Addition { transaction, .. }) => {
                    assert_eq!(transaction, TRANSACTION);
                    self.observe();
                }
                Task::Hear(Addition { transaction, .. }) => {
                    assert_eq!(transaction, CLIENTS);
                    self.observe();
                }
                Task::Close(presented) => break self.step(Event::Close(presented)).map_err(Denied::from),
                Task::Step(event) => break self.step(event).map_err(Denied::from),
                Task::Done => break Ok(Answer::Noted),
            }
        };
        self.transaction = claiming.transaction();
        served
    }

    /// Asserts that a claim is served after these, and names this transaction.
    fn serves(mut self, claim: &Claim, tasks: &[&str], transaction: Option<B256>) -> Self {
        self.serve(claim).unwrap();
        assert_eq!((self.tasks.as_slice(), self.transaction), (tasks, transaction), "{claim:?}");
        self
    }

    /// Asserts that a claim is refused after these.
    fn denies(mut self, claim: &Claim, tasks: &[&str], denied: impl Into<Denied>) {
        assert_eq!(self.serve(claim), Err(denied.into()));
        assert_eq!(self.tasks, tasks, "{claim:?}");
    }

    /// The same, where only the kind of the problem matters.
    fn refuses(mut self, claim: &Claim, tasks: &[&str], kind: ProblemKind) -> Problem {
        let Err(Denied::Problem(problem)) = self.serve(claim) else { panic!("{claim:?} after {:?}", self.tasks) };
        assert_eq!((problem.kind, self.tasks.as_slice()), (kind, tasks), "{claim:?}");
        problem
    }
}

fn open() -> OnChain {
    on_chain(100, 0)
}

#[test]
fn what_is_known_is_decided_without_asking_anybody() {
    World::known(open()).serves(&buys(10, 10), &["step"], None);
    World::known(open()).serves(&claim(Action::Voucher, Some(presented(10))), &["step"], None);
    World::known(open()).serves(&claim(OPEN, Some(presented(10))), &["step"], None);
    World::known(open()).serves(&claim(Action::Close, Some(presented(10))), &["close"], None);
    World::known(open()).serves(&open_for_client(100, 10), &["step"], None);
}

#[test]
fn what_is_not_known_is_taken_on_as_the_chain_shows_it_and_then_decided() {
    let world = World::unknown(open()).serves(&buys(10, 10), &["find", "take on", "step"], None);
    assert_eq!(world.ledger.unwrap().best(), Some(voucher(10)));
    World::unknown(open()).serves(&claim(OPEN, Some(presented(10))), &["find by the client's", "take on", "step"], None);
    World::unknown(open()).serves(&claim(Action::Close, Some(presented(10))), &["find", "take on", "close"], None);
}

#[test]
fn c13_a_transaction_that_anybody_can_name_brings_no_channel_here() {
    World::unknown(open()).denies(&claim(top_up(50), None), &[], Refusal::Unknown);
    World::known(open()).serves(&claim(top_up(50), None), &["hear", "done"], Some(CLIENTS));
}

#[test]
fn c13_an_addition_to_a_channel_that_cannot_be_used_is_heard_of_and_refused() {
    let closing = World { ledger: Some(adopted(open())), ..World::unknown(requested(open())) };
    closing.denies(&claim(top_up(50), None), &["hear"], Refusal::Closing);
}

#[test]
fn a_sponsored_opening_is_brought_in_found_by_our_transaction_and_decided() {
    let tasks = ["sponsored?", "find", "bring about", "find by ours", "take on", "step"];
    let world = World { after: open(), ..World::unknown(ABSENT) };
    world.clone().serves(&open_for_client(100, 10), &tasks, Some(TRANSACTION));
    let world = world.serves(&sponsored(opening(100), buys(30, 30)), &tasks, Some(TRANSACTION));
    assert_eq!(world.ledger.unwrap().deposit(), amount(100));
}

#[test]
fn a_sponsored_addition_is_brought_in_verified_and_decided() {
    let world = World { after: on_chain(150, 0), ..World::known(open()) };
    let served = world.clone().serves(&top_up_for_client(50), &["sponsored?", "bring about", "verify", "done"], Some(TRANSACTION));
    assert_eq!(served.ledger.unwrap().deposit(), amount(150));
    let buys = sponsored(addition(50), buys(150, 150));
    world.serves(&buys, &["sponsored?", "bring about", "verify", "step"], Some(TRANSACTION));
    let world = World { after: on_chain(150, 0), ..World::unknown(open()) };
    let tasks = ["sponsored?", "find", "bring about", "find", "take on", "verify", "done"];
    world.serves(&top_up_for_client(50), &tasks, Some(TRANSACTION));
}

#[test]
fn what_somebody_else_has_brought_in_is_looked_up() {
    for (verdict, balance, tasks) in [
        (Some(Verdict::Failed(Failure::UsedElsewhere)), Some(U256::ZERO), &["sponsored?", "bring about", "inspect", "done"][..]),
        (None, None, &["sponsored?", "bring about", "diagnose", "inspect", "done"]),
    ] {
        let world = World { after: on_chain(150, 0), verdict, balance, ..World::known(open()) };
        let served = world.serves(&top_up_for_client(50), tasks, None);
        assert_eq!(served.ledger.unwrap().deposit(), amount(150));
    }
    let world = World { after: open(), verdict: Some(Verdict::Failed(Failure::UsedElsewhere)), ..World::unknown(ABSENT) };
    world.serves(&open_for_client(100, 10), &["sponsored?", "find", "bring about", "find", "take on", "step"], None);
}

#[test]
fn a_deposit_that_fails_is_told_by_its_reason() {
    let tasks = ["sponsored?", "bring about"];
    for failure in [Failure::Reverted, Failure::Refused, Failure::Expired, Failure::NotMined] {
        let world = World { verdict: Some(Verdict::Failed(failure)), ..World::known(open()) };
        world.denies(&top_up_for_client(50), &tasks, failure.session_problem());
    }
    for (balance, kind) in [(49, ProblemKind::PaymentInsufficient), (50, ProblemKind::VerificationFailed)] {
        let world = World { verdict: None, balance: Some(U256::from(balance)), ..World::known(open()) };
        world.refuses(&top_up_for_client(50), &["sponsored?", "bring about", "diagnose"], kind);
    }
}

#[test]
fn a28_a_deposit_is_sponsored_where_any_is_and_from_the_least_on() {
    let world = World { sponsors: false, ..World::known(open()) };
    world.refuses(&top_up_for_client(50), &["sponsored?"], ProblemKind::MethodUnsupported);
    World::known(open()).refuses(&top_up_for_client(49), &["sponsored?"], ProblemKind::PaymentInsufficient);
    World::known(open()).serves(&top_up_for_client(50), &["sponsored?", "bring about", "verify", "done"], Some(TRANSACTION));
    World::unknown(ABSENT).refuses(&open_for_client(49, 10), &["sponsored?"], ProblemKind::PaymentInsufficient);
}

/// Claims that are refused though their money were there, and what was asked until that was known.
fn hopeless() -> Vec<(World, Claim, &'static [&'static str], Denied)> {
    let unknown = || World { after: open(), ..World::unknown(ABSENT) };
    let stranger = PresentedVoucher { signer: STRANGER, ..presented(10) };
    let foreign = |claim: Claim| Claim { proof: Proof { source: Some(STRANGER), ..claim.proof }, ..claim };
    let elsewhere = Opening {
        payee: STRANGER,
        ..match opening(100) {
            SponsoredDeposit::Open(opening) => opening,
            SponsoredDeposit::TopUp(_) => panic!(),
        }
    };
    let facts = EscrowFacts { grace_period: Duration::from_secs(1), ..FACTS };
    vec![
        // By what the client says itself.
        (unknown(), open_for_client(100, 101), &["sponsored?"], Refusal::ExceedsDeposit.into()),
        (unknown(), sponsored(opening(100), buys(30, 31)), &["sponsored?"], Refusal::Insufficient.into()),
        (unknown(), sponsored(opening(100), claim(OPEN_FOR_CLIENT, Some(stranger))), &["sponsored?"], Refusal::SignerMismatch.into()),
        (unknown(), foreign(open_for_client(100, 10)), &["sponsored?"], Refusal::ForeignSource.into()),
        (unknown(), sponsored(SponsoredDeposit::Open(elsewhere), buys(10, 10)), &["sponsored?"], Unfit::OtherPayee.into()),
        (unknown(), Claim { price: amount(101), ..open_for_client(100, 10) }, &["sponsored?"], Unfit::TooSmall.into()),
        // By what is known of the channel.
        (World::known(open()), sponsored(addition(50), buys(151, 1)), &["sponsored?"], Refusal::ExceedsDeposit.into()),
        (World::known(open()), sponsored(addition(50), buys(150, 151)), &["sponsored?"], Refusal::Insufficient.into()),
        // By what the chain says.
        (World { has_code: true, ..unknown() }, open_for_client(100, 10), &["sponsored?", "find"], Unfit::SignerHasCode.into()),
        (World { facts, ..unknown() }, open_for_client(100, 10), &["sponsored?", "find"], Denied::Misfit(Unfit::GracePeriod)),
        (World::unknown(FINALIZED), open_for_client(100, 10), &["sponsored?", "find"], Refusal::Closed.into()),
        (World::unknown(ABSENT), top_up_for_client(50), &["sponsored?", "find"], Unfit::Absent.into()),
        (World::unknown(requested(open())), top_up_for_client(50), &["sponsored?", "find"], Unfit::CloseRequested.into()),
        (World::unknown(open()), sponsored(addition(50), buys(151, 1)), &["sponsored?", "find"], Refusal::ExceedsDeposit.into()),
    ]
}

#[test]
fn a28_nobody_pays_gas_for_who_is_refused_all_the_same() {
    for (world, claim, asked, denied) in hopeless() {
        let world = World { expected: Expected { price: claim.price, ..world.expected }, ..world };
        world.denies(&claim, &[asked, &["begun?"]].concat(), denied);
    }
    let world = World { unreachable: true, ..World::unknown(ABSENT) };
    world.denies(&open_for_client(100, 10), &["sponsored?", "find", "begun?"], Problem::unavailable("the chain cannot be asked"));
}

#[test]
fn what_was_begun_is_finished_and_told_to_the_ledger() {
    let world = World { begun: true, after: on_chain(150, 0), ..World::known(open()) };
    let mut world = World { tasks: Vec::new(), ..world };
    assert_eq!(world.serve(&sponsored(addition(50), buys(151, 1))), Err(Refusal::ExceedsDeposit.into()));
    assert_eq!(world.tasks, ["sponsored?", "begun?", "bring about", "verify", "step"]);
    assert_eq!(world.ledger.unwrap().deposit(), amount(150));
    let world = World { begun: true, unreachable: false, after: open(), ..World::unknown(ABSENT) };
    let mut world = World { has_code: true, ..world };
    assert_eq!(world.serve(&open_for_client(100, 10)), Err(Unfit::SignerHasCode.into()));
    assert_eq!(world.tasks, ["sponsored?", "find", "begun?", "bring about", "find by ours"]);
}

#[test]
fn who_cannot_have_signed_for_a_channel_gets_nothing_done_for_it() {
    let stranger = PresentedVoucher { signer: STRANGER, ..presented(10) };
    let claims = [
        claim(Action::Voucher, Some(stranger)),
        claim(OPEN, Some(stranger)),
        claim(Action::Close, Some(stranger)),
        sponsored(addition(50), claim(Action::Voucher, Some(stranger))),
        sponsored(opening(50), claim(OPEN_FOR_CLIENT, Some(stranger))),
    ];
    for claim in claims {
        World::known(open()).denies(&claim, &[], Refusal::SignerMismatch);
        let foreign = Claim { proof: Proof { source: Some(STRANGER), presented: Some(presented(10)), ..claim.proof }, ..claim };
        World::known(open()).denies(&foreign, &[], Refusal::ForeignSource);
    }
    let source = |source| Proof { presented: None, source: Some(source), sponsored: None };
    World::known(open()).denies(&Claim { proof: source(STRANGER), ..claim(top_up(1), None) }, &[], Refusal::ForeignSource);
    for known in [PAYER, SIGNER] {
        World::known(open()).serves(&Claim { proof: source(known), ..claim(top_up(1), None) }, &["hear", "done"], Some(CLIENTS));
    }
}

#[test]
fn who_cannot_have_signed_for_a_channel_does_not_bring_it_here() {
    let stranger = claim(Action::Voucher, Some(PresentedVoucher { signer: STRANGER, ..presented(10) }));
    let mut world = World::unknown(open());
    assert_eq!(world.serve(&stranger), Err(Refusal::SignerMismatch.into()));
    assert_eq!((world.tasks, world.ledger.is_none()), (vec!["find"], true));
}

#[test]
fn of_a_closed_channel_only_its_end_is_told() {
    let mut closed = World::known(open());
    closed.shown = FINALIZED;
    closed.observe();
    assert_eq!(closed.ledger.as_ref().unwrap().status(), Status::Closed { transaction: None });
    for claim in [buys(10, 10), claim(OPEN, Some(presented(10))), claim(top_up(5), None), top_up_for_client(50)] {
        closed.clone().denies(&claim, &[], Refusal::Closed);
    }
    closed.clone().denies(&claim(Action::Close, Some(presented(10))), &["close"], Refusal::Closed);
    // Whomever it paid.
    let expected = Expected { payee: STRANGER, ..EXPECTED };
    World { expected, ..closed }.denies(&claim(Action::Close, Some(presented(10))), &["close"], Refusal::Closed);
}

#[test]
fn a_channel_of_an_earlier_configuration_is_no_good_for_anything() {
    let claims = [buys(10, 10), claim(Action::Close, Some(presented(10))), claim(top_up(5), None), top_up_for_client(50)];
    for expected in [Expected { payee: STRANGER, ..EXPECTED }, Expected { asset: Asset { token: STRANGER, ..ASSET }, ..EXPECTED }] {
        for claim in &claims {
            World { expected, ..World::known(open()) }.denies(claim, &[], Refusal::Outdated);
        }
    }
}

#[test]
fn what_cannot_be_taken_on_is_told_by_its_reason() {
    let voucher = buys(10, 10);
    for (shown, unfit) in [
        (ABSENT, Unfit::Absent),
        (FINALIZED, Unfit::Finalized),
        (requested(open()), Unfit::CloseRequested),
        (OnChain { payee: STRANGER, ..open() }, Unfit::OtherPayee),
        (OnChain { token: STRANGER, ..open() }, Unfit::OtherToken),
        (on_chain(100, 91), Unfit::TooSmall),
    ] {
        World::unknown(shown).denies(&voucher, &["find"], unfit);
    }
    World { has_code: true, ..World::unknown(open()) }.denies(&voucher, &["find"], Unfit::SignerHasCode);
    for (facts, unfit) in [
        (EscrowFacts { grace_period: Duration::from_secs(599), ..FACTS }, Unfit::GracePeriod),
        (EscrowFacts { separator: ID, ..FACTS }, Unfit::OtherDomain),
    ] {
        World { facts, ..World::unknown(open()) }.denies(&voucher, &["find"], Denied::Misfit(unfit));
    }
    World { unreachable: true, ..World::unknown(open()) }.refuses(&voucher, &["find"], ProblemKind::Unavailable);
}

#[test]
fn what_the_chain_does_not_show_yet_may_come_again() {
    let young = World { is_young: true, ..World::unknown(ABSENT) };
    young.refuses(&claim(OPEN, Some(presented(10))), &["find by the client's"], ProblemKind::Unavailable);
    // The node that is asked after our own transaction lags behind it.
    let tasks = ["sponsored?", "find", "bring about", "find"];
    let lagging = World { shown: on_chain(100, 95), after: on_chain(100, 95), ..World::unknown(open()) };
    lagging.refuses(&top_up_for_client(50), &tasks, ProblemKind::Unavailable);
}

#[test]
fn a_channel_that_another_request_takes_on_meanwhile_is_not_taken_on_again() {
    let world = World { overtaken: true, ..World::unknown(open()) };
    world.serves(&buys(10, 10), &["find", "step"], None);
    // Its deposit is there already: it does not count twice.
    let world = World { overtaken: true, after: on_chain(60, 0), ..World::unknown(ABSENT) };
    world.denies(&open_for_client(100, 70), &["sponsored?", "find", "begun?"], Refusal::ExceedsDeposit);
    let world = World { overtaken: true, after: open(), ..World::unknown(ABSENT) };
    world.serves(&open_for_client(100, 10), &["sponsored?", "find", "bring about", "step"], Some(TRANSACTION));
}

#[test]
fn a_voucher_that_buys_says_what_it_bought() {
    let mut world = World::unknown(open());
    let bought = Answer::Bought(Bought { booking: 0, units: 1, replayed: false });
    assert_eq!(world.serve(&buys(10, 10)), Ok(bought));
}

fn any_order() -> impl Strategy<Value = Option<Order>> {
    prop::option::of((0_u128..120, any::<bool>()).prop_map(|(price, reuse)| if reuse { draw_down(price) } else { once(price) }))
}

fn any_shown() -> impl Strategy<Value = OnChain> {
    let open = (0_u128..120, 0_u128..120).prop_map(|(deposit, settled)| on_chain(deposit.max(settled), settled));
    prop_oneof![3 => open, 1 => Just(ABSENT), 1 => Just(FINALIZED), 1 => Just(requested(on_chain(100, 0)))]
}

proptest! {
    /// For whom money is brought in, who has not begun that before, is served once it is there.
    #[test]
    fn a28_who_is_sponsored_is_served(
        shown in any_shown(),
        known in any::<bool>(),
        is_open in any::<bool>(),
        value in 0_u128..120,
        total in prop::option::of(0_u128..240),
        order in any_order(),
        by_stranger in prop::bool::weighted(0.2),
        from_stranger in prop::bool::weighted(0.2),
        has_code in prop::bool::weighted(0.2),
    ) {
        let presented = total.map(|total| PresentedVoucher { signer: if by_stranger { STRANGER } else { SIGNER }, ..presented(total) });
        let deposit = if is_open { opening(value) } else { addition(value) };
        let action = match (presented, is_open) {
            (None, _) => TOP_UP_FOR_CLIENT,
            (Some(_), true) => OPEN_FOR_CLIENT,
            (Some(_), false) => Action::Voucher,
        };
        // An opening comes with a voucher.
        prop_assume!(presented.is_some() || !is_open);
        let claim = Claim { order, ..sponsored(deposit, claim(action, presented)) };
        let claim = Claim { proof: Proof { source: from_stranger.then_some(STRANGER), ..claim.proof }, ..claim };
        let ledger = if known { Channel::adopt(ID, &seen(shown), &FACTS, &EXPECTED, NOW).ok() } else { None };
        let mut world = World { ledger, after: deposit.foreseen(shown), has_code, ..World::unknown(shown) };
        let served = world.serve(&claim);
        if world.tasks.contains(&"bring about") {
            // A channel that is known turns out to have code for its signer only when it is looked at.
            prop_assert!(served.is_ok() || (known && has_code), "{served:?} after {:?}", world.tasks);
        }
    }
}
