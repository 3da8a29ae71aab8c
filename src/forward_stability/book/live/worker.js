// The worker: it answers one request at a time. Requests are {id, task, args}; the answer has the
// same id and a value or an error. The other side is remote_network.js.

import { TASKS } from "./tasks.js";

self.onmessage = ({ data: { id, task, args } }) => {
  try {
    self.postMessage({ id, value: TASKS[/** @type {keyof typeof TASKS} */ (task)](args) });
  } catch (error) {
    self.postMessage({ id, error: /** @type {Error} */ (error).message });
  }
};
