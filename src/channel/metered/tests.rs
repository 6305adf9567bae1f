use super::*;
use crate::wire::sse::Splitter;
use alloc::vec::Vec;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const PRICE: Amount = Amount::from_base_units(3);
const STREAM: Head = Head { is_event_stream: true, reported: None, has_body: true };
const FILE: Head = Head { is_event_stream: false, ..STREAM };

const fn bought(units: u64) -> Bought {
    Bought { booking: 9, units, replayed: false }
}

fn fixed(meter: Meter, units: u64, head: Head) -> Fixed {
    match Metering::of(meter, PRICE, bought(units), head) {
        Metering::Fixed(fixed) => fixed,
        Metering::Counted(counted) => panic!("{counted:?}"),
    }
}

fn counted(meter: Meter, units: u64, head: Head) -> Counted {
    match Metering::of(meter, PRICE, bought(units), head) {
        Metering::Counted(counted) => counted,
        Metering::Fixed(fixed) => panic!("{fixed:?}"),
    }
}

const fn end(delivered: u64, begun: bool) -> Delivery {
    Delivery::End { sale: 9, delivered, begun }
}

/// What a stop releases only if it is undelivered is asked there alone.
fn unasked() -> bool {
    panic!("nobody needs to know")
}

#[test]
fn a_head_is_an_event_stream_s_whatever_its_parameters_and_reports_a_plain_number() {
    for (content_type, is_event_stream) in [
        ("text/event-stream", true),
        ("Text/Event-Stream ; charset=utf-8", true),
        ("text/event-streams", false),
        ("application/json; x=text/event-stream", false),
        ("", false),
    ] {
        assert_eq!(Head::read(content_type, None, true), Head { is_event_stream, ..FILE }, "{content_type}");
    }
    for (units, reported) in [
        (Some("37"), Some(37)),
        (Some(" 0 "), Some(0)),
        (Some("99999999999999999999999999"), None),
        (Some("many"), None),
        (Some("-5"), None),
        (Some("1e1"), None),
        (Some("1.5"), None),
        (Some("5, 6"), None),
        (Some(""), None),
        (None, None),
    ] {
        assert_eq!(Head::read("", units, true), Head { reported, ..FILE }, "{units:?}");
    }
}

#[test]
fn units_that_are_known_before_the_body_are_charged_as_they_are() {
    let empty = Head { has_body: false, ..STREAM };
    let says = |reported| Head { reported: Some(reported), ..FILE };
    for (meter, reserved, head, units) in [
        (Meter::Reported, 10, says(4), 4),
        (Meter::Reported, 10, says(0), 0),
        (Meter::Reported, 10, says(11), 10),
        (Meter::Reported, 10, Head { reported: Some(4), ..STREAM }, 4),
        (Meter::Reported, 10, FILE, 10),
        (Meter::Event, 8, FILE, 1),
        (Meter::Event, 8, Head { has_body: false, ..FILE }, 1),
        (Meter::Event, 8, empty, 0),
        (Meter::Byte, 65_536, empty, 0),
        (Meter::Byte, 65_536, Head { has_body: false, ..FILE }, 0),
    ] {
        let fixed = fixed(meter, reserved, head);
        assert_eq!(fixed.units(), units, "{meter:?} {head:?}");
        assert_eq!(fixed.end(false), end(units, false));
        assert_eq!(fixed.end(true), end(0, true));
        assert_eq!(fixed.report(), Delivery::Draw { sale: 9, delivered: 0, reserved, wanted: 0 });
    }
}

#[test]
fn a_receipt_of_fixed_units_says_what_will_be_spent() {
    let amount = Amount::from_base_units;
    let balance = Balance { accepted: amount(100), spent: amount(50), deposit: amount(200), required: amount(60) };
    let says = Head { reported: Some(4), ..FILE };
    assert_eq!(fixed(Meter::Reported, 10, says).charged(balance), Balance { spent: amount(32), ..balance });
    assert_eq!(fixed(Meter::Reported, 10, FILE).charged(balance), balance);
}

#[test]
fn ten_thousand_units_take_tens_of_batches() {
    let mut meter = counted(Meter::Event, 8, STREAM);
    let mut batches = 1;
    for _ in 0..10_000 {
        if meter.is_short_of(1) {
            let Delivery::Draw { wanted, .. } = meter.draw(1) else { panic!() };
            meter.drawn(wanted);
            batches += 1;
        }
        meter.gather(1);
        meter.went_out();
    }
    assert_eq!((meter.delivered, batches), (10_000, 16));
}

