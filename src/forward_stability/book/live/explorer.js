// An explorer on a page: it opens its networks and its images, and starts.

/** @import { Header } from "./network.js" */
import { element } from "./element.js";
import { NO_WORKER, RemoteNetwork } from "./remote_network.js";
import { followTheme } from "./theme.js";

/**
 * An image with values in [0, 1]; the label is the index of its class, or null if it has none. One
 * of the reader's own may be inverted.
 *
 * @typedef {{ name: string, label: number | null, data: Float64Array, inverted?: boolean }} Picture
 */

/**
 * What an explorer starts from.
 *
 * @typedef {object} Setting
 * @property {HTMLElement} root which the explorer fills
 * @property {string} note for below the explorer
 * @property {Picture[]} images
 * @property {RemoteNetwork[]} networks
 * @property {Header[]} headers of the networks
 * @property {HTMLElement} message for the reader
 * @property {(error: Error) => void} fail puts an error into the message
 */

/**
 * What the Python side gives: names of files that hold a network, and what the images in the file
 * "images" are, 8 bits a number.
 *
 * @typedef {object} Spec
 * @property {string[]} networks
 * @property {{ name: string, label: number | null }[]} images
 * @property {string} note
 */

/** @typedef {{ get(name: "spec"): Spec, get(name: "files"): Record<string, DataView> }} Model */

/**
 * What an anywidget host, or the script on a page, calls; `render` returns what ends the explorer.
 *
 * @param {(setting: Setting) => void} start
 */
export function explorer(start) {
  return {
    /** @param {{ model: Model, el: HTMLElement }} host */
    render({ model, el }) {
      const root = element("div", { class: "fs-live" });
      root.addEventListener("keydown", keep);
      el.append(root);
      const unfollow = followTheme(root);
      const networks = open(root, model.get("spec"), model.get("files"), start);
      return () => {
        unfollow();
        for (const network of networks) network.close();
      };
    },
  };
}

/**
 * JupyterLab takes arrows and letters for its commands, if they come up to it.
 *
 * @param {KeyboardEvent} event
 */
function keep(event) {
  if (!event.ctrlKey && !event.metaKey) event.stopPropagation();
}

/**
 * Starts in `root` as soon as the networks are open.
 *
 * @param {HTMLElement} root
 * @param {Spec} spec
 * @param {Record<string, DataView>} files
 * @param {(setting: Setting) => void} start
 */
function open(root, { networks: names, images: known, note }, files, start) {
  const message = element("p", { class: "fs-message", role: "alert" });
  root.append(message);
  const fail = (/** @type {Error} */ error) => {
    message.textContent = error.message;
  };
  /** @type {RemoteNetwork[]} */
  let networks = [];
  try {
    networks = names.map((name) => new RemoteNetwork(bytes(files[name])));
  } catch {
    fail(new Error(NO_WORKER));
    return networks;
  }
  const images = pictures(known, new Uint8Array(bytes(files.images)));
  Promise.all(networks.map((network) => network.header))
    .then((headers) => start({ root, note, images, networks, headers, message, fail }))
    .catch(fail);
  return networks;
}

/**
 * The images from their stored numbers.
 *
 * @param {Spec["images"]} known
 * @param {Uint8Array} stored
 * @returns {Picture[]}
 */
function pictures(known, stored) {
  const size = stored.length / known.length;
  return known.map((image, i) => {
    const values = stored.subarray(i * size, (i + 1) * size);
    return { ...image, data: Float64Array.from(values, (z) => z / 255) };
  });
}

/**
 * The content of a file, which hosts hand over as a DataView.
 *
 * @param {DataView} file
 */
function bytes({ buffer, byteOffset, byteLength }) {
  return /** @type {ArrayBuffer} */ (buffer.slice(byteOffset, byteOffset + byteLength));
}
