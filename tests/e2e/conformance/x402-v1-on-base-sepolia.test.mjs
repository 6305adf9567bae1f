// The second of two networks that one gateway takes payments on.
import { conform } from "./suite.mjs";
import { x402 } from "./wires.mjs";

await conform(x402(1), "base-sepolia", ["abstract-testnet", "base-sepolia"]);
