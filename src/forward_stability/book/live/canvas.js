// Images on canvases.

/** @typedef {[number, number, number]} Shape channels, height and width of an image */

/**
 * What draws on a canvas.
 *
 * @template {HTMLCanvasElement | OffscreenCanvas} C
 * @param {C} canvas
 */
export function context(canvas) {
  const found = canvas.getContext("2d");
  if (found === null) throw new Error("This browser draws no pictures.");
  return /** @type {C extends OffscreenCanvas ? OffscreenCanvasRenderingContext2D : CanvasRenderingContext2D} */ (found);
}

/**
 * Draws an image with values in [0, 1] on a canvas of its size.
 *
 * @param {HTMLCanvasElement | OffscreenCanvas} canvas
 * @param {Float64Array} image
 * @param {Shape} shape one channel is grey, three are colours
 */
export function draw(canvas, image, [channels, height, width]) {
  const pixels = new ImageData(width, height);
  const count = height * width;
  for (let at = 0; at < count; at++) {
    for (let c = 0; c < 3; c++)
      pixels.data[4 * at + c] = Math.round(255 * image[(c % channels) * count + at]);
    pixels.data[4 * at + 3] = 255;
  }
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  context(canvas).putImageData(pixels, 0, 0);
}
