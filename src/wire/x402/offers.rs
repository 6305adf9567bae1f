//! Offers: what a route asks for. All that does not depend on the request is written once.

use super::Requested;
use super::extensions::{BEFORE_METHOD, after_method};
use crate::money::Amount;
use crate::wire::encoding::to_base64;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde::Serialize;

/// The longest `PAYMENT-REQUIRED` that is sent, in bytes: some hops drop headers over 8 KiB, and the payment returns most of it.
const LONGEST_HEADER: usize = 6 * 1024;

/// The most digits of an amount that clients of version 1 sign.
const V1_DIGITS: usize = 18;

/// Pieces of the header, see [`piece`]: a comma, and the end.
const COMMA: &str = "LCAg";
const END: &str = "XX0g";

/// When a payment is settled (`extra.paymentFlow`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// After the origin has answered, before its answer is released. The default, which is not announced.
    Authorization,
    /// Before the origin is called.
    Upfront,
}

impl Flow {
    /// The value of `extra.paymentFlow`; `None` for the default.
    pub const fn announced(self) -> Option<&'static str> {
        match self {
            Self::Authorization => None,
            Self::Upfront => Some("upfront"),
        }
    }
}

/// One way to pay: an entry of `accepts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The payment scheme, such as `exact`.
    pub scheme: &'static str,
    /// The network's CAIP-2 id.
    pub network: String,
    /// The network's name in version 1, where the clients of that version know it.
    pub v1_network: Option<&'static str>,
    /// The price in base units.
    pub amount: Amount,
    /// The token.
    pub asset: String,
    /// Who is paid.
    pub pay_to: String,
    /// How long the proof is to be good for, in seconds; not 0.
    pub max_timeout_seconds: u32,
    /// What the scheme wants clients to know besides.
    pub extra: BTreeMap<&'static str, String>,
}

/// Everything that a route asks for, in its order of preference.
#[derive(Clone, Debug)]
pub struct Offers {
    entries: Vec<Entry>,
    /// The resource in JCS form, up to its URL.
    resource: String,
    /// What stands in the header between the HTTP method and the first entry, as a piece of it.
    after_method: String,
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) requirement: Requirement,
    /// In JCS form.
    json: String,
    /// The same as a piece of the header.
    piece: String,
    /// For clients of version 1, up to the URL; `None` where they could not read or pay it.
    v1: Option<String>,
}

/// Fields stand in JCS order, so that the compact JSON is canonical.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    amount: Amount,
    asset: &'a str,
    extra: &'a BTreeMap<&'static str, String>,
    max_timeout_seconds: u32,
    network: &'a str,
    pay_to: &'a str,
    scheme: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WrittenV1<'a> {
    scheme: &'a str,
    network: &'a str,
    max_amount_required: Amount,
    asset: &'a str,
    pay_to: &'a str,
    max_timeout_seconds: u32,
    extra: &'a BTreeMap<&'static str, String>,
    description: &'a str,
    mime_type: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Resource<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mime_type: Option<&'a str>,
}