#[test]
fn a_batch_cut_short_by_the_balance_does_not_grow_the_next() {
    let mut meter = counted(Meter::Event, 3, STREAM);
    let wanted = |meter: &Counted, needed| match meter.draw(needed) {
        Delivery::Draw { wanted, .. } => wanted,
        other => panic!("{other:?}"),
    };
    assert_eq!(wanted(&meter, 1), 8);
    meter.drawn(8);
    assert_eq!((wanted(&meter, 1), wanted(&meter, 100)), (16, 89));
    assert_eq!(meter.cost_of_missing(100), PRICE.times(89));
    assert_eq!(meter.cost_of_missing(11), Amount::ZERO);
}

#[test]
fn a_batch_grows_with_what_is_drawn_and_not_beyond_its_bound() {
    let mut meter = counted(Meter::Event, 8, STREAM);
    let wanted = |meter: &Counted, waiting| match meter.draw(waiting) {
        Delivery::Draw { wanted, .. } => wanted,
        other => panic!("{other:?}"),
    };
    meter.gather(8);
    meter.went_out();
    assert_eq!(wanted(&meter, 200), 200, "all that has arrived");
    meter.drawn(200);
    assert_eq!(wanted(&meter, 1), 400);
    meter.drawn(3_000);
    assert_eq!(wanted(&meter, 1), 1_024);
}

#[test]
fn a_draw_tells_what_is_delivered_and_a_report_asks_for_nothing() {
    let mut meter = counted(Meter::Event, 8, STREAM);
    meter.gather(5);
    assert_eq!(meter.report(), Delivery::Draw { sale: 9, delivered: 0, reserved: 8, wanted: 0 });
    meter.went_out();
    assert_eq!(meter.report(), Delivery::Draw { sale: 9, delivered: 5, reserved: 8, wanted: 0 });
    assert_eq!(meter.draw(4), Delivery::Draw { sale: 9, delivered: 5, reserved: 8, wanted: 16 });
}

#[test]
fn what_is_gathered_counts_against_what_is_left() {
    let mut meter = counted(Meter::Event, 8, STREAM);
    meter.gather(7);
    assert!(!meter.is_short_of(1));
    assert!(meter.is_short_of(2));
    assert!(!meter.is_short_of(0));
    meter.gather(1);
    assert!(meter.is_short_of(1));
    assert!(!meter.is_short_of(0), "what costs nothing needs nothing");
}

fn blocks(meter: &mut Counted, text: &str) -> Vec<Option<u64>> {
    Splitter::new(1000).push(text.as_bytes()).map(|block| meter.cost(&block.unwrap())).collect()
}

#[test]
fn a_block_costs_what_the_meter_says() {
    const TEXT: &str = "data: 1\n\n: comment\n\nevent: payment-units\ndata: 5\n\n";
    assert_eq!(blocks(&mut counted(Meter::Event, 8, STREAM), TEXT), [Some(1), Some(0), Some(1)]);
    assert_eq!(blocks(&mut counted(Meter::Byte, 8, STREAM), TEXT), [Some(9), Some(11), Some(30)]);
    assert_eq!(blocks(&mut counted(Meter::Reported, 8, STREAM), TEXT), [Some(0), Some(0), None]);
}

#[test]
fn the_last_number_that_the_origin_reports_is_charged_up_to_what_was_reserved() {
    let report = |text: &str| {
        let mut meter = counted(Meter::Reported, 10, STREAM);
        blocks(&mut meter, text);
        meter.end(Ok(()), unasked)
    };
    assert_eq!(report("data: x\n\n"), end(10, false), "it says nothing: all of it");
    assert_eq!(report("event: payment-units\ndata: 3\n\n"), end(3, false));
    assert_eq!(report("event: payment-units\ndata: 3\n\nevent: payment-units\ndata: 0\n\n"), end(0, false));
    assert_eq!(report("event: payment-units\ndata: 3\n\nevent: payment-units\ndata: many\n\n"), end(3, false));
    assert_eq!(report("event: payment-units\ndata: 11\n\n"), end(10, false));
}

#[test]
fn what_is_counted_is_charged_as_it_went_out_whoever_stops() {
    let mut meter = counted(Meter::Event, 8, STREAM);
    meter.gather(3);
    meter.went_out();
    meter.gather(2);
    for ended in [Ok(()), Err(Stop::Unpaid), Err(Stop::OriginBroke), Err(Stop::ClientLeft)] {
        assert_eq!(meter.end(ended, unasked), end(3, false), "{ended:?}");
    }
}

