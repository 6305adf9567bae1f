// A page in a browser, as far as CORS goes: the Fetch standard's "CORS-preflight fetch", "CORS check" and "CORS filtered response".
const SAFE_METHODS = new Set(["GET", "HEAD", "POST"]);
const SAFE_REQUEST_HEADERS = new Set(["accept", "accept-language", "content-language"]);
const SAFE_RESPONSE_HEADERS = ["cache-control", "content-language", "content-length", "content-type", "expires", "last-modified"];

/** What a browser tells a page whose request it did not let through: nothing more than that. */
export class NetworkError extends Error {}

const list = (value) =>
  (value ?? "")
    .split(",")
    .map((item) => item.trim())
    .filter(Boolean);
const lower = (names) => names.map((name) => name.toLowerCase());

export class Page {
  /** @param {import("./stack.mjs").Stack} stack */
  constructor(stack, origin = "https://app.example") {
    Object.assign(this, { stack, origin });
  }

  /**
   * As `fetch` in a page: throws {@link NetworkError} when the browser would not let the page know.
   * @returns what the page may see: {status, text, headers: only those exposed}, and the whole `answer` for the test
   */
  async fetch(path, { method = "GET", headers = {}, credentials = "same-origin", ...options } = {}) {
    const included = credentials === "include";
    const unsafe = lower(Object.keys(headers))
      .filter((name) => !SAFE_REQUEST_HEADERS.has(name))
      .sort();
    if (!SAFE_METHODS.has(method) || unsafe.length > 0) await this.#preflight(path, method, unsafe, included);
    const cookies = included ? { Cookie: "session=1" } : {};
    const answer = await this.stack.send(path, { method, headers: { ...headers, ...cookies, Origin: this.origin }, ...options });
    this.#check(answer, included, "the answer");
    const named = lower(list(answer.headers["access-control-expose-headers"]));
    const all = !included && named.includes("*");
    const seen = ([name]) => SAFE_RESPONSE_HEADERS.includes(name) || all || named.includes(name);
    const exposed = Object.fromEntries(Object.entries(answer.headers).filter(seen));
    return { status: answer.status, text: answer.text, headers: exposed, answer };
  }

  async #preflight(path, method, unsafe, included) {
    const headers = { Accept: "*/*", Origin: this.origin, "Access-Control-Request-Method": method };
    if (unsafe.length > 0) headers["Access-Control-Request-Headers"] = unsafe.join(",");
    const answer = await this.stack.send(path, { method: "OPTIONS", headers });
    this.#check(answer, included, "the preflight");
    if (answer.status < 200 || answer.status > 299) throw new NetworkError(`the preflight's status is ${answer.status}`);
    const methods = list(answer.headers["access-control-allow-methods"]);
    const names = lower(list(answer.headers["access-control-allow-headers"]));
    const any = (items) => !included && items.includes("*");
    if (!methods.includes(method) && !SAFE_METHODS.has(method) && !any(methods))
      throw new NetworkError(`${method} is not allowed`);
    for (const name of unsafe) {
      if (!names.includes(name) && (name === "authorization" || !any(names))) throw new NetworkError(`${name} is not allowed`);
    }
  }

  #check(answer, included, what) {
    const allowed = answer.headers["access-control-allow-origin"];
    if (!included && allowed === "*") return;
    if (allowed !== this.origin) throw new NetworkError(`${what} is not for ${this.origin} but ${allowed}`);
    if (included && answer.headers["access-control-allow-credentials"] !== "true")
      throw new NetworkError(`${what}: no credentials`);
  }
}
