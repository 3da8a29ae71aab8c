// What one network makes of a picture, in the feature explorer.

/** @import { Picture } from "./explorer.js" */
/** @import { Features } from "./features.js" */
/** @import { Header } from "./network.js" */
/** @import { RemoteNetwork } from "./remote_network.js" */
import { context, draw } from "./canvas.js";
import { element } from "./element.js";
import { raised } from "./numbers.js";
import { verdict } from "./verdict.js";

const COLUMNS = 8; // channels side by side

/** @typedef {{ features: Features[], answer: string }} Opened */

export class FeaturesView {
  /**
   * @param {RemoteNetwork} network
   * @param {Header} header
   * @param {(channel: number) => void} chosen is called with a channel that is clicked
   */
  constructor(network, header, chosen) {
    this.network = network;
    this.header = header;
    this.sheet = element("canvas", { class: "fs-sheet", role: "img", "aria-label": header.name });
    this.sheet.addEventListener("click", (event) => chosen(this.channelAt(event)));
    this.outline = element("span", { class: "fs-outline" });
    this.single = element("canvas", { role: "img", "aria-label": header.name });
    this.caption = element("figcaption");
    this.verdict = element("p", { class: "fs-verdict" });
    this.channels = 0; // of the features that are shown
    this.tile = { height: 1, width: 1 }; // of a channel on the sheet, with the gap to the next
    this.root = element(
      "section", { class: "fs-panel", "data-variant": header.variant, "aria-label": header.name },
      element("p", { class: "fs-name" }, header.name),
      this.verdict,
      element("div", { class: "fs-sheets" }, this.sheet, this.outline),
      element("figure", { class: "fs-picture" }, this.single, this.caption));
  }

  /**
   * Computes the features of a picture, and the answer.
   *
   * @param {Picture} picture
   * @returns {Promise<Opened>}
   */
  async open({ data, label }) {
    const features = await this.network.ask("features", { image: data });
    const scores = features[features.length - 1].data;
    return { features, answer: verdict(scores, this.header.classes, label) };
  }

  /**
   * @param {Opened} opened
   * @param {number} layer
   * @param {number} channel
   */
  show({ features, answer }, layer, channel) {
    const x = features[layer];
    const name = `${this.header.name}, x${raised(layer)}`;
    this.verdict.replaceChildren("Answer: ", element("strong", {}, answer));
    this.showAll(x, name);
    this.frame(x, channel);
    this.showOne(x, channel, name);
    this.root.dataset.shown = `${layer}/${channel}`;
  }

  /**
   * All channels, on one scale of grey.
   *
   * @param {Features} x
   * @param {string} name
   */
  showAll(x, name) {
    const { channels, height, width } = x;
    const grey = greyScale(x.data);
    const columns = Math.min(COLUMNS, channels);
    this.sheet.width = columns * (width + 1) - 1;
    this.sheet.height = Math.ceil(channels / columns) * (height + 1) - 1;
    this.channels = channels;
    this.tile = { height: height + 1, width: width + 1 };
    const shown = context(this.sheet);
    for (let c = 0; c < channels; c++) {
      const tile = new OffscreenCanvas(width, height);
      draw(tile, channelOf(x, c).map(grey), [1, height, width]);
      shown.drawImage(tile, (c % columns) * (width + 1), Math.floor(c / columns) * (height + 1));
    }
    this.sheet.setAttribute("aria-label", `${name}: all channels, ${channels} of them`);
  }

  /**
   * Outlines a channel on the sheet.
   *
   * @param {Features} x
   * @param {number} channel
   */
  frame({ height, width, channels }, channel) {
    const columns = Math.min(COLUMNS, channels);
    const [left, top] = [(channel % columns) * (width + 1), Math.floor(channel / columns) * (height + 1)];
    const share = (/** @type {number} */ part, /** @type {number} */ whole) => `${(100 * part) / whole}%`;
    Object.assign(this.outline.style, {
      left: share(left, this.sheet.width),
      top: share(top, this.sheet.height),
      width: share(width, this.sheet.width),
      height: share(height, this.sheet.height),
    });
  }

  /**
   * One channel, on its own scale of grey.
   *
   * @param {Features} x
   * @param {number} channel
   * @param {string} name
   */
  showOne(x, channel, name) {
    const values = channelOf(x, channel);
    draw(this.single, values.map(greyScale(values)), [1, x.height, x.width]);
    const [low, high] = [Math.min(...values), Math.max(...values)].map((z) => z.toFixed(2));
    const zeros = Math.round((100 * values.filter((z) => z === 0).length) / values.length);
    const text = `channel ${channel + 1}: from ${low} to ${high}, ${zeros} % zeros`;
    this.caption.textContent = text;
    this.single.setAttribute("aria-label", `${name}, ${text}`);
  }

  /**
   * The channel below the pointer.
   *
   * @param {MouseEvent} event
   */
  channelAt({ offsetX, offsetY }) {
    const { height, width } = this.tile;
    const scale = this.sheet.width / this.sheet.clientWidth;
    const column = Math.floor((offsetX * scale) / width);
    const row = Math.floor((offsetY * scale) / height);
    return Math.min(this.channels - 1, row * COLUMNS + column);
  }
}

/**
 * The numbers of one channel.
 *
 * @param {Features} x
 * @param {number} channel
 */
function channelOf({ height, width, data }, channel) {
  const pixels = height * width;
  return data.subarray(channel * pixels, (channel + 1) * pixels);
}

/**
 * From numbers to grey levels in [0, 1]: 0 becomes black, or grey if some numbers are negative.
 *
 * @param {Float64Array} numbers
 * @returns {(z: number) => number}
 */
function greyScale(numbers) {
  const largest = numbers.reduce((most, z) => Math.max(most, Math.abs(z)), 1e-12);
  return numbers.some((z) => z < 0) ? (z) => 0.5 + z / (2 * largest) : (z) => z / largest;
}
