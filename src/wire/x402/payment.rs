//! Payments: what a client presents in `PAYMENT-SIGNATURE` or `X-PAYMENT` (`x402-specification-v2.md` §5.2, `-v1.md` §5.2).

use super::extensions::{Extensions, Returned};
use super::offers::Entry;
use super::{Offers, Reason, Requested, Requirement, Version};
use crate::evm::B256;
use crate::json::{self, Unreadable, describe};
use crate::wire::encoding::from_base64_strict;
use crate::wire::problem::{Problem, ProblemKind};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// The longest path to a field that is named in a problem, in bytes.
const LONGEST_FIELD: usize = 64;

/// The longest id of a network (CAIP-2), in bytes.
const LONGEST_NETWORK: usize = 41;

/// A payment as it was read. Nothing in it is verified yet.
pub struct PaymentPayload {
    version: Version,
    choice: Choice,
    payload: Box<RawValue>,
    /// The URL that was asked for, where the client returned it.
    url: Option<String>,
    extensions: Option<Extensions>,
}

/// Which offer is paid.
enum Choice {
    /// All of it, as the client returned it.
    Whole(Box<Chosen>),
    /// What version 1 says of it.
    Named { scheme: String, network: String },
}

/// The offer that a payment answers.
#[derive(Clone, Copy, Debug)]
pub struct Accepted<'o> {
    /// The version that the client speaks.
    pub version: Version,
    /// The offer's place among those of its route.
    pub index: usize,
    /// What was asked for.
    pub requirement: &'o Requirement,
    /// The nonce that the proof must have, when it is bound to the request; else it may have any.
    pub nonce: Option<B256>,
    /// The network's name in the client's version, for the outcome.
    pub network: &'o str,
}

/// The JSON of either version.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Presented {
    x402_version: Option<u64>,
    payload: Option<Box<RawValue>>,
    accepted: Option<Box<Chosen>>,
    resource: Option<Resource>,
    extensions: Option<Returned>,
    scheme: Option<String>,
    network: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Chosen {
    scheme: String,
    network: String,
    amount: String,
    asset: String,
    pay_to: String,
    max_timeout_seconds: u64,
    extra: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Resource {
    url: String,
}

impl PaymentPayload {
    /// Reads the payment of a request from its headers `PAYMENT-SIGNATURE` and `X-PAYMENT`, each of which may have `limit` bytes. `None`
    /// when it has neither.
    ///
    /// # Errors
    /// 402 when it cannot be read, as the published servers answer; 400 when there are two, one is too long, or its identifier is
    /// none. Each names the header and the field.
    pub fn read(signature: Option<&str>, x_payment: Option<&str>, limit: usize) -> Result<Option<Self>, Problem> {
        let (version, text) = match (signature, x_payment) {
            (None, None) => return Ok(None),
            (Some(text), None) => (Version::V2, text),
            (None, Some(text)) => (Version::V1, text),
            (Some(_), Some(_)) => {
                return Err(Problem::new(ProblemKind::BadRequest, "PAYMENT-SIGNATURE and X-PAYMENT: send one of them, not both"));
            }
        };
        let at = |mut problem: Problem| {
            problem.detail = format!("{}: {}", version.payment_header(), problem.detail).into();
            problem
        };
        if text.len() > limit {
            return Err(at(Problem::new(ProblemKind::BadRequest, format!("exceeds {limit} bytes"))));
        }
        Self::parse(version, text).map(Some).map_err(at)
    }

    fn parse(version: Version, text: &str) -> Result<Self, Problem> {
        let json = from_base64_strict(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let json = json.ok_or_else(|| malformed("must be one value, standard base64 with padding of JSON"))?;
        let presented: Presented = json::read(&json).map_err(|Unreadable { field, detail }| match field.len() {
            // It may hold names of the client's own, which are not repeated at length.
            1..=LONGEST_FIELD => malformed(format!("{field}: {detail}")),
            _ => malformed(detail),
        })?;
        let number = presented.x402_version.ok_or_else(|| missing("x402Version"))?;
        if number != version.number() {
            let detail = format!("x402Version: must be {} in this header", version.number());
            return Err(malformed(detail).because(Reason::InvalidVersion));
        }
        let choice = match version {
            Version::V2 => Choice::Whole(presented.accepted.ok_or_else(|| missing("accepted"))?),
            Version::V1 => Choice::Named {
                scheme: presented.scheme.ok_or_else(|| missing("scheme"))?,
                network: presented.network.ok_or_else(|| missing("network"))?,
            },
        };
        let payload = presented.payload.ok_or_else(|| missing("payload"))?;
        // Version 1 has neither resource nor extensions.
        let (resource, extensions) = match version {
            Version::V2 => (presented.resource, presented.extensions.map(Extensions::new).transpose()?),
            Version::V1 => (None, None),
        };
        Ok(Self { version, choice, payload, url: resource.map(|resource| resource.url), extensions })
    }

    /// The network that the client names, for an outcome that tells it of a failure. It may not be among those offered. `None` when it is
    /// longer than any id of a network.
    pub fn network(&self) -> Option<&str> {
        let network = match &self.choice {
            Choice::Whole(chosen) => &chosen.network,
            Choice::Named { network, .. } => network,
        };
        (network.len() <= LONGEST_NETWORK).then_some(network)
    }

    /// The version that the client speaks.
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The proof, whose shape the scheme defines.
    pub const fn payload(&self) -> &RawValue {
        &self.payload
    }

    /// What the client calls its payment (extension `payment-identifier`), to be used like an `Idempotency-Key` of this payer: the same payment
    /// again gets the same answer, another one under the same name [`ProblemKind::Conflict`].
    pub fn identifier(&self) -> Option<&str> {
        self.extensions.as_ref()?.identifier.as_deref()
    }

    /// Finds the offer that is paid, and checks that the payment is for this request as far as it says so. An offer that is not made at the
    /// moment is found as well, so that what was begun under it can be finished.
    ///
    /// The members of `accepted` must be those that were sent, to the letter: all published clients return the strings that they got, also
    /// addresses, and so do the published servers compare. Their order is free. `extra` may hold more, and so may the whole.
    ///
    /// # Errors
    /// 402 with its [`Reason`]; the detail names the field.
    pub fn accept<'o>(&self, offers: &'o Offers, requested: &Requested<'_>) -> Result<Accepted<'o>, Problem> {
        let (index, entry) = match &self.choice {
            Choice::Whole(chosen) => chosen.find(offers)?,
            Choice::Named { scheme, network } => find_named(offers, scheme, network)?,
        };
        if self.url.as_deref().is_some_and(|url| url != requested.url) {
            let problem = Problem::new(ProblemKind::InvalidChallenge, "resource.url: is not the URL that was asked for");
            return Err(problem.because(Reason::InvalidPayload));
        }
        let nonce = match &self.extensions {
            Some(extensions) => extensions.nonce(requested, entry.json(), || offers.resource(requested.url))?,
            None => None,
        };
        let network = match self.version {
            Version::V2 => &entry.requirement.network,
            Version::V1 => entry.v1_network().unwrap_or_default(),
        };
        Ok(Accepted { version: self.version, index, requirement: &entry.requirement, nonce, network })
    }
}

// A payment is money until it is spent: it must not reach a log by accident.
impl fmt::Debug for PaymentPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PaymentPayload").field("version", &self.version).finish_non_exhaustive()
    }
}

