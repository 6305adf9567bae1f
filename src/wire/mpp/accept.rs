//! `Accept-Payment`: which offers a client can pay, in its order of preference.

use crate::ordered;
use alloc::vec::Vec;
use core::cmp::Reverse;

/// The longest header that is read, in bytes.
const LONGEST: usize = 1024;

struct Range<'a> {
    method: &'a str,
    intent: &'a str,
    /// Thousandths, 0 to 1000: RFC 9110 allows three decimals.
    quality: u16,
}

/// The indices of the offers to make, best first. `offers` are pairs of method and intent in the
/// server's order. Offers that the client rejects (`q=0`) or does not mention are left out; when the
/// header is malformed or too long, or nothing matches, all offers stay in the server's order.
pub fn preferred(offers: &[(&str, &str)], accept_payment: Option<&str>) -> Vec<usize> {
    let all = || (0..offers.len()).collect();
    let Some(ranges) = accept_payment.filter(|header| header.len() <= LONGEST).and_then(parse) else { return all() };
    let rated = offers.iter().enumerate().map(|(index, offer)| (index, quality(offer, &ranges))).filter(|(_, quality)| *quality > 0);
    let rated = ordered::list(rated, |(_, quality)| Reverse(*quality));
    if rated.is_empty() {
        return all();
    }
    rated.into_iter().map(|(index, _)| index).collect()
}

/// The quality of the most specific range that covers the offer, 0 when none does.
fn quality(offer: &(&str, &str), ranges: &[Range<'_>]) -> u16 {
    let covers = |range: &&Range<'_>| (range.method == "*" || range.method == offer.0) && (range.intent == "*" || range.intent == offer.1);
    let specificity = |range: &&Range<'_>| (range.method != "*", range.intent != "*");
    ranges.iter().filter(covers).max_by_key(specificity).map_or(0, |range| range.quality)
}

fn parse(header: &str) -> Option<Vec<Range<'_>>> {
    header.split(',').map(str::trim).filter(|item| !item.is_empty()).map(parse_range).collect()
}

fn parse_range(item: &str) -> Option<Range<'_>> {
    let mut parts = item.split(';').map(str::trim);
    let (method, intent) = parts.next()?.split_once('/')?;
    let mut quality = 1000;
    for parameter in parts {
        let (name, value) = parameter.split_once('=')?;
        if name.trim().eq_ignore_ascii_case("q") {
            quality = parse_quality(value.trim())?;
        }
    }
    let token = |text: &str| text == "*" || (!text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
    (token(method) && token(intent)).then_some(Range { method, intent, quality })
}

/// RFC 9110 §12.4.2: `0`, `1`, or either with up to three decimals, at most 1.
fn parse_quality(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let thousandths =
        decimals.bytes().chain(core::iter::repeat(b'0')).take(3).fold(0, |sum: u16, digit| sum * 10 + u16::from(digit - b'0'));
    match (whole, thousandths) {
        ("0", _) => Some(thousandths),
        ("1", 0) => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const OFFERS: [(&str, &str); 3] = [("abstract", "charge"), ("evm", "charge"), ("evm", "session")];

    fn order(header: &str) -> Vec<usize> {
        preferred(&OFFERS, Some(header))
    }

    #[test]
    fn without_a_header_the_servers_order_stands() {
        assert_eq!(preferred(&OFFERS, None), vec![0, 1, 2]);
    }

    #[test]
    fn quality_orders_and_zero_excludes() {
        assert_eq!(order("evm/charge, abstract/charge;q=0.5"), vec![1, 0]);
        assert_eq!(order("abstract/*;q=0, */*"), vec![1, 2]);
        assert_eq!(order("*/session;q=0.9, evm/*;q=0.2"), vec![1, 2]);
        assert_eq!(order("*/charge"), vec![0, 1]);
    }

    #[test]
    fn the_most_specific_range_decides() {
        assert_eq!(order("*/*;q=1, evm/charge;q=0.1"), vec![0, 2, 1]);
    }

    #[test]
    fn a_header_that_is_too_long_is_not_read() {
        let range = "evm/charge,";
        assert_eq!(order(&range.repeat(LONGEST / range.len())), vec![1]);
        assert_eq!(order(&range.repeat(LONGEST / range.len() + 1)), vec![0, 1, 2]);
    }

    #[test]
    fn malformed_or_unmatched_headers_are_ignored() {
        for header in
            ["", "evm", "evm/charge;q=2", "evm/charge;q=0.1234", "evm/charge;q", "stripe/charge", "e vm/charge", ";;", "evm/charge;q=0"]
        {
            assert_eq!(order(header), vec![0, 1, 2], "{header}");
        }
    }
}
