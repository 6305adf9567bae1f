import { conform } from "./suite.mjs";
import { mpp } from "./wires.mjs";

await conform(mpp("evm"));
