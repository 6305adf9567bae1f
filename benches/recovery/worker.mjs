// GET /ours/10, /known/10, /made/10 or /k256/10: ten rounds of 64 signatures, and how many signers were right.
import module from "./recovery.wasm";

const { exports } = new WebAssembly.Instance(module, {});

export default {
  fetch(request) {
    const [, which, rounds] = new URL(request.url).pathname.split("/");
    return new Response(String(exports[which](Number(rounds))));
  },
};
