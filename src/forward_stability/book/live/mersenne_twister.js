// The Mersenne twister (Matsumoto & Nishimura 1998), as NumPy seeds it: the numbers are those of
// np.random.RandomState(seed).

export class MersenneTwister {
  /** @param {number} seed a whole number of 32 bits */
  constructor(seed) {
    this.state = new Uint32Array(624);
    this.state[0] = seed;
    for (let i = 1; i < 624; i++) {
      const last = this.state[i - 1] ^ (this.state[i - 1] >>> 30);
      this.state[i] = Math.imul(1812433253, last) + i;
    }
    this.index = 624;
  }

  /** A whole number of 32 random bits. */
  bits() {
    if (this.index === 624) this.twist();
    let y = this.state[this.index++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  twist() {
    const s = this.state;
    for (let i = 0; i < 624; i++) {
      const y = (s[i] & 0x80000000) | (s[(i + 1) % 624] & 0x7fffffff);
      s[i] = s[(i + 397) % 624] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.index = 0;
  }

  /** Uniform in [0, 1), with 53 bits. */
  uniform() {
    const high = this.bits() >>> 5, low = this.bits() >>> 6;
    return (high * 2 ** 26 + low) / 2 ** 53;
  }
}
