use super::InvalidInvoice::{Checksum as BadChecksum, Length, PaymentHash, Prefix};
use super::*;
use alloc::format;
use alloc::string::ToString;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// The hash that all examples of BOLT 11 have.
const HASH_OF_EXAMPLES: [u8; 32] = [
    0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x00, 0x01,
    0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x01, 0x02,
];

/// Examples of BOLT 11: a donation of any amount, a coffee for a minute, one with a fallback on the test network, and one in billionths.
const DONATION: &str = "lnbc1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdpl2pkx2ctnv5sxxmmwwd5kgetjypeh2ursdae8g6twvus8g6rfwvs8qun0dfjkxaq9qrsgq357wnc5r2ueh7ck6q93dj32dlqnls087fxdwk8qakdyafkq3yap9us6v52vjjsrvywa6rt52cm9r9zqt8r2t7mlcwspyetp5h2tztugp9lfyql";
const COFFEE: &str = "lnbc2500u1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdq5xysxxatsyp3k7enxv4jsxqzpu9qrsgquk0rl77nj30yxdy8j9vdx85fkpmdla2087ne0xh8nhedh8w27kyke0lp53ut353s06fv3qfegext0eh0ymjpf39tuven09sam30g4vgpfna3rh";

#[test]
fn the_examples_of_bolt_11_are_read() {
    let donation = Invoice::parse(DONATION).unwrap();
    let expected = Invoice {
        network: Network::Mainnet,
        millisatoshi: None,
        payment_hash: B256::from(HASH_OF_EXAMPLES),
        expires: UnixSeconds::new(1_496_314_658 + 3600),
    };
    assert_eq!(donation, expected);
    let coffee = Invoice { millisatoshi: Some(250_000_000), expires: UnixSeconds::new(1_496_314_658 + 60), ..expected };
    assert_eq!(Invoice::parse(COFFEE), Ok(coffee.clone()));
    assert_eq!(Invoice::parse(&COFFEE.to_ascii_uppercase()), Ok(coffee));
}

#[test]
fn the_bad_examples_of_bolt_11_are_refused() {
    let changed = COFFEE.replace("lnbc2500u", "lnbc2501u");
    for (text, why) in [
        (changed.as_str(), BadChecksum),
        ("pvjluezpp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypq", BadChecksum),
        ("LNBC2500u1pvjluez", BadChecksum),
        ("", BadChecksum),
    ] {
        assert_eq!(Invoice::parse(text), Err(why), "{text}");
    }
}

/// A text of these groups with a right checksum.
fn encoded(prefix: &str, groups: &[u8]) -> String {
    use bech32::primitives::iter::Fe32IterExt;
    let prefix = bech32::Hrp::parse(prefix).unwrap();
    groups.iter().map(|group| Fe32::try_from(*group).unwrap()).with_checksum::<LongBech32>(&prefix).chars().collect()
}

/// Time, fields, and a signature of zeros.
fn groups(fields: &[&[u8]]) -> Vec<u8> {
    [&[0, 0, 0, 0, 0, 1, 0], fields.concat().as_slice(), &[0; SIGNATURE]].concat()
}

fn hash_field(byte: u8) -> Vec<u8> {
    let mut field = Vec::from([PAYMENT_HASH, 1, 20]);
    field.extend([byte & 31; HASH]);
    field
}

#[test]
fn what_is_too_short_or_has_not_one_hash_is_refused() {
    let parse = |fields: &[&[u8]]| Invoice::parse(&encoded("lnbc", &groups(fields)));
    let hash = hash_field(1);
    assert!(parse(&[&hash]).is_ok());
    assert_eq!(parse(&[]), Err(PaymentHash));
    assert_eq!(parse(&[&hash, &hash]), Err(PaymentHash));
    // One of another length is skipped.
    assert!(parse(&[&[PAYMENT_HASH, 0, 1, 7], &hash]).is_ok());
    assert_eq!(parse(&[&[PAYMENT_HASH, 0, 1, 7]]), Err(PaymentHash));
    // The length of a field goes beyond the end, or there is none.
    assert_eq!(parse(&[&hash, &[3, 0, 5, 1]]), Err(Length));
    assert_eq!(parse(&[&hash, &[3, 0]]), Err(Length));
    assert_eq!(Invoice::parse(&encoded("lnbc", &[0; SIGNATURE])), Err(Length));
    assert_eq!(Invoice::parse(&encoded("lnbc", &[0; SIGNATURE - 1])), Err(Length));
    // An expiry of 70 bits.
    assert_eq!(parse(&[&hash, &[&[EXPIRY, 0, 14][..], &[31; 14]].concat()]), Err(InvalidInvoice::Time));
    assert_eq!(parse(&[&hash, &[EXPIRY, 0, 2, 1, 0]]).unwrap().expires, UnixSeconds::new(32 + 32));
}

