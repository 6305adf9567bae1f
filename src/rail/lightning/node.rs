//! The node that makes invoices, by the API of [LND](https://lightning.engineering/api-docs/api/lnd/) or of
//! [phoenixd](https://phoenix.acinq.co/server/api).

use crate::evm::B256;
use crate::json;
use crate::money::Amount;
use crate::rail::http::{HttpBody, HttpRequest, form};
use crate::wire::encoding::to_base64;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// Whose API it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// Its macaroon is sent as it is, in hexadecimal digits.
    Lnd,
    /// Its password is that of Basic authentication.
    Phoenixd,
}

/// A node, and what proves to it who we are. It is shared by all that is offered.
#[derive(Clone)]
pub struct Node {
    pub(super) kind: NodeKind,
    /// Without a slash at its end.
    pub(super) url: String,
    pub(super) secret: Arc<str>,
}

/// The longest line for people that stands in an invoice, in bytes.
const LONGEST_MEMO: usize = 100;

impl Node {
    fn request(&self, method: &'static str, path: &str) -> HttpRequest {
        let request = HttpRequest::new(method, format!("{}{path}", self.url));
        match self.kind {
            NodeKind::Lnd => request.with("grpc-metadata-macaroon", self.secret.to_string()),
            NodeKind::Phoenixd => request.with("authorization", format!("Basic {}", to_base64(format!(":{}", self.secret)))),
        }
    }

    /// Asks for an invoice of `satoshi` that can be paid for `lifetime`.
    pub(super) fn make_invoice(&self, satoshi: Amount, memo: Option<&str>, lifetime: Duration) -> HttpRequest {
        #[derive(Serialize)]
        struct Invoice<'a> {
            value: Amount,
            memo: &'a str,
            expiry: &'a str,
        }
        // A line for people is ASCII.
        let memo = memo.map_or("", |memo| memo.get(..LONGEST_MEMO).unwrap_or(memo));
        let expiry = lifetime.as_secs().to_string();
        match self.kind {
            NodeKind::Lnd => {
                let invoice = Invoice { value: satoshi, memo, expiry: &expiry };
                self.request("POST", "/v1/invoices").sending(HttpBody::Json(serde_json::to_string(&invoice).unwrap_or_default()))
            }
            NodeKind::Phoenixd => {
                let fields = [("amountSat", &*satoshi.to_string()), ("description", memo), ("expirySeconds", &expiry)];
                self.request("POST", "/createinvoice").sending(HttpBody::Form(form(&fields)))
            }
        }
    }

    /// The invoice that it made.
    pub(super) fn invoice(&self, body: &str) -> Option<String> {
        #[derive(Deserialize)]
        struct Made {
            #[serde(alias = "serialized")]
            payment_request: String,
        }
        json::read(body).ok().map(|made: Made| made.payment_request)
    }

    /// Asks what became of an invoice.
    pub(super) fn look_up(&self, payment_hash: B256) -> HttpRequest {
        match self.kind {
            NodeKind::Lnd => self.request("GET", &format!("/v1/invoice/{payment_hash:x}")),
            NodeKind::Phoenixd => self.request("GET", &format!("/payments/incoming/{payment_hash:x}")),
        }
    }

    /// Whether it says that the invoice was paid.
    pub(super) fn has_been_paid(&self, body: &str) -> bool {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Found {
            #[serde(default)]
            state: String,
            #[serde(default)]
            is_paid: bool,
        }
        json::read(body).is_ok_and(|found: Found| match self.kind {
            NodeKind::Lnd => found.state == "SETTLED",
            NodeKind::Phoenixd => found.is_paid,
        })
    }

    /// Asks whether it is there.
    pub(super) fn probe(&self) -> HttpRequest {
        match self.kind {
            NodeKind::Lnd => self.request("GET", "/v1/getinfo"),
            NodeKind::Phoenixd => self.request("GET", "/getinfo"),
        }
    }
}
