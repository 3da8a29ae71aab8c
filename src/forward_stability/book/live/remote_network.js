// A network in a worker of its own, so that the page stays quick while it computes.

/** @import { Header } from "./network.js" */
/** @import { Tasks } from "./tasks.js" */
import { WORKER } from "./worker_source.js";

/** @typedef {{ resolve(value: any): void, reject(error: Error): void }} Waiting */

export const NO_WORKER = "No network can run here: the browser or this page forbids workers.";

export class RemoteNetwork {
  /** @param {ArrayBuffer} file an exported file */
  constructor(file) {
    // A worker from a blob also starts on a page that was opened from a file.
    const address = URL.createObjectURL(new Blob([WORKER], { type: "text/javascript" }));
    this.worker = new Worker(address);
    URL.revokeObjectURL(address);
    /** @type {Map<number, Waiting>} */
    this.waiting = new Map();
    this.count = 0;
    this.worker.onmessage = ({ data: { id, value, error } }) => {
      const { resolve, reject } = /** @type {Waiting} */ (this.waiting.get(id));
      this.waiting.delete(id);
      if (error === undefined) resolve(value);
      else reject(new Error(error));
    };
    /** @type {Error | undefined} */
    this.failure = undefined;
    this.worker.onerror = () => this.fail();
    /** @type {Promise<Header>} */
    this.header = this.ask("open", { file });
  }

  /**
   * The answer to a task.
   *
   * @template {keyof Tasks} T
   * @param {T} task
   * @param {Parameters<Tasks[T]>[0]} args
   * @returns {Promise<ReturnType<Tasks[T]>>}
   */
  ask(task, args) {
    const id = this.count++;
    if (this.failure) return Promise.reject(this.failure);
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, task, args });
    });
  }

  /** The worker did not start, or has broken down. */
  fail() {
    this.failure = new Error(NO_WORKER);
    for (const { reject } of this.waiting.values()) reject(this.failure);
    this.waiting.clear();
  }

  close() {
    this.worker.terminate();
  }
}