/// The member of an offer in which another differs from it. Later ones are closer to being the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Difference {
    Scheme,
    Network,
    Asset,
    PayTo,
    Amount,
    MaxTimeoutSeconds,
    Extra,
}

impl Chosen {
    fn find<'o>(&self, offers: &'o Offers) -> Result<(usize, &'o Entry), Problem> {
        // It may hold more than was offered, but not so much that reading it takes long.
        let longest = offers.entries().map(|(_, entry)| entry.json().len()).max().unwrap_or_default();
        let extra = self.extra(longest)?;
        let mut closest = Difference::Scheme;
        for (index, entry) in offers.entries() {
            match self.difference(&extra, &entry.requirement) {
                None => return Ok((index, entry)),
                Some(difference) => closest = closest.max(difference),
            }
        }
        Err(closest.problem("accepted."))
    }

    fn extra(&self, longest: usize) -> Result<Map<String, Value>, Problem> {
        let Some(extra) = &self.extra else { return Ok(Map::new()) };
        if extra.get().len() > longest {
            return Err(malformed(format!("accepted.extra: exceeds {longest} bytes")));
        }
        serde_json::from_str(extra.get()).map_err(|error| malformed(format!("accepted.extra: {}", describe(&error))))
    }

    fn difference(&self, extra: &Map<String, Value>, offered: &Requirement) -> Option<Difference> {
        let has_extra = |(name, value): (&&str, &String)| extra.get(*name).and_then(Value::as_str) == Some(value);
        let differs = [
            (Difference::Scheme, self.scheme != offered.scheme),
            (Difference::Network, self.network != offered.network),
            (Difference::Asset, self.asset != offered.asset),
            (Difference::PayTo, self.pay_to != offered.pay_to),
            (Difference::Amount, self.amount != offered.amount.to_string()),
            (Difference::MaxTimeoutSeconds, self.max_timeout_seconds != u64::from(offered.max_timeout_seconds)),
            (Difference::Extra, !offered.extra.iter().all(has_extra)),
        ];
        differs.into_iter().find(|(_, differs)| *differs).map(|(difference, _)| difference)
    }
}

fn find_named<'o>(offers: &'o Offers, scheme: &str, network: &str) -> Result<(usize, &'o Entry), Problem> {
    let mut of_scheme = offers.entries().filter(|(_, entry)| entry.requirement.scheme == scheme).peekable();
    of_scheme.peek().ok_or_else(|| Difference::Scheme.problem(""))?;
    of_scheme.find(|(_, entry)| entry.v1_network() == Some(network)).ok_or_else(|| Difference::Network.problem(""))
}

impl Difference {
    fn problem(self, within: &str) -> Problem {
        let (reason, field) = match self {
            Self::Scheme => (Reason::UnsupportedScheme, "scheme"),
            Self::Network => (Reason::InvalidNetwork, "network"),
            Self::Asset => (Reason::InvalidRequirements, "asset"),
            Self::PayTo => (Reason::InvalidRequirements, "payTo"),
            Self::Amount => (Reason::InvalidRequirements, "amount"),
            Self::MaxTimeoutSeconds => (Reason::InvalidRequirements, "maxTimeoutSeconds"),
            Self::Extra => (Reason::InvalidRequirements, "extra"),
        };
        let detail = format!("{within}{field}: is not what is offered here; the offers come with this answer");
        Problem::new(ProblemKind::InvalidChallenge, detail).because(reason)
    }
}

fn missing(field: &str) -> Problem {
    malformed(format!("{field}: is missing"))
}

fn malformed(detail: impl Into<alloc::borrow::Cow<'static, str>>) -> Problem {
    Problem::new(ProblemKind::MalformedCredential, detail)
}
