// Clients that hang up, break off their own requests, or do not read.
import net from "node:net";
import { until } from "./processes.mjs";

/**
 * Sends a request and hangs up once `moment` has come: with a reset, since to TCP a mere close may still mean to listen.
 * Resolves with whether the moment came before an answer did.
 */
export async function leaveAt(stack, path, options, moment) {
  let request;
  const onRequest = (made) => {
    request = made;
  };
  const answered = stack.send(path, { ...options, onRequest }).then(
    () => true,
    () => false,
  );
  const came = await Promise.race([moment().then(() => true), answered.then(() => false)]);
  request.socket.resetAndDestroy();
  await answered;
  return came;
}

/** How a client can break the chunked body of a request that it has begun. */
export const breaks = {
  /** It ends in the middle of a chunk; the client still listens. */
  "ends early": (socket) => socket.end("5\r\nab"),
  /** What follows is no chunk. */
  breaks: (socket) => socket.write("zz\r\nnot a chunk\r\n"),
};

/** Posts the beginning of a chunked body, waits for the beginning of the answer, and breaks the body as `how` does. Resolves with what came. */
export async function breakUpload(stack, path, authorization, begun, how) {
  const { hostname, port } = new URL(stack.gateway.urls[0]);
  const socket = net.connect({ host: hostname, port: Number(port), allowHalfOpen: true });
  let received = "";
  const closed = new Promise((resolve) => socket.on("close", resolve));
  socket.setEncoding("latin1").on("data", (chunk) => {
    received += chunk;
  });
  socket.on("error", () => {});
  socket.on("end", () => socket.end());
  const head = [`POST ${path} HTTP/1.1`, `Host: ${stack.host}`, `Authorization: ${authorization}`, "Transfer-Encoding: chunked"];
  socket.write(`${head.join("\r\n")}\r\n\r\n3\r\nabc\r\n`);
  await until(() => received.includes(begun), "the beginning of the answer");
  how(socket);
  await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, 3_000))]);
  socket.destroy();
  return received;
}

/** Takes the head of an answer, does not read for `ms`, and then reads what is there. Resolves with whether it was cut short. */
export async function stall(stack, path, options, ms) {
  const response = await stack.open(path, options);
  response.pause();
  await new Promise((resolve) => setTimeout(resolve, ms));
  try {
    for await (const _ of response);
  } catch {
    return true;
  }
  return !response.complete;
}
