// Vouchers by the thousand, signed beforehand on every core: what is measured or killed later is the gateway and not the client.
import { availableParallelism } from "node:os";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { privateKeyToAccount } from "viem/accounts";
import { signVoucher } from "./channels.mjs";

/**
 * Signatures of the vouchers `step`, 2 × `step`, … `count` × `step` of each channel, in the order of `channels`.
 * @param {import("./channels.mjs").Channel[]} channels whose signers were made from a private key
 * @returns {Promise<string[][]>}
 */
export async function presign(channels, count, step) {
  const jobs = channels.map(({ id, domain, signer }) => ({ id, domain, privateKey: signer.privateKey, count, step }));
  const size = Math.ceil(jobs.length / Math.min(jobs.length, availableParallelism()));
  const parts = [];
  for (let i = 0; i < jobs.length; i += size) parts.push(inWorker(jobs.slice(i, i + size)));
  return (await Promise.all(parts)).flat();
}

function inWorker(jobs) {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: { presign: jobs } });
    worker.once("message", resolve);
    worker.once("error", reject);
  });
}

if (!isMainThread && workerData?.presign) {
  const signed = [];
  for (const { id, domain, privateKey, count, step } of workerData.presign) {
    const account = privateKeyToAccount(privateKey);
    const list = [];
    for (let i = 1n; i <= count; i++) list.push(await signVoucher(account, domain, id, i * step));
    signed.push(list);
  }
  parentPort.postMessage(signed);
}