impl Offers {
    /// What a route asks for, by each of `requirements`. `description` is a line for people, `mime_type` the type of what is sold.
    pub fn new(requirements: Vec<Requirement>, description: Option<&str>, mime_type: Option<&str>) -> Self {
        let mut entries: Vec<Entry> = Vec::with_capacity(requirements.len());
        for requirement in requirements {
            // A payment of version 1 names the network alone: of two offers on one it could mean either.
            let is_taken = entries.iter().any(|entry| entry.v1_network() == requirement.v1_network);
            let v1 = requirement.v1_network.filter(|_| !is_taken && requirement.is_payable_in_v1());
            let v1 = v1.map(|network| requirement.write_v1(network, description, mime_type));
            let json = requirement.write();
            entries.push(Entry { piece: piece(json.clone()), json, v1, requirement });
        }
        let resource = before_member(&Resource { description, mime_type }, "url");
        Self { entries, resource, after_method: piece([&after_method(), r#","accepts":["#].concat()) }
    }

    /// The value of `PAYMENT-REQUIRED`: the offers for which `is_offered` holds, by their place. `None` when there is none, or the URL is so long
    /// that the header would be lost on its way. `error` is for people: what is missing, or why the payment was refused.
    pub fn header(&self, requested: &Requested<'_>, error: &str, is_offered: impl Fn(usize) -> bool) -> Option<String> {
        let mut json = String::with_capacity(self.resource.len() + error.len() + requested.url.len() + 128);
        json.push_str(r#"{"x402Version":2,"error":"#);
        push_text(&mut json, error);
        json.push_str(r#","resource":"#);
        push_resource(&mut json, &self.resource, requested.url);
        json.push_str(r#","extensions":"#);
        json.push_str(BEFORE_METHOD);
        push_text(&mut json, requested.method);
        let mut header = piece(json);
        header.push_str(&self.after_method);
        let before = header.len();
        for (_, entry) in self.entries.iter().enumerate().filter(|(index, _)| is_offered(*index)) {
            if header.len() > before {
                header.push_str(COMMA);
            }
            header.push_str(&entry.piece);
        }
        let is_empty = header.len() == before;
        header.push_str(END);
        (!is_empty && header.len() <= LONGEST_HEADER).then_some(header)
    }

    /// The members that make the body of a `402` one of version 1 as well, without braces: those offers for which `is_offered` holds
    /// and that clients of that version can read, since they read none when they cannot read one. `None` when there is none.
    pub fn v1_members(&self, requested: &Requested<'_>, error: &str, is_offered: impl Fn(usize) -> bool) -> Option<String> {
        let readable = self.entries.iter().enumerate().filter(|(index, _)| is_offered(*index)).filter_map(|(_, entry)| entry.v1.as_ref());
        let mut json = String::new();
        for entry in readable {
            if json.is_empty() {
                json.push_str(r#""x402Version":1,"error":"#);
                push_text(&mut json, error);
                json.push_str(r#","accepts":["#);
            } else {
                json.push(',');
            }
            push_resource(&mut json, entry, requested.url);
        }
        (!json.is_empty()).then(|| {
            json.push(']');
            json
        })
    }

    /// The offers with their places.
    pub(super) fn entries(&self) -> impl Iterator<Item = (usize, &Entry)> + Clone {
        self.entries.iter().enumerate()
    }

    /// The resource at `url` in JCS form.
    pub(super) fn resource(&self, url: &str) -> String {
        let mut json = String::new();
        push_resource(&mut json, &self.resource, url);
        json
    }
}

impl Entry {
    /// In JCS form.
    pub(super) fn json(&self) -> &str {
        &self.json
    }

    /// The network's name in version 1, where it is offered in that version.
    pub(super) fn v1_network(&self) -> Option<&'static str> {
        self.requirement.v1_network.filter(|_| self.v1.is_some())
    }
}

impl Requirement {
    /// Whether clients of version 1 can read it and will sign it.
    fn is_payable_in_v1(&self) -> bool {
        let is_address = |text: &str| {
            text.len() == 42 && text.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
        };
        let is_short = self.amount.to_string().len() <= V1_DIGITS;
        self.scheme == "exact" && is_short && is_address(&self.asset) && is_address(&self.pay_to)
    }

    fn write(&self) -> String {
        let Self { scheme, network, amount, asset, pay_to, max_timeout_seconds, extra, .. } = self;
        let written = Written { amount: *amount, asset, extra, max_timeout_seconds: *max_timeout_seconds, network, pay_to, scheme };
        // Strings, integers and maps always serialise.
        serde_json::to_string(&written).unwrap_or_default()
    }

    fn write_v1(&self, network: &str, description: Option<&str>, mime_type: Option<&str>) -> String {
        let written = WrittenV1 {
            scheme: self.scheme,
            network,
            max_amount_required: self.amount,
            asset: &self.asset,
            pay_to: &self.pay_to,
            max_timeout_seconds: self.max_timeout_seconds,
            extra: &self.extra,
            // Both must be there.
            description: description.unwrap_or_default(),
            mime_type: mime_type.unwrap_or_default(),
        };
        before_member(&written, "resource")
    }
}

/// The JSON of `object` up to the value of one more member.
fn before_member(object: &impl Serialize, name: &str) -> String {
    // Strings, integers and maps always serialise.
    let mut json = serde_json::to_string(object).unwrap_or_default();
    json.pop();
    if json.len() > 1 {
        json.push(',');
    }
    push_text(&mut json, name);
    json.push(':');
    json
}

/// A part of the header's JSON in base64. With spaces behind it its length is a multiple of three, so that it can be written before it is known what it
/// will stand between.
fn piece(mut json: String) -> String {
    while !json.len().is_multiple_of(3) {
        json.push(' ');
    }
    to_base64(json)
}

fn push_resource(json: &mut String, before_url: &str, url: &str) {
    json.push_str(before_url);
    push_text(json, url);
    json.push('}');
}

pub(super) fn push_text(json: &mut String, text: &str) {
    // A string always serialises.
    json.push_str(&serde_json::to_string(text).unwrap_or_default());
}
