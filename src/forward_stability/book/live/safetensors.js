// Reads the files that `forward-stability export` writes.

/** @import { Filter } from "./filters.js" */

/** @typedef {{ shape: number[], data: Float32Array | Int8Array | Int16Array }} Stored */

const KINDS = { F32: Float32Array, I8: Int8Array, I16: Int16Array };

/**
 * The metadata and the tensors of a safetensors file.
 *
 * @param {ArrayBuffer} buffer
 */
export function readTensors(buffer) {
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  const entries = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  const header = JSON.parse(entries.__metadata__.metadata);
  delete entries.__metadata__;
  /** @type {Record<string, Stored>} */
  const tensors = {};
  for (const [name, { shape, dtype, data_offsets }] of Object.entries(entries)) {
    const [start, end] = data_offsets.map((/** @type {number} */ offset) => 8 + length + offset);
    const Kind = KINDS[/** @type {keyof typeof KINDS} */ (dtype)];
    tensors[name] = { shape, data: new Kind(buffer.slice(start, end)) };
  }
  return { header, tensors };
}

/** The weights of one layer of a file. */
export class Weights {
  /**
   * @param {Record<string, Stored>} tensors of the file
   * @param {number} layer
   */
  constructor(tensors, layer) {
    this.tensors = tensors;
    this.layer = layer;
  }

  /**
   * One number a channel.
   *
   * @param {string} name
   */
  vector(name) {
    return this.tensors[`${this.layer}.${name}`].data;
  }

  /**
   * A filter or a matrix: integers times the scale of their row.
   *
   * @param {string} name
   * @returns {Filter}
   */
  matrix(name) {
    const { shape, data } = this.tensors[`${this.layer}.${name}`];
    const scale = this.vector(`${name}.scale`);
    const row = data.length / shape[0];
    return { shape, data: Float64Array.from(data, (q, i) => q * scale[Math.floor(i / row)]) };
  }
}
