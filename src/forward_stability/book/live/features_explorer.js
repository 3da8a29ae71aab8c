// The explorer of chapter 12: a picture on its way through networks, layer by layer and channel by
// channel.

/** @import { Setting } from "./explorer.js" */
/** @import { Opened } from "./features_view.js" */
import { Announcer } from "./announcer.js";
import { draw } from "./canvas.js";
import { choice, labelled, slider } from "./controls.js";
import { element } from "./element.js";
import { explorer } from "./explorer.js";
import { FeaturesView } from "./features_view.js";
import { raised } from "./numbers.js";

/**
 * What the reader calls a kind of layer, where that is another word.
 *
 * @type {Record<string, string>}
 */
const WORDS = { "residual D": "residual", "residual S": "residual", "2D pooling": "pooling" };

class FeaturesExplorer {
  /** @param {Setting} setting */
  constructor({ root, note, images, networks, headers, fail }) {
    this.images = images;
    const { shape, layers, stages } = headers[0];
    this.shape = shape;
    this.made = layers.map(({ kind }, n) => `after layer ${n}, ${WORDS[kind] ?? kind}`);
    this.state = { image: 0, layer: 1, channel: 0 };
    /** @type {Opened[]} */
    this.opened = []; // what the networks have computed
    this.layer = slider(stages[stages.length - 2].layer, (layer) => this.turn({ layer }));
    this.channel = slider(0, (channel) => this.turn({ channel }));
    this.layerText = element("span", { "aria-hidden": "true" });
    this.channelText = element("span", { "aria-hidden": "true" });
    this.canvas = element("canvas", { role: "img", "aria-label": images[0].name });
    this.views = networks.map((network, i) =>
      new FeaturesView(network, headers[i], (channel) => this.turn({ channel })));
    this.announcer = new Announcer(() => this.text());
    const picture = choice(images.map(({ name }) => name), (i) => this.open(i).catch(fail));
    root.append(
      this.layOutTop(picture),
      element("div", { class: "fs-panels" }, ...this.views.map((view) => view.root)),
      element("p", { class: "fs-note" }, note), this.announcer.root);
    this.open(0).catch(fail);
  }

  /** @param {HTMLElement} picture the control that chooses one */
  layOutTop(picture) {
    const layer = labelled("Layer", this.layer, this.layerText);
    const channel = labelled("Channel", this.channel, this.channelText);
    for (const control of [layer, channel]) control.classList.add("fs-step");
    return element(
      "div", { class: "fs-top" },
      element("figure", { class: "fs-picture" }, this.canvas),
      element("div", { class: "fs-controls" }, labelled("Image", picture), layer, channel));
  }

  /**
   * Another image. The views change together, when all networks have answered.
   *
   * @param {number} image
   */
  async open(image) {
    this.state.image = image;
    const opened = await Promise.all(this.views.map((view) => view.open(this.images[image])));
    if (this.state.image !== image) return; // the reader has chosen another one meanwhile
    this.opened = opened;
    draw(this.canvas, this.images[image].data, this.shape);
    this.canvas.setAttribute("aria-label", this.images[image].name);
    this.turn({});
  }

  /**
   * Another layer or channel.
   *
   * @param {{ layer?: number, channel?: number }} change
   */
  turn(change) {
    Object.assign(this.state, change);
    if (this.opened.length === 0) return;
    const { layer } = this.state;
    const { channels, height, width } = this.opened[0].features[layer];
    const channel = Math.min(this.state.channel, channels - 1); // the choice is kept for other layers
    const made = layer === 0 ? "the image less the mean" : this.made[layer - 1];
    this.channel.max = String(channels - 1);
    say(this.layer, layer, this.layerText, `x${raised(layer)}, ${made}`);
    say(
      this.channel, channel, this.channelText,
      `${channel + 1} of ${channels}, ${height}×${width} pixels`);
    this.views.forEach((view, i) => view.show(this.opened[i], layer, channel));
    this.announcer.changed();
  }

  /** For a screen reader: what is shown. */
  text() {
    const shown = this.views.map(({ header, caption }) => `${header.name}: ${caption.textContent}.`);
    return `${this.layerText.textContent}. ${shown.join(" ")}`;
  }
}

/**
 * Puts a slider at a position, and says beside it what that is.
 *
 * @param {HTMLInputElement} range
 * @param {number} position
 * @param {HTMLElement} reading
 * @param {string} text
 */
function say(range, position, reading, text) {
  range.value = String(position);
  range.setAttribute("aria-valuetext", text);
  reading.textContent = text;
}

export default explorer((setting) => new FeaturesExplorer(setting));
