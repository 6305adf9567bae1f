//! Offers: what a route asks for by each method, and the challenges made of them. A challenge is bound
//! to the very request it was asked for, so that it buys nothing else.

use crate::method::charge::RESUMABLE;
use crate::method::{Intent, Method};
use crate::protocol::challenge::{BindingKeys, Challenge, Terms};
use crate::protocol::credential::Credential;
use crate::protocol::digest::{BodyDigest, sha256_base64url};
use crate::protocol::encoding::{from_base64, to_base64url};
use crate::protocol::problem::{Problem, ProblemKind};
use crate::time::Timestamp;
use alloc::format;
use alloc::string::{String, ToString};
use serde::{Deserialize, Serialize};

/// Random bytes that make two challenges for the same request differ.
pub type Entropy = [u8; 12];

/// One way to pay for a route. Everything that does not depend on the request is computed once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Payment method.
    pub method: Method,
    /// Payment intent.
    pub intent: Intent,
    /// base64url of the JCS form of the request object.
    pub request: String,
}

/// The HTTP request that is to be paid for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The protection space.
    pub realm: &'a str,
    /// HTTP method.
    pub method: &'a str,
    /// Path and query as they stand on the request line.
    pub target: &'a str,
    /// Digest of the body, on routes that bind it.
    pub digest: Option<BodyDigest>,
}

/// A fresh challenge.
#[derive(Clone, Debug)]
pub struct Issued {
    /// Its id.
    pub id: String,
    /// The value of its `WWW-Authenticate` line.
    pub header: String,
}

/// What `opaque` carries through the client, in JCS order.
#[derive(Serialize, Deserialize)]
struct Opaque {
    /// Entropy.
    n: String,
    /// Hash of HTTP method, path and query.
    t: String,
}

/// An authentic, current challenge, answered for the request it was issued for.
#[derive(Clone, Copy, Debug)]
pub struct Accepted<'a> {
    /// The offer it was made of.
    pub offer: &'a Offer,
    /// When it expires; may lie in the past by up to [`RESUMABLE`].
    pub expires: Timestamp,
}

impl Offer {
    /// An offer of `request`, a JCS text.
    pub fn new(method: Method, intent: Intent, request: &str) -> Self {
        Self { method, intent, request: to_base64url(request) }
    }

    /// Makes a challenge that expires at `expires`.
    pub fn issue(&self, asked: &Asked<'_>, keys: &BindingKeys, description: Option<&str>, expires: Timestamp, entropy: Entropy) -> Issued {
        let opaque = Opaque { n: to_base64url(entropy), t: asked.binding() };
        // A struct of two strings always serialises.
        let opaque = to_base64url(serde_json::to_vec(&opaque).unwrap_or_default());
        let expires = expires.to_rfc3339();
        let digest = asked.digest.map(|digest| digest.to_string());
        let terms = Terms {
            realm: asked.realm,
            method: self.method.name(),
            intent: self.intent.name(),
            request: &self.request,
            expires: Some(&expires),
            digest: digest.as_deref(),
            opaque: Some(&opaque),
        };
        let id = keys.bind(&terms);
        let header = Challenge { id: &id, terms, description }.to_header();
        Issued { id, header }
    }
}

impl Asked<'_> {
    fn binding(&self) -> String {
        sha256_base64url(format!("{} {}", self.method, self.target).as_bytes())
    }

    /// Finds the offer that the credential answers.
    ///
    /// # Errors
    /// `invalid-challenge` when the challenge is not ours, was issued for another request, or asks for
    /// what is no longer offered; `payment-expired` when it is older than anything could resume.
    pub fn accept<'o>(
        &self,
        credential: &Credential,
        offers: &'o [Offer],
        keys: &BindingKeys,
        now: Timestamp,
    ) -> Result<Accepted<'o>, Problem> {
        let challenge = &credential.challenge;
        if !keys.verify(&challenge.id, &challenge.terms()) {
            return Err(invalid("the challenge was not issued by this gateway, or was changed"));
        }
        if challenge.realm != self.realm {
            return Err(invalid("the challenge was issued for another realm"));
        }
        let bound = challenge
            .opaque
            .as_deref()
            .and_then(|text| from_base64(text).ok())
            .and_then(|json| serde_json::from_slice::<Opaque>(&json).ok());
        if bound.is_none_or(|opaque| opaque.t != self.binding()) {
            return Err(invalid("the challenge was issued for another method, path or query"));
        }
        if challenge.digest.as_deref().map(BodyDigest::parse) != self.digest.map(Some) {
            return Err(invalid("the challenge was issued for another request body"));
        }
        let offer = offers
            .iter()
            .find(|offer| {
                offer.method.name() == challenge.method && offer.intent.name() == challenge.intent && offer.request == challenge.request
            })
            .ok_or_else(|| invalid("the offer has changed since the challenge was issued; a fresh one comes with this answer"))?;
        let expires = challenge.expires.as_deref().map(Timestamp::parse_rfc3339);
        let Some(Ok(expires)) = expires else { return Err(invalid("the challenge has no expiry")) };
        if now >= expires.saturating_add(RESUMABLE) {
            return Err(Problem::new(ProblemKind::PaymentExpired, "the challenge has expired; a fresh one comes with this answer"));
        }
        Ok(Accepted { offer, expires })
    }
}

fn invalid(detail: &'static str) -> Problem {
    Problem::new(ProblemKind::InvalidChallenge, detail)
}
