//! Challenges: made for an answer of 402, and looked at again when a credential brings one back.

use super::bench::Bench;
use super::setting::{ASKED, NOW, charge_header, issue, keys, offers, voucher_header};
use mpp_edge::gateway::offer::{Asked, Offer};
use mpp_edge::wire::mpp::credential::{Credential, split_authorization};

pub(crate) fn all(bench: &mut Bench) {
    let keys = keys();
    let offers = offers();
    let [charge, session] = &offers;
    bench.ours("challenge-issue-charge", || charge, |offer| issue(offer, &keys));
    bench.ours("challenge-issue-session", || session, |offer| issue(offer, &keys));
    for (operation, header) in [("challenge-check-charge", charge_header()), ("challenge-check-session", voucher_header())] {
        let credential = Credential::parse(split_authorization(&header).unwrap().payment.unwrap()).unwrap();
        let check = |asked: Asked<'_>| -> &Offer { asked.accept(&credential, &offers, &keys, NOW).unwrap().offer };
        bench.ours(operation, || ASKED, check);
    }
}
