//! Offers: what a route asks for by each method, and the challenges made of them. A challenge is bound
//! to the very request it was asked for, so that it buys nothing else; that of a session to its route, since its vouchers pay for
//! whatever is asked for there.

use crate::channel::Reuse;
use crate::evm::eip712::Domain;
use crate::json;
use crate::rail::evm::{Intent, Method, session};
use crate::rail::{Ask, Fresh, RESUMABLE, RailId, Terms};
use crate::time::Timestamp;
use crate::wire::encoding::{from_base64, to_base64url};
use crate::wire::mpp::challenge::{BindingKeys, Challenge, Issued, Parameters, Prepared};
use crate::wire::mpp::credential::{Credential, CredentialField, EchoedChallenge};
use crate::wire::mpp::digest::{BodyDigest, sha256_base64url};
use crate::wire::problem::{Problem, ProblemKind};
use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use serde::{Deserialize, Serialize};

/// Random bytes that make two challenges for the same request differ.
pub type Entropy = [u8; 12];

/// One way to pay for a route. Everything that does not depend on the request is computed once.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The rail that it is paid by.
    pub rail: RailId,
    /// What is asked for.
    pub terms: OfferTerms,
    /// base64url of the JCS form of the request object, but for what is asked of the network first.
    pub request: String,
    /// Of challenges with this request object, where their realm is known beforehand.
    prepared: Option<Box<Prepared>>,
}

/// What an offer asks for.
#[derive(Clone, Debug)]
pub enum OfferTerms {
    /// One payment for one request.
    Charge(Arc<dyn Terms>),
    /// A channel, and a voucher with every request.
    Session(Box<SessionOffer>),
}

/// What an offer of a session has besides.
#[derive(Clone, Debug)]
pub struct SessionOffer {
    /// Payment method.
    pub method: Method,
    /// What is asked for.
    pub terms: session::SessionTerms,
    /// The domain in which vouchers are signed.
    pub domain: Domain,
    /// Whether a voucher that has bought may buy again.
    pub reuse: Reuse,
    /// The request object when the gateway submits openings for clients.
    sponsored_request: String,
    /// Of challenges with that one.
    sponsored_prepared: Option<Box<Prepared>>,
    /// Hash of the route and the request object: a challenge is good for every request of its route.
    binding: String,
}

/// What makes the challenges for one client differ from those for others.
#[derive(Clone, Copy, Debug, Default)]
pub struct Circumstances<'a> {
    /// The rails on which the gateway submits openings for clients.
    pub sponsored: &'a [RailId],
    /// The client's channel, its rail and method.
    pub snapshot: Option<(RailId, Method, &'a session::Snapshot)>,
    /// What the network gave for this offer ([`Terms::first`]).
    pub fresh: Option<&'a Fresh>,
}

