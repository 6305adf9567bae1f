//! Properties of the splitter of event streams: chunks do not matter, no byte is lost, nothing waits, and what is billed is what a
//! client gets, by a reading of the standard that is written line by line.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

use mpp_edge::wire::sse::{Splitter, event};
use proptest::prelude::*;

/// An event as a client gets it: its name and its data.
type Event = (String, String);

/// WHATWG HTML §9.2.6, on the whole text at once.
fn events(stream: &[u8]) -> Vec<Event> {
    let text = String::from_utf8_lossy(stream).into_owned();
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text).replace("\r\n", "\n").replace('\r', "\n");
    let mut lines: Vec<&str> = text.split('\n').collect();
    // Not ended, so not a line.
    lines.pop();
    let (mut found, mut name, mut data) = (vec![], String::new(), String::new());
    for line in lines {
        if line.is_empty() {
            if !data.is_empty() {
                found.push((name.clone(), data.strip_suffix('\n').unwrap().to_owned()));
            }
            name.clear();
            data.clear();
        } else if !line.starts_with(':') {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => value.clone_into(&mut name),
                "data" => data = data + value + "\n",
                _ => {}
            }
        }
    }
    found
}

fn units((name, data): &Event) -> Option<u64> {
    let number: u64 = data.parse().ok().filter(|_| name == "payment-units")?;
    (number.to_string() == *data).then_some(number)
}

/// A block: its bytes, whether it is billable, the units it reports.
type Cut = (Vec<u8>, bool, Option<u64>);

/// The blocks of a stream in chunks, the tail, and whether a block was too long. An LF that came alone after a CR that ended a block is
/// put back.
fn split<'c>(chunks: impl IntoIterator<Item = &'c [u8]>, limit: usize) -> (Vec<Cut>, Vec<u8>, bool) {
    let mut splitter = Splitter::new(limit);
    let mut cuts: Vec<Cut> = vec![];
    let mut too_long = false;
    for chunk in chunks {
        for block in splitter.push(chunk) {
            let Ok(block) = block else {
                too_long = true;
                continue;
            };
            assert!(!too_long, "a block after one that was too long");
            match cuts.last_mut() {
                Some((bytes, ..)) if *block.bytes == *b"\n" && bytes.ends_with(b"\r") => {
                    assert!(!block.billable && block.report().flatten().is_none());
                    bytes.push(b'\n');
                }
                _ => cuts.push((block.bytes.to_vec(), block.billable, block.report().flatten())),
            }
        }
    }
    (cuts, splitter.finish(), too_long)
}

