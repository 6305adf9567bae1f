// The second of two networks that one gateway takes payments on.
import { conform } from "./suite.mjs";
import { mpp } from "./wires.mjs";

await conform(mpp("evm"), "base-sepolia", ["abstract-testnet", "base-sepolia"]);
