// A metered body on its way from the origin to the client. What may go out is said by the core; what is done for each chunk is done
// here, since a stream has many, and a promise that crosses into wasm costs more than all of that.

export class MeteredFlow {
  #reader;
  #writer;
  /** What chunks are read into, in turn; none where the source gives its own. */
  #buffer;
  #leave;
  #isOver = false;
  #isWriting = false;
  #sent = 0;
  #unread = 0;

  /** Reads `size` bytes at once at the most. */
  constructor(source, sink, client, size) {
    try {
      this.#reader = source.getReader({ mode: "byob" });
      this.#buffer = new ArrayBuffer(size);
    } catch {
      this.#reader = source.getReader();
    }
    this.#writer = sink.getWriter();
    /** Resolves when the client hangs up, or nobody has anything to do with it any more: wasm keeps who waits for it until then. */
    this.left = new Promise((resolve) => {
      this.#leave = () => {
        this.#isOver = true;
        resolve();
      };
    });
    if (client.aborted) this.#leave();
    else client.addEventListener("abort", this.#leave, { once: true });
  }

  /**
   * Lets chunks through until one is held back, or there are no more. `gate` is given each when all before has gone out: `true` lets
   * it out as it is, bytes go out instead of it, `undefined` is nothing yet, and `false` holds it back. When the client hangs up it
   * is not called any more.
   * @returns {Promise<"ended" | "held" | "broke" | "left">} what it came to; it "broke" when the origin did
   */
  async run(gate) {
    try {
      while (!this.#isOver) {
        const { value, done } = await (this.#buffer ? this.#reader.read(new Uint8Array(this.#buffer)) : this.#reader.read());
        if (done) return "ended";
        if (this.#buffer) this.#buffer = value.buffer;
        if (this.#isOver) break;
        const verdict = gate(value);
        if (verdict === false) return "held";
        if (verdict === undefined) continue;
        const bytes = verdict === true ? value : verdict;
        const since = Date.now();
        this.#isWriting = true;
        await this.#writer.write(bytes);
        this.#isWriting = false;
        this.#unread += Date.now() - since;
        this.#sent += bytes.byteLength;
      }
    } catch {
      return this.#isWriting ? "left" : "broke";
    }
    return "left";
  }

  /** Writes something, and says whether it was taken. */
  async write(bytes) {
    const since = Date.now();
    try {
      await this.#writer.write(bytes);
    } catch {
      return false;
    }
    this.#unread += Date.now() - since;
    this.#sent += bytes.byteLength;
    return true;
  }

  /** The client's end. One that is not whole shows it. */
  async finish(isWhole) {
    try {
      await (isWhole ? this.#writer.close() : this.#writer.abort("the body is not whole"));
    } catch {
      // The client has left.
    }
  }

  /** The origin learns that nobody reads on; if it has ended, that changes nothing. */
  async letGo() {
    this.#leave();
    await this.#reader.cancel().catch(() => {});
  }

  /** Whether what the gate let out last was not taken yet. */
  get isWriting() {
    return this.#isWriting;
  }

  /** Bytes that went out. */
  get sent() {
    return BigInt(this.#sent);
  }

  /** How long the client did not read them, in milliseconds. */
  get unread() {
    return this.#unread;
  }
}