/// Chunks of the given sizes, over and over; an empty one now and then.
fn chunks<'c>(mut stream: &'c [u8], sizes: &[usize]) -> Vec<&'c [u8]> {
    let mut found = vec![];
    for size in sizes.iter().cycle() {
        let (chunk, rest) = stream.split_at(stream.len().min(*size));
        found.push(chunk);
        stream = rest;
        if stream.is_empty() {
            break;
        }
    }
    found
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let end = || prop::sample::select(vec![&b"\n"[..], b"\n", b"\r\n", b"\r\n", b"\r"]).prop_map(<[u8]>::to_vec);
    let line = prop::sample::select(vec![
        &b"data"[..],
        b"data:",
        b"data: ",
        b"data: a",
        b"data: data",
        b"data: 42",
        b"data:7",
        b"data: 007",
        b"data:18446744073709551616",
        b"event: payment-units",
        b"event:payment-units",
        b"event: payment-unit",
        b"event: data",
        b"event",
        b"id: 1",
        b"retry: 5",
        b": data: c",
        b":",
        b"dat",
        b"database",
        b"data\0",
        b"Data: a",
        b" data: a",
        b"data : a",
        b"\xEF\xBB\xBFdata: a",
        b"\xEF\xBB\xBF",
        b"\xEF\xBB\xBF\xEF\xBB\xBFdata: a",
        b"\xEF\xBBdata: a",
        b"\xEF",
        b"\xEF\xBB\xBFevent: payment-units",
        b"data: \xE2\x82",
        b"\xE2\x82",
    ])
    .prop_map(<[u8]>::to_vec);
    let noise = prop::collection::vec(prop::sample::select(b"\r\n:data \xEF\xBB\xBF".to_vec()), 0..6);
    let whole = (line.clone(), end()).prop_map(|(line, end)| [line, end].concat());
    let event = (prop::collection::vec(whole.clone(), 1..4), end()).prop_map(|(lines, end)| [lines.concat(), end].concat());
    let part = prop_oneof![8 => event, 4 => whole, 3 => end(), 1 => line, 2 => noise];
    prop_oneof![
        9 => prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat()),
        1 => prop::collection::vec(any::<u8>(), 0..60),
    ]
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    // The first is not zero: a stream must come to its end.
    (1usize..20, prop::collection::vec(0usize..12, 0..6)).prop_map(|(first, others)| [vec![first], others].concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn chunks_do_not_matter(stream in stream(), sizes in sizes(), limit in prop_oneof![3 => Just(usize::MAX), 1 => 0usize..60]) {
        let whole = split([&stream[..]], limit);
        prop_assert_eq!(&split(chunks(&stream, &sizes), limit), &whole);
        prop_assert_eq!(&split(chunks(&stream, &[1]), limit), &whole);
    }

    #[test]
    fn every_byte_is_passed_on_once_and_in_order(stream in stream(), sizes in sizes()) {
        let (cuts, tail, too_long) = split(chunks(&stream, &sizes), usize::MAX);
        prop_assert!(!too_long);
        let bytes: Vec<u8> = cuts.into_iter().flat_map(|(bytes, ..)| bytes).chain(tail).collect();
        prop_assert_eq!(bytes, stream);
    }

    #[test]
    fn what_is_billed_is_what_a_client_gets(stream in stream(), sizes in sizes()) {
        let (cuts, tail, _) = split(chunks(&stream, &sizes), usize::MAX);
        let expected = events(&stream);
        prop_assert_eq!(cuts.iter().filter(|(_, billable, _)| *billable).count(), expected.len());
        let reported: Vec<Option<u64>> = cuts.iter().filter(|(_, billable, _)| *billable).map(|(.., units)| *units).collect();
        prop_assert_eq!(reported, expected.iter().map(units).collect::<Vec<_>>());
        prop_assert!(cuts.iter().all(|(_, billable, units)| *billable || units.is_none()));
        prop_assert!(events(&[&b":\n"[..], &tail].concat()).is_empty());
        // Each by itself too. The comment is there because a byte order mark counts only at the start of the stream.
        for (index, (bytes, billable, _)) in cuts.iter().enumerate() {
            let start: &[u8] = if index == 0 { b"" } else { b":\n" };
            prop_assert_eq!(events(&[start, bytes].concat()).len(), usize::from(*billable));
        }
    }

    /// What a client could already act on is not withheld.
    #[test]
    fn an_event_is_there_with_the_byte_that_completes_it(stream in stream()) {
        let (mut splitter, mut billable) = (Splitter::new(usize::MAX), 0);
        for (index, byte) in stream.iter().enumerate() {
            billable += splitter.push(&[*byte]).filter(|block| block.as_ref().unwrap().billable).count();
            prop_assert_eq!(billable, events(&stream[..=index]).len());
        }
    }

    /// What the gateway writes between two blocks is one event more and changes no other.
    #[test]
    fn our_own_events_fit_between_any_two_blocks(stream in stream(), sizes in sizes(), json in "[ -~\r\n]{0,20}") {
        let ours = event("payment-receipt", &json);
        let mut splitter = Splitter::new(usize::MAX);
        let (mut written, mut count) = (vec![], 0);
        for chunk in chunks(&stream, &sizes) {
            for block in splitter.push(chunk) {
                written.extend_from_slice(&block.unwrap().bytes);
                written.extend_from_slice(ours.as_bytes());
                count += 1;
            }
        }
        let (mine, others): (Vec<Event>, Vec<Event>) = events(&written).into_iter().partition(|(name, _)| name == "payment-receipt");
        prop_assert_eq!(mine.len(), count);
        prop_assert_eq!(others, events(&stream));
    }
}
