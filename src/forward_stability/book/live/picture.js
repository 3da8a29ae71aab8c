// A picture of the reader's own.

/** @import { Shape } from "./canvas.js" */
import { context } from "./canvas.js";

const MOST_BYTES = 50e6, MOST_PIXELS = 50e6;

/**
 * A picture file as an image with values in [0, 1]: its middle, scaled down. Transparent parts
 * become white; one channel is the luminance. Throws what to tell a reader.
 *
 * @param {File} file
 * @param {Shape} shape
 */
export async function readPicture(file, [channels, height, width]) {
  if (file.size > MOST_BYTES) throw new Error("This file is too large: 50 MB is the most.");
  const middle = await cutOut(file, height, width);
  const shown = context(new OffscreenCanvas(width, height));
  shown.fillStyle = "white";
  shown.fillRect(0, 0, width, height);
  shown.drawImage(middle, 0, 0);
  return fromPixels(shown.getImageData(0, 0, width, height).data, channels);
}

/**
 * The middle of a picture, in the proportions of an image and scaled down to it.
 *
 * @param {File} file
 * @param {number} height
 * @param {number} width
 */
async function cutOut(file, height, width) {
  const unreadable = new Error("This file is not a picture that the browser can read.");
  const { naturalWidth: w, naturalHeight: h } = await load(file).catch(() => {
    throw unreadable;
  });
  if (w * h > MOST_PIXELS)
    throw new Error(`This picture is too large: it has ${w} x ${h} pixels; 50 million is the most.`);
  const scale = Math.min(w / width, h / height);
  const side = (/** @type {number} */ n) => Math.max(1, Math.round(scale * n));
  const left = Math.floor((w - side(width)) / 2), top = Math.floor((h - side(height)) / 2);
  return createImageBitmap(file, left, top, side(width), side(height), {
    resizeWidth: width, resizeHeight: height, resizeQuality: "high",
  }).catch(() => {
    throw unreadable;
  });
}

/**
 * The picture in a file; rejects if it cannot be read.
 *
 * @param {File} file
 * @returns {Promise<HTMLImageElement>}
 */
function load(file) {
  const address = URL.createObjectURL(file);
  const picture = new Image();
  picture.src = address;
  /** @type {Promise<HTMLImageElement>} */
  const loaded = new Promise((resolve, reject) => {
    picture.onload = () => resolve(picture);
    picture.onerror = reject;
  });
  return loaded.finally(() => URL.revokeObjectURL(address));
}

/**
 * An image from the pixels of a canvas: red, green, blue and opacity, 8 bits each.
 *
 * @param {Uint8ClampedArray} pixels
 * @param {number} channels
 */
function fromPixels(pixels, channels) {
  const count = pixels.length / 4;
  const image = new Float64Array(channels * count);
  for (let at = 0; at < count; at++) {
    const rgb = pixels.subarray(4 * at, 4 * at + 3);
    if (channels === 1) image[at] = (0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]) / 255;
    else rgb.forEach((value, c) => (image[c * count + at] = value / 255));
  }
  return image;
}
