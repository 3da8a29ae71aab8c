// What the explorers share in the page: networks in workers, elements, colours, pictures.

/** A network in a worker of its own, so that the page stays quick while it computes. */
class Engine {
  constructor(file) {
    // A worker from a blob also starts on a page that was opened from a file.
    const address = URL.createObjectURL(new Blob([WORKER], { type: "text/javascript" }));
    this.worker = new Worker(address);
    URL.revokeObjectURL(address);
    this.waiting = new Map();
    this.count = 0;
    this.worker.onmessage = ({ data: { id, value, error } }) => {
      const { resolve, reject } = this.waiting.get(id);
      this.waiting.delete(id);
      if (error === undefined) resolve(value);
      else reject(new Error(error));
    };
    this.header = this.ask("open", { file });
  }

  /** The answer to one of the TASKS of worker.js. */
  ask(task, args) {
    const id = this.count++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, task, args });
    });
  }

  close() {
    this.worker.terminate();
  }
}

/** The ArrayBuffer of a file, which hosts hand over as a DataView. */
function bytes({ buffer, byteOffset, byteLength }) {
  return buffer.slice(byteOffset, byteOffset + byteLength);
}

/** An HTML element; an attribute that starts with "on" is a listener. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

let identifiers = 0;

/** A control below its label. */
function labelled(text, control, ...more) {
  control.id = `fs-${Date.now().toString(36)}-${identifiers++}`;
  return element(
    "div", { class: "fs-control" }, element("label", { for: control.id }, text), control, ...more);
}

/** A drop-down list of texts; `changed` is called with the index. */
function choice(texts, changed) {
  const options = texts.map((text, index) => element("option", { value: index }, text));
  return element(
    "select", { autocomplete: "off", onchange: (event) => changed(Number(event.target.value)) },
    ...options);
}

/** The probabilities of the classes from their scores. */
function softmax(scores) {
  const largest = Math.max(...scores);
  const parts = Array.from(scores, (score) => Math.exp(score - largest));
  const sum = parts.reduce((a, b) => a + b);
  return parts.map((part) => part / sum);
}

/** Marks the root as dark where the host writes in a light colour, now and when that changes. */
function followTheme(root) {
  const look = () => {
    if (!root.isConnected) return; // JupyterLab puts an element into its page later
    const [red, green, blue] = getComputedStyle(root.parentElement).color.match(/[\d.]+/g);
    root.toggleAttribute("data-dark", 0.3 * red + 0.6 * green + 0.1 * blue > 128);
  };
  const observer = new MutationObserver(look);
  for (const part of [document.documentElement, document.body])
    observer.observe(part, { attributes: true });
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  scheme.addEventListener("change", look);
  const placed = new ResizeObserver(look);
  placed.observe(root);
  return () => {
    observer.disconnect();
    placed.disconnect();
    scheme.removeEventListener("change", look);
  };
}

/** Draws an image (channels, height, width) with values in [0, 1] on a canvas of its size. */
function draw(canvas, image, [channels, height, width]) {
  const pixels = new ImageData(width, height);
  const count = height * width;
  for (let at = 0; at < count; at++) {
    for (let c = 0; c < 3; c++)
      pixels.data[4 * at + c] = Math.round(255 * image[(c % channels) * count + at]);
    pixels.data[4 * at + 3] = 255;
  }
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

const MOST_BYTES = 50e6, MOST_PIXELS = 50e6;

/**
 * A picture file as an image (channels, height, width) with values in [0, 1]: its middle, scaled
 * down. Transparent parts become white; one channel is the luminance. Throws what to tell a reader.
 */
async function readPicture(file, [channels, height, width]) {
  if (file.size > MOST_BYTES) throw new Error("This file is too large: 50 MB is the most.");
  const unreadable = new Error("This file is not a picture that the browser can read.");
  const address = URL.createObjectURL(file);
  const picture = new Image();
  picture.src = address;
  await new Promise((resolve, reject) => {
    picture.onload = resolve;
    picture.onerror = () => reject(unreadable);
  }).finally(() => URL.revokeObjectURL(address));
  const { naturalWidth: w, naturalHeight: h } = picture;
  if (w * h > MOST_PIXELS)
    throw new Error(`This picture is too large: it has ${w} x ${h} pixels; 50 million is the most.`);
  const scale = Math.min(w / width, h / height);
  const cut = [scale * width, scale * height].map((side) => Math.max(1, Math.round(side)));
  const corner = [Math.floor((w - cut[0]) / 2), Math.floor((h - cut[1]) / 2)];
  const options = { resizeWidth: width, resizeHeight: height, resizeQuality: "high" };
  const small = await createImageBitmap(file, ...corner, ...cut, options).catch(() => {
    throw unreadable;
  });
  const context = new OffscreenCanvas(width, height).getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(small, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  const image = new Float64Array(channels * height * width);
  for (let at = 0, count = height * width; at < count; at++) {
    const rgb = data.subarray(4 * at, 4 * at + 3);
    if (channels === 1) image[at] = (0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]) / 255;
    else rgb.forEach((value, c) => (image[c * count + at] = value / 255));
  }
  return image;
}

/**
 * Starts an explorer in `root`, which the `build` of its file fills once the networks are open.
 * Returns what ends it.
 *
 * spec: {networks: [name of a file], images: [{name, label}], note}; files: the exported networks,
 * and "images", 8 bits a number. A label is the index of a class, or null.
 */
function explore(root, { networks, images, note }, files) {
  const engines = networks.map((name) => new Engine(bytes(files[name])));
  const message = element("p", { class: "fs-message", role: "alert" });
  root.append(message);
  const fail = (error) => (message.textContent = error.message);
  const start = (headers) => {
    const stored = new Uint8Array(bytes(files.images));
    const size = stored.length / images.length;
    const values = (i) => stored.subarray(i * size, (i + 1) * size);
    const opened = images.map(({ name, label }, i) => ({
      name, label, data: Float64Array.from(values(i), (z) => z / 255),
    }));
    build({ root, note, images: opened, engines, headers, message, fail });
  };
  Promise.all(engines.map((engine) => engine.header)).then(start).catch(fail);
  return () => engines.forEach((engine) => engine.close());
}

/** What an anywidget host, or the script on a page, calls; returns what ends the explorer. */
export default {
  render({ model, el }) {
    // JupyterLab takes arrows and letters for its commands, if they come up to it.
    const keep = (event) => event.ctrlKey || event.metaKey || event.stopPropagation();
    const root = element("div", { class: "fs-live", onkeydown: keep });
    el.append(root);
    const unfollow = followTheme(root);
    const end = explore(root, model.get("spec"), model.get("files"));
    return () => {
      unfollow();
      end();
    };
  },
};
