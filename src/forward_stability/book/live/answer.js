// Numbers as readers type them, and what is said about them: the grammar of book/answer.py.

const NOT_A_NUMBER = "Write a number such as 0.25, 2/25 or sqrt(2).";

const SAME = new Map([
  ["−", "-"], ["–", "-"], ["×", "*"], ["·", "*"], ["⋅", "*"], ["÷", "/"],
]); // prettier-ignore
const THOUSANDS = "[1-9][0-9]{0,2}(?:,[0-9]{3})+(?:\\.[0-9]*)?";
/** @type {[number, string][]} */
const FACTORS = [
  [10, "ten"],
  [100, "a hundred"],
  [1000, "a thousand"],
];
/** @type {[string, string][]} */
const COMMA = [
  ["thousands", THOUSANDS],
  ["decimal", "[0-9]*,[0-9]+"],
];

/** @type {Record<string, (x: number) => number>} */
const FUNCTIONS = { sqrt: Math.sqrt, exp: Math.exp, ln: Math.log, "√": Math.sqrt };
/** @type {Record<string, number>} */
const CONSTANTS = { e: Math.E, pi: Math.PI, π: Math.PI };

/** @param {string} comma what it may do, as a pattern */
function tokenPattern(comma) {
  const number =
    `(?:${comma}|[1-9][0-9]{0,2}(?: [0-9]{3})+(?:[.,][0-9]+)?` +
    "|[1-9][0-9]{0,2}(?:(?:\\.[0-9]{3})+,[0-9]+|(?:\\.[0-9]{3}){2,})" +
    "|[0-9]+\\.?[0-9]*|\\.[0-9]+)(?:e[-+]?[0-9]+)?(?![0-9.,])";
  return new RegExp(` *(?:${number}|[a-z]+|√|π|\\*\\*|[-+*/^()%]) *`, "y");
}

/** @param {number} value */
function finite(value) {
  if (!Number.isFinite(value)) throw new RangeError("not finite");
  return value;
}

/** Reads sum = product {± product}, product = power {*\/ power}, and so on. */
class Reader {
  /**
   * @param {string} text
   * @param {string} comma
   * @param {string} pattern
   */
  constructor(text, comma, pattern) {
    const token = tokenPattern(pattern);
    /** @type {string[]} */
    this.tokens = [];
    while (token.lastIndex < text.length) {
      const found = token.exec(text);
      if (!found) throw new RangeError(text);
      this.tokens.push(found[0].trim());
    }
    this.tokens.push("");
    this.comma = comma;
  }

  /**
   * The next token if it is one of these.
   *
   * @param {string[]} tokens
   */
  take(...tokens) {
    return tokens.includes(this.tokens[0]) ? this.tokens.shift() : undefined;
  }

  all() {
    const value = this.sum();
    this.expect("");
    return value;
  }

  /** @param {string} token */
  expect(token) {
    if (this.take(token) === undefined) throw new RangeError(this.tokens[0]);
  }

  sum() {
    let value = this.product();
    for (let sign; (sign = this.take("+", "-")); ) {
      const other = this.product();
      value = finite(sign === "+" ? value + other : value - other);
    }
    return value;
  }

  product() {
    let value = this.signed();
    for (let sign; (sign = this.take("*", "/")); ) {
      const other = this.signed();
      value = finite(sign === "*" ? value * other : value / other);
    }
    return value;
  }

  /** @returns {number} */
  signed() {
    if (this.take("-")) return -this.signed();
    return this.take("+") ? this.signed() : this.power();
  }

  power() {
    let value = this.atom();
    if (this.take("^", "**")) value = finite(value ** this.signed());
    return this.take("%") ? value / 100 : value;
  }

  /** @returns {number} */
  atom() {
    const token = this.tokens.shift() ?? "";
    if (token === "(") {
      const value = this.sum();
      this.expect(")");
      return value;
    }
    if (Object.hasOwn(CONSTANTS, token)) return CONSTANTS[token];
    if (Object.hasOwn(FUNCTIONS, token)) {
      if (token !== "√" && this.tokens[0] !== "(") throw new RangeError(token);
      return finite(FUNCTIONS[token](this.atom()));
    }
    if (!/^[0-9.,]/.test(token)) throw new RangeError(token);
    return finite(this.number(token.replaceAll(" ", "")));
  }

  /** @param {string} token */
  number(token) {
    if (this.comma === "thousands" && new RegExp(`^${THOUSANDS}(e.*)?$`).test(token)) {
      return Number(token.replaceAll(",", ""));
    }
    const european = token.includes(",") || token.split(".").length > 2;
    return Number(european ? token.replaceAll(".", "").replaceAll(",", ".") : token);
  }
}

/**
 * What a text may mean: its value by what a comma does; one entry where that makes no difference.
 *
 * @param {string} typed
 */
export function readings(typed) {
  const text = [...typed.trim().toLowerCase()]
    .map((c) => SAME.get(c) ?? c)
    .join("")
    .replaceAll(/\s+/g, " ");
  /** @type {Map<string, number>} */
  const found = new Map();
  if (text === "" || text.length > 100) return found;
  for (const [comma, pattern] of COMMA) {
    try {
      const value = new Reader(text, comma, pattern).all();
      if (![...found.values()].includes(value)) found.set(comma, value);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
    }
  }
  return found;
}

/**
 * What is wrong with a number: its sign, a power of ten, or else that it is large or small.
 *
 * @param {number} value
 * @param {number} answer
 * @param {number} tol
 */
function diagnosis(value, answer, tol) {
  const near = Math.min(tol, Math.abs(answer) / 10);
  if (Math.abs(value + answer) <= near) return "the sign is the other one";
  for (const [factor, name] of FACTORS) {
    if (Math.abs(value / factor - answer) <= near) return `${name} times too large`;
    if (Math.abs(value * factor - answer) <= near) return `${name} times too small`;
  }
  return value > answer ? "too large" : "too small";
}

/**
 * What is said about an answer.
 *
 * @param {string} text what the reader has typed
 * @param {number} answer the right one
 * @param {number} tol the largest error that counts as right
 * @param {string} right what is said if it is right
 * @param {string} hint what follows if it is wrong
 */
export function verdict(text, answer, tol, right, hint) {
  const found = [...readings(text)];
  if (!found.length) return NOT_A_NUMBER;
  const fit = found.find(([, number]) => Math.abs(number - answer) <= tol);
  const [comma, value] = fit ?? found[0];
  const what = comma === "thousands" ? "separates thousands" : "is a decimal point";
  const remark = found.length > 1 ? ` (The comma ${what} here.)` : "";
  if (fit) return right + remark;
  return `Not yet: ${diagnosis(value, answer, tol)}.${remark} ${hint}`;
}
