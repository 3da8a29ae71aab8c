// The explorer of chapter 12: a picture on its way through networks, layer by layer and channel by
// channel.

const COLUMNS = 8; // channels side by side
// What the reader calls a kind of layer, where that is another word.
const WORDS = { "residual D": "residual", "residual S": "residual", "2D pooling": "pooling" };

const raised = (n) => [...String(n)].map((c) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[c]).join("");

/** From numbers to grey levels in [0, 1]: 0 becomes black, or grey if some numbers are negative. */
function greyScale(numbers) {
  const largest = numbers.reduce((most, z) => Math.max(most, Math.abs(z)), 1e-12);
  return numbers.some((z) => z < 0) ? (z) => 0.5 + z / (2 * largest) : (z) => z / largest;
}

/** What one network makes of the picture; `chosen` is called with a channel that is clicked. */
class View {
  constructor(engine, header, chosen) {
    Object.assign(this, { engine, header });
    const click = (event) => chosen(this.channelAt(event));
    this.sheet = element("canvas", { class: "fs-sheet", role: "img", onclick: click });
    this.single = element("canvas", { role: "img" });
    this.caption = element("figcaption");
    this.verdict = element("p", { class: "fs-verdict" });
    this.root = element(
      "section", { class: "fs-panel", "data-variant": header.variant, "aria-label": header.name },
      element("p", { class: "fs-name" }, header.name),
      this.verdict,
      this.sheet,
      element("figure", { class: "fs-picture" }, this.single, this.caption));
  }

  /** Computes the features of a picture, and the answer. */
  async open({ data, label }) {
    const features = await this.engine.ask("features", { image: data });
    const scores = features.at(-1).data;
    const probabilities = softmax(scores);
    const best = scores.indexOf(Math.max(...scores));
    const verdict = label === null ? "" : best === label ? ", right" : ", wrong";
    const answer = `${this.header.classes[best]}, ${(100 * probabilities[best]).toFixed(1)} %${verdict}`;
    return { features, answer };
  }

  show({ features, answer }, layer, channel) {
    const x = features[layer];
    const { channels, height, width } = (this.x = x);
    const grey = greyScale(x.data);
    const pixels = height * width;
    const of = (c) => x.data.subarray(c * pixels, (c + 1) * pixels);
    this.verdict.replaceChildren("Answer: ", element("strong", {}, answer));

    const columns = Math.min(COLUMNS, channels);
    this.sheet.width = columns * (width + 1) - 1;
    this.sheet.height = Math.ceil(channels / columns) * (height + 1) - 1;
    const context = this.sheet.getContext("2d");
    for (let c = 0; c < channels; c++) {
      const tile = new OffscreenCanvas(width, height);
      draw(tile, of(c).map(grey), [1, height, width]);
      context.drawImage(tile, (c % columns) * (width + 1), Math.floor(c / columns) * (height + 1));
    }
    const name = `${this.header.name}, x${raised(layer)}`;
    this.sheet.setAttribute("aria-label", `${name}: all channels, ${channels} of them`);

    const values = of(channel);
    draw(this.single, values.map(greyScale(values)), [1, height, width]);
    const [low, high] = [Math.min(...values), Math.max(...values)].map((z) => z.toFixed(2));
    const zeros = values.reduce((count, z) => count + (z === 0), 0);
    this.caption.textContent =
      `channel ${channel + 1}: from ${low} to ${high}, ${Math.round((100 * zeros) / pixels)} % zeros`;
    this.single.setAttribute("aria-label", `${name}, ${this.caption.textContent}`);
    this.root.dataset.shown = `${layer}/${channel}`;
  }

  channelAt({ offsetX, offsetY }) {
    const { channels, height, width } = this.x;
    const scale = this.sheet.width / this.sheet.clientWidth;
    const column = Math.floor((offsetX * scale) / (width + 1));
    const row = Math.floor((offsetY * scale) / (height + 1));
    return Math.min(channels - 1, row * COLUMNS + column);
  }
}

function build({ root, note, images, engines, headers, fail }) {
  const { shape, layers, stages } = headers[0];
  const state = { image: 0, layer: 1, channel: 0, opened: undefined };

  const range = (most) => element("input", { type: "range", min: 0, max: most, value: 0, autocomplete: "off" });
  const reading = () => element("span", { "aria-hidden": "true" });
  const [layer, layerText] = [range(stages.at(-2).layer), reading()];
  const [channel, channelText] = [range(0), reading()];
  const levels = [labelled("Layer", layer, layerText), labelled("Channel", channel, channelText)];
  levels.forEach((level) => level.classList.add("fs-step"));
  const canvas = element("canvas", { role: "img" });
  const picture = choice(images.map(({ name }) => name), (i) => open(i).catch(fail));
  const status = element("p", { class: "fs-hidden", role: "status" });
  const views = engines.map((engine, i) => new View(engine, headers[i], (c) => turn({ channel: c })));
  root.append(
    element(
      "div", { class: "fs-top" },
      element("figure", { class: "fs-picture" }, canvas),
      element("div", { class: "fs-controls" }, labelled("Image", picture), ...levels)),
    element("div", { class: "fs-panels" }, ...views.map((view) => view.root)),
    element("p", { class: "fs-note" }, note), status);

  /** Another image. The views change together, when all networks have answered. */
  async function open(index) {
    state.image = index;
    const opened = await Promise.all(views.map((view) => view.open(images[index])));
    if (state.image !== index) return; // the reader has chosen another one meanwhile
    draw(canvas, images[index].data, shape);
    canvas.setAttribute("aria-label", images[index].name);
    turn({ opened });
  }

  /** Another layer or channel. */
  function turn(change) {
    Object.assign(state, change);
    if (!state.opened) return;
    const { channels, height, width } = state.opened[0].features[state.layer];
    const shown = Math.min(state.channel, channels - 1); // the choice is kept for other layers
    [layer.value, channel.max, channel.value] = [state.layer, channels - 1, shown];
    const kind = layers[state.layer - 1]?.kind;
    const made = kind === undefined
      ? "the image less the mean"
      : `after layer ${state.layer - 1}, ${WORDS[kind] ?? kind}`;
    layerText.textContent = `x${raised(state.layer)}, ${made}`;
    channelText.textContent = `${shown + 1} of ${channels}, ${height}×${width} pixels`;
    layer.setAttribute("aria-valuetext", layerText.textContent);
    channel.setAttribute("aria-valuetext", channelText.textContent);
    views.forEach((view, i) => view.show(state.opened[i], state.layer, shown));
    clearTimeout(turn.timer);
    turn.timer = setTimeout(speak, 750);
  }

  /** For a screen reader: once the sliders rest, what is shown. */
  function speak() {
    const shown = views.map(({ header, caption }) => `${header.name}: ${caption.textContent}.`);
    status.textContent = `${layerText.textContent}. ${shown.join(" ")}`;
  }

  layer.addEventListener("input", () => turn({ layer: Number(layer.value) }));
  channel.addEventListener("input", () => turn({ channel: Number(channel.value) }));
  open(0).catch(fail);
}
