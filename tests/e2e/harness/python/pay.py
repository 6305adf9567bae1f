"""pympp's own client as PyPI has it. Reads what to fetch from stdin and writes what came of it to stdout, both as JSON."""

import asyncio
import json
import sys

from eth_account import Account
from mpp.client import Mpp
from mpp.methods.evm import client as evm


async def main() -> None:
    asked = json.load(sys.stdin)
    token = asked["token"]
    method = evm.charge(
        currency=token["address"],
        account=Account.from_key(asked["key"]),
        chain_id=asked["chainId"],
        decimals=6,
        authorization={"name": token["name"], "version": token["version"]},
    )
    paid = []
    async with Mpp(methods=[method]) as mpp:
        mpp.payment_transport.on_payment_response(lambda payment: paid.append(payment["credential"].to_authorization()))
        response = await mpp.fetch(asked["url"], method=asked["method"], content=asked.get("body"))
    answer = {"status": response.status_code, "headers": dict(response.headers), "text": response.text, "paid": paid}
    json.dump(answer, sys.stdout)


asyncio.run(main())