#[test]
fn a_report_that_never_came_is_charged_in_full_unless_the_origin_broke_off() {
    let meter = counted(Meter::Reported, 10, STREAM);
    for ended in [Ok(()), Err(Stop::Unpaid), Err(Stop::ClientLeft)] {
        assert_eq!(meter.end(ended, unasked), end(10, false), "{ended:?}");
    }
    assert_eq!(meter.end(Err(Stop::OriginBroke), || false), end(10, false));
    assert_eq!(meter.end(Err(Stop::OriginBroke), || true), end(0, true));
}

#[test]
fn only_an_event_stream_ends_whole_for_want_of_money() {
    let (stream, file) = (counted(Meter::Byte, 8, STREAM), counted(Meter::Byte, 8, FILE));
    for (ended, of_stream, of_file) in [
        (Ok(()), true, true),
        (Err(Stop::Unpaid), true, false),
        (Err(Stop::OriginBroke), false, false),
        (Err(Stop::ClientLeft), false, false),
    ] {
        assert_eq!((stream.ends_whole(ended), file.ends_whole(ended)), (of_stream, of_file), "{ended:?}");
    }
}

#[test]
fn a_piece_is_no_larger_than_the_balance_the_rest_and_a_bound() {
    let mut meter = counted(Meter::Byte, 20_000, FILE);
    assert_eq!(meter.piece(100), 100);
    meter.went_out();
    assert_eq!(meter.piece(1_000_000), 16_384);
    meter.went_out();
    assert_eq!(meter.piece(1_000_000), 3_516);
    meter.went_out();
    assert_eq!((meter.left(), meter.piece(1)), (0, 0));
    let mut huge = counted(Meter::Byte, u64::MAX, FILE);
    assert_eq!(huge.piece(u32::MAX), 16_384);
}

#[test]
fn a_chunk_goes_out_whole_when_it_is_no_longer_than_a_piece_and_paid_for() {
    let mut meter = counted(Meter::Byte, 20_000, FILE);
    assert!(!meter.whole(16_385));
    assert!(meter.whole(16_384));
    assert_eq!(meter.left(), 20_000, "it has not gone out");
    assert!(!meter.whole(3_617), "what is gathered counts");
    meter.went_out();
    assert!(!meter.whole(3_617));
    assert!(meter.whole(3_616));
    meter.went_out();
    assert_eq!(meter.end(Ok(()), unasked), end(20_000, false));
}

const fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis((1_800_000_000 + seconds) * 1000)
}

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn a_voucher_is_asked_for_once_and_waited_for_as_long_as_the_patience_lasts() {
    let mut waiting = Waiting::new(PATIENCE);
    assert_eq!(waiting.hold(at(0)), Duration::ZERO, "the first call is answered at once");
    assert_eq!(waiting.judge(Some(Drawn::Exhausted)), Next::AskForVoucher);
    assert!(!waiting.is_over(at(5)), "the patience begins when the client was told");
    assert_eq!(waiting.hold(at(5)), LONG_POLL);
    assert_eq!(waiting.judge(Some(Drawn::Exhausted)), Next::Again);
    assert!(!waiting.is_over(at(25)));
    assert_eq!(waiting.hold(at(25)), Duration::from_secs(10));
    assert_eq!(waiting.judge(Some(Drawn::Exhausted)), Next::Again);
    assert!(!waiting.is_over(at(34)));
    assert!(waiting.is_over(at(35)));
}

#[test]
fn after_a_voucher_the_next_end_of_the_balance_is_another() {
    let mut waiting = Waiting::new(PATIENCE);
    waiting.judge(Some(Drawn::Exhausted));
    assert!(!waiting.is_over(at(0)));
    assert_eq!(waiting.judge(Some(Drawn::Units(4))), Next::Drawn(4));
    assert_eq!(waiting.hold(at(29)), Duration::ZERO);
    assert_eq!(waiting.judge(Some(Drawn::Exhausted)), Next::AskForVoucher);
    assert!(!waiting.is_over(at(40)));
    assert!(waiting.is_over(at(70)));
}

#[test]
fn a_channel_that_does_not_answer_is_asked_again_as_long_as_the_patience_lasts() {
    let mut waiting = Waiting::new(PATIENCE);
    assert_eq!(waiting.judge(None), Next::Pause);
    assert!(!waiting.is_over(at(0)));
    assert_eq!(waiting.judge(None), Next::Pause);
    assert!(waiting.is_over(at(30)));
}

#[test]
fn a_sale_that_is_over_is_not_waited_for() {
    assert_eq!(Waiting::new(PATIENCE).judge(Some(Drawn::Over)), Next::Stop);
}
