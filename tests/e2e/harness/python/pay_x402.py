"""x402's own clients as PyPI has them. Reads what to fetch from stdin and writes what came of it to stdout, both as JSON."""

import asyncio
import json
import sys

import requests
from eth_account import Account
from x402 import x402Client, x402ClientSync
from x402.http.clients import wrapHttpxWithPayment, wrapRequestsWithPayment
from x402.http.utils import decode_payment_response_header
from x402.mechanisms.evm import EthAccountSigner
from x402.mechanisms.evm.exact import register_exact_evm_client


def ready(client, asked):
    """A token that is no default is allowed by name; with none named, the client has its defaults."""
    register_exact_evm_client(client, EthAccountSigner(Account.from_key(asked["key"])))
    if allowed := asked.get("allowed"):
        client.set_spend_controls({"allowed_assets": [{**allowed, "max_amount_per_payment": "100000"}]})
        client.register_policy(lambda _version, offers: [offer for offer in offers if offer.network == allowed["network"]])
    return client


async def by_httpx(asked):
    async with wrapHttpxWithPayment(ready(x402Client(), asked)) as client:
        return await client.request(asked["method"], asked["url"], content=asked.get("body"))


def by_requests(asked):
    session = wrapRequestsWithPayment(requests.Session(), ready(x402ClientSync(), asked))
    return session.request(asked["method"], asked["url"], data=asked.get("body"))


asked = json.load(sys.stdin)
response = asyncio.run(by_httpx(asked)) if asked["library"] == "httpx" else by_requests(asked)
outcome = response.headers.get("payment-response")
told = decode_payment_response_header(outcome).model_dump(by_alias=True, exclude_none=True) if outcome else None
answer = {"status": response.status_code, "headers": dict(response.headers), "text": response.text, "told": told}
json.dump(answer, sys.stdout)