/// No challenge of ours is this much longer than what its offer asks for: what is longer is not hashed.
const MORE_THAN_REQUEST: usize = 2048;

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
    /// Where its credential is, or would be.
    pub field: CredentialField,
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
    /// An offer of a charge.
    pub fn of_charge(rail: RailId, terms: Arc<dyn Terms>, description: Option<&str>) -> Self {
        Self { rail, request: to_base64url(terms.request(description, None)), terms: OfferTerms::Charge(terms), prepared: None }
    }

    /// An offer of a session on `route`, a pattern.
    pub fn of_session(
        rail: RailId,
        method: Method,
        route: &str,
        terms: session::SessionTerms,
        description: Option<&str>,
        reuse: Reuse,
    ) -> Self {
        let request = terms.request(method, description, false, None);
        let sponsored_request = to_base64url(terms.request(method, description, true, None));
        let binding = sha256_base64url(format!("session {route} {request}").as_bytes());
        let domain = session::domain(method, terms.chain_id, terms.escrow);
        let session = SessionOffer { method, terms, domain, reuse, sponsored_request, sponsored_prepared: None, binding };
        Self { rail, request: to_base64url(request), terms: OfferTerms::Session(Box::new(session)), prepared: None }
    }

    /// Does the work beforehand that all challenges in the protection space `realm` have in common.
    pub fn prepare(&mut self, keys: &BindingKeys, realm: &str, description: Option<&str>) {
        let prepare = |request: &str| {
            let terms = self.parameters(realm, request);
            Box::new(keys.prepare(&Challenge { id: "", terms, description }))
        };
        let (prepared, sponsored) = (prepare(&self.request), self.session().map(|session| prepare(&session.sponsored_request)));
        self.prepared = Some(prepared);
        if let OfferTerms::Session(session) = &mut self.terms {
            session.sponsored_prepared = sponsored;
        }
    }

    /// What challenges with this request object have in common, as terms.
    fn parameters<'a>(&'a self, realm: &'a str, request: &'a str) -> Parameters<'a> {
        let (method, intent) = (self.method(), self.intent().name());
        Parameters { realm, method, intent, request, expires: None, digest: None, opaque: None, header: None }
    }

    /// What was prepared for challenges with these terms, if that was.
    fn prepared_for(&self, terms: &Parameters<'_>) -> Option<&Prepared> {
        let sponsored = self.session().map(|session| (&session.sponsored_request, &session.sponsored_prepared));
        let mut requests = [(&self.request, &self.prepared)].into_iter().chain(sponsored);
        let (_, prepared) = requests.find(|(request, _)| *request == terms.request)?;
        let prepared = prepared.as_deref().filter(|prepared| prepared.realm() == terms.realm)?;
        (self.method() == terms.method && self.intent().name() == terms.intent).then_some(prepared)
    }

    /// Payment method.
    pub fn method(&self) -> &str {
        match &self.terms {
            OfferTerms::Charge(terms) => terms.method(),
            OfferTerms::Session(session) => session.method.name(),
        }
    }

    /// What must be asked of the network before this can be offered ([`Terms::first`]).
    pub fn first(&self, description: Option<&str>) -> Option<Ask> {
        self.charge().and_then(|terms| terms.first(description))
    }

    /// What a charge asks for, where it is one.
    pub const fn charge(&self) -> Option<&Arc<dyn Terms>> {
        match &self.terms {
            OfferTerms::Charge(terms) => Some(terms),
            OfferTerms::Session(_) => None,
        }
    }

    /// Payment intent.
    pub const fn intent(&self) -> Intent {
        match self.terms {
            OfferTerms::Charge(_) => Intent::Charge,
            OfferTerms::Session(_) => Intent::Session,
        }
    }

    /// What a session asks for, where it is one.
    pub fn session(&self) -> Option<&SessionOffer> {
        match &self.terms {
            OfferTerms::Charge(_) => None,
            OfferTerms::Session(session) => Some(session),
        }
    }

    /// Makes a challenge that expires at `expires`.
    pub fn issue(
        &self,
        asked: &Asked<'_>,
        keys: &BindingKeys,
        description: Option<&str>,
        circumstances: &Circumstances<'_>,
        expires: Timestamp,
        entropy: Entropy,
    ) -> Issued {
        let opaque = Opaque { n: to_base64url(entropy), t: self.binding(asked) };
        // A struct of two strings always serialises.
        let opaque = to_base64url(serde_json::to_string(&opaque).unwrap_or_default());
        // What the network gave can be paid no longer than that.
        let expires = circumstances.fresh.map_or(expires, |fresh| fresh.until.min(expires)).to_rfc3339();
        let request = self.request_in(circumstances, description);
        let digest = asked.digest.filter(|_| self.session().is_none()).map(|digest| digest.to_string());
        let terms = Parameters {
            expires: Some(&expires),
            digest: digest.as_deref(),
            opaque: Some(&opaque),
            header: asked.field.parameter(),
            ..self.parameters(asked.realm, &request)
        };
        match self.prepared_for(&terms) {
            Some(prepared) => prepared.issue(&terms),
            None => keys.prepare(&Challenge { id: "", terms, description }).issue(&terms),
        }
    }

    fn request_in(&self, circumstances: &Circumstances<'_>, description: Option<&str>) -> Cow<'_, str> {
        let session = match &self.terms {
            OfferTerms::Session(session) => session,
            OfferTerms::Charge(terms) => {
                let fresh = circumstances.fresh.map(|fresh| to_base64url(terms.request(description, Some(fresh))));
                return fresh.map_or(Cow::Borrowed(&self.request), Cow::Owned);
            }
        };
        let sponsored = circumstances.sponsored.contains(&self.rail);
        match circumstances.snapshot {
            Some((rail, method, snapshot)) if (rail, method) == (self.rail, session.method) => {
                Cow::Owned(to_base64url(session.terms.request(method, description, sponsored, Some(snapshot))))
            }
            _ if sponsored => Cow::Borrowed(&session.sponsored_request),
            _ => Cow::Borrowed(&self.request),
        }
    }

    /// What a challenge of this offer is good for, as a hash.
    fn binding(&self, asked: &Asked<'_>) -> String {
        match &self.terms {
            OfferTerms::Session(session) => session.binding.clone(),
            OfferTerms::Charge(terms) if terms.asks_first() => asked.binding_with(&self.request),
            OfferTerms::Charge(_) => asked.binding(),
        }
    }

    /// Whether a challenge of this method, intent and request may have been made of this offer. That of a session may
    /// hold a snapshot, another what the network gave; their bindings tell.
    fn may_have_made(&self, challenge: &EchoedChallenge) -> bool {
        self.method() == challenge.method
            && self.intent().name() == challenge.intent
            && (self.request == challenge.request || self.session().is_some() || self.charge().is_some_and(|terms| terms.asks_first()))
    }
}

