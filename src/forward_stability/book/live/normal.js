// Random numbers that NumPy gives too: np.random.RandomState(seed).standard_normal(n), which NumPy
// keeps as it is for good. The Mersenne twister (Matsumoto & Nishimura 1998) and Marsaglia's polar
// method; the logarithm may differ in the last digit.

class MersenneTwister {
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

/** `count` independent normal numbers with mean 0 and variance 1. */
function standardNormal(seed, count) {
  const random = new MersenneTwister(seed);
  const numbers = new Float64Array(count + 1);
  for (let i = 0; i < count; i += 2) {
    let u, v, square;
    do {
      u = 2 * random.uniform() - 1;
      v = 2 * random.uniform() - 1;
      square = u * u + v * v;
    } while (square >= 1 || square === 0);
    const factor = Math.sqrt((-2 * Math.log(square)) / square);
    numbers[i] = factor * v;
    numbers[i + 1] = factor * u;
  }
  return numbers.subarray(0, count);
}