#[test]
fn prefixes_name_network_and_amount() {
    let parse = |prefix: &str| Invoice::parse(&encoded(prefix, &groups(&[&hash_field(1)])));
    for (prefix, network, amount) in [
        ("lnbc", Network::Mainnet, None),
        ("lntb1m", Network::Testnet, Some(100_000_000)),
        ("lntbs25u", Network::Signet, Some(2_500_000)),
        ("lnbcrt10n", Network::Regtest, Some(1_000)),
        ("lnbc10p", Network::Mainnet, Some(1)),
        ("lnbc2", Network::Mainnet, Some(200_000_000_000)),
    ] {
        let invoice = parse(prefix).unwrap();
        assert_eq!((invoice.network, invoice.millisatoshi), (network, amount), "{prefix}");
    }
    for prefix in ["ln", "lnxx", "bc", "lnbc01m", "lnbc0", "lnbc1x", "lnbc1mm", "lnbc15p", "lnbc184467441", "lnbcrt99999999999999999999"] {
        assert_eq!(parse(prefix), Err(Prefix), "{prefix}");
    }
}

#[test]
fn every_error_says_something() {
    for error in [BadChecksum, Prefix, Length, PaymentHash, InvalidInvoice::Time] {
        assert!(format!("has it: {error}").len() > 15);
    }
    assert_ne!(BadChecksum.to_string(), Prefix.to_string());
}

#[cfg(not(target_arch = "wasm32"))]
mod beside_lightning_invoice {
    use super::*;
    use bitcoin::hashes::{Hash as _, sha256};
    use bitcoin::secp256k1::{Secp256k1, SecretKey};
    use core::time::Duration;
    use lightning_invoice::{Currency, InvoiceBuilder, PaymentSecret};
    use proptest::prelude::*;

    proptest! {
        /// What rust-lightning writes and signs is read as it was meant.
        #[test]
        fn invoices_are_read_as_they_were_written(
            place in 0_usize..4,
            millisatoshi in prop::option::of(1_u64..2_000_000_000_000),
            hash: [u8; 32],
            created in 0_u64..(1 << 35) - 100_000,
            expiry in prop::option::of(0_u64..1_000_000_000),
            memo in "[ -~]{0,100}",
        ) {
            let currency = [Currency::Bitcoin, Currency::BitcoinTestnet, Currency::Signet, Currency::Regtest][place].clone();
            let mut builder = InvoiceBuilder::new(currency)
                .description(memo)
                .payment_hash(sha256::Hash::from_slice(&hash).unwrap())
                .payment_secret(PaymentSecret([7; 32]))
                .duration_since_epoch(Duration::from_secs(created))
                .min_final_cltv_expiry_delta(144);
            if let Some(millisatoshi) = millisatoshi {
                builder = builder.amount_milli_satoshis(millisatoshi);
            }
            if let Some(expiry) = expiry {
                builder = builder.expiry_time(Duration::from_secs(expiry));
            }
            let key = SecretKey::from_slice(&[41; 32]).unwrap();
            let text = builder.build_signed(|digest| Secp256k1::new().sign_ecdsa_recoverable(digest, &key)).unwrap().to_string();
            let invoice = Invoice::parse(&text).unwrap();
            prop_assert_eq!(invoice.network, Network::ALL[place]);
            prop_assert_eq!(invoice.millisatoshi, millisatoshi);
            prop_assert_eq!(invoice.payment_hash, B256::from(hash));
            prop_assert_eq!(invoice.expires, UnixSeconds::new(created + expiry.unwrap_or(3600)));
        }

        /// Nothing that is not an invoice is taken for one, nor does it end the gateway.
        #[test]
        fn other_texts_are_refused(text in "(lnbc[0-9]{0,5}[munp]?1)?[qpzry9x8gf2tvdw0s3jn54khce6mua7l]{0,200}") {
            prop_assert!(Invoice::parse(&text).is_err());
        }

        /// A checksum finds what was changed in one place.
        #[test]
        fn a_changed_invoice_is_refused(place in 0_usize..COFFEE.len(), other in "[a-z0-9]") {
            let mut changed = COFFEE.to_string();
            changed.replace_range(place..place + 1, &other);
            prop_assume!(changed != COFFEE);
            prop_assert!(Invoice::parse(&changed).is_err());
        }
    }
}