impl Asked<'_> {
    fn binding(&self) -> String {
        sha256_base64url(format!("{} {}", self.method, self.target).as_bytes())
    }

    /// The same, and what is asked for.
    fn binding_with(&self, request: &str) -> String {
        sha256_base64url(format!("{} {} {request}", self.method, self.target).as_bytes())
    }

    /// Finds the offer that the credential answers, and compares the body.
    ///
    /// # Errors
    /// Those of [`Asked::accept_head`] and [`Accepted::covers`].
    pub fn accept<'o>(
        &self,
        credential: &Credential,
        offers: &'o [Offer],
        keys: &BindingKeys,
        now: Timestamp,
    ) -> Result<Accepted<'o>, Problem> {
        let accepted = self.accept_head(credential, offers, keys, now)?;
        accepted.covers(credential, self.digest)?;
        Ok(accepted)
    }

    /// Finds the offer that the credential answers by all but the body, which need not have come yet.
    ///
    /// # Errors
    /// `invalid-challenge` when the challenge is not ours, was issued for another request, or asks for
    /// what is no longer offered; `payment-expired` when it is older than anything could resume.
    pub fn accept_head<'o>(
        &self,
        credential: &Credential,
        offers: &'o [Offer],
        keys: &BindingKeys,
        now: Timestamp,
    ) -> Result<Accepted<'o>, Problem> {
        let challenge = &credential.challenge;
        let longest = offers.iter().map(|offer| offer.request.len()).max().unwrap_or_default() + MORE_THAN_REQUEST;
        let terms = challenge.terms();
        let is_ours = || match offers.iter().find_map(|offer| offer.prepared_for(&terms)) {
            Some(prepared) => prepared.verify(&challenge.id, &terms),
            None => keys.verify(&challenge.id, &terms),
        };
        if challenge.length() > longest || !is_ours() {
            return Err(invalid("challenge: was not issued by this gateway, or was changed; answer the fresh one of this answer"));
        }
        if challenge.realm != self.realm {
            return Err(invalid("challenge.realm: is not that of this resource; answer the fresh challenge of this answer"));
        }
        if challenge.header.as_deref() != self.field.parameter() {
            return Err(invalid(
                "challenge.header: names another header field than the credential came in; answer the fresh challenge of this answer",
            ));
        }
        let bound = challenge
            .opaque
            .as_deref()
            .and_then(|text| from_base64(text).ok())
            .and_then(|json| json::read::<Opaque>(str::from_utf8(&json).ok()?).ok());
        let is_bound_to = |offer: &Offer| bound.as_ref().is_some_and(|opaque| opaque.t == offer.binding(self));
        let mut possible = offers.iter().filter(|offer| offer.may_have_made(challenge)).peekable();
        let Some(first) = possible.peek().copied() else {
            return Err(invalid("challenge.request: is not offered here any more; answer the fresh challenge of this answer"));
        };
        let Some(offer) = possible.find(|offer| is_bound_to(offer)) else {
            return Err(invalid(match first.terms {
                OfferTerms::Session(_) => {
                    "challenge: is for another route, or the terms have changed since; use the same voucher under the fresh challenge of this answer"
                }
                OfferTerms::Charge(_) => "challenge: is for another method, path or query; answer the fresh one of this answer",
            }));
        };
        let expires = challenge.expires.as_deref().map(Timestamp::parse_rfc3339);
        let Some(Ok(expires)) = expires else {
            return Err(invalid("challenge.expires: is missing, or no RFC 3339 time; answer the fresh challenge of this answer"));
        };
        if now >= expires.saturating_add(RESUMABLE) {
            return Err(Problem::challenge_expired());
        }
        Ok(Accepted { offer, expires })
    }
}

impl Accepted<'_> {
    /// Compares the body, by the digest of one that is bound; those of sessions are not.
    ///
    /// # Errors
    /// `invalid-challenge` when the challenge was issued for another one.
    pub fn covers(&self, credential: &Credential, digest: Option<BodyDigest>) -> Result<(), Problem> {
        let digest = digest.filter(|_| self.offer.session().is_none());
        if credential.challenge.digest.as_deref().map(BodyDigest::parse) == digest.map(Some) {
            return Ok(());
        }
        Err(invalid("challenge.digest: is that of another request body; answer the fresh challenge of this answer"))
    }
}

fn invalid(detail: &'static str) -> Problem {
    Problem::new(ProblemKind::InvalidChallenge, detail)
}
