import { conform } from "./suite.mjs";
import { x402 } from "./wires.mjs";

await conform(x402(2));
