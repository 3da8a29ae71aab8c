// What stands above a live figure: continuous sliders with marks, choices and buttons.

import { choice, labelled } from "./controls.js";
import { element, setText } from "./element.js";
import { readable } from "./plot.js";

/**
 * `slider`: a number from `from` to `to`, on a logarithmic scale if `log`, whole if `whole`, with
 * the values that matter marked. `choice`: one of some words. `button`: a change of the state.
 * `play`: time that passes by itself, from 0 to `to` in `seconds`, or stepwise by `step`; in whole
 * numbers if the step is 1.
 *
 * @template S
 * @typedef {{ kind: "slider", name: keyof S & string, label: string, from: number, to: number,
 *     log?: boolean, whole?: boolean, marks?: [number, string][] }
 *   | { kind: "choice", name: keyof S & string, label: string, options: string[] }
 *   | { kind: "button", label: string, press(state: S): Partial<S> }
 *   | { kind: "play", name: keyof S & string, to: number, step: number, seconds: number }} Dial
 */

/**
 * A dial on the page.
 *
 * @template S
 * @typedef {{ element: HTMLElement, show(state: S): void }} Shown
 */

const STOPS = 1000;

/**
 * @template {Record<string, any>} S
 * @param {Dial<S>} dial
 * @param {() => S} now the state
 * @param {(changes: Partial<S>, settled: boolean) => void} change
 * @returns {Shown<S>}
 */
export function makeDial(dial, now, change) {
  switch (dial.kind) {
    case "slider":
      return makeSlider(dial, change);
    case "choice": {
      const list = choice(dial.options, (index) =>
        change(/** @type {Partial<S>} */ ({ [dial.name]: dial.options[index] }), true),
      );
      const show = (/** @type {S} */ state) => {
        list.selectedIndex = dial.options.indexOf(state[dial.name]);
      };
      return { element: labelled(dial.label, list), show };
    }
    case "button":
      return { element: button(dial.label, () => change(dial.press(now()), true)), show() {} };
    default:
      return makePlayer(dial, now, change);
  }
}

/**
 * @template {Record<string, any>} S
 * @param {Dial<S> & { kind: "slider" }} dial
 * @param {(changes: Partial<S>, settled: boolean) => void} change
 * @returns {Shown<S>}
 */
function makeSlider({ name, label, from, to, log, whole, marks = [] }, change) {
  const [a, b] = log ? [Math.log(from), Math.log(to)] : [from, to];
  const stops = whole && !log ? to - from : STOPS;
  const place = (/** @type {number} */ value) => ((log ? Math.log(value) : value) - a) / (b - a);
  const value = (/** @type {number} */ stop) => {
    const exact = log ? Math.exp(a + (stop / stops) * (b - a)) : a + (stop / stops) * (b - a);
    return whole ? Math.round(exact) : Number(exact.toPrecision(4));
  };
  const give = (/** @type {number} */ z, /** @type {boolean} */ settled) =>
    change(/** @type {Partial<S>} */ ({ [name]: z }), settled);
  const track = element("input", { type: "range", min: 0, max: stops, step: 1, autocomplete: "off" });
  track.addEventListener("input", () => give(value(Number(track.value)), false));
  track.addEventListener("change", () => give(value(Number(track.value)), true));
  const reading = element("output", {});
  const row = element("div", { class: "fs-marks" });
  for (const [z, text] of marks) {
    const made = button(text, () => give(z, true));
    made.style.left = `${100 * place(z)}%`;
    row.append(made);
  }
  const control = labelled(label, track, reading, ...(marks.length ? [row] : []));
  control.classList.add("fs-dial");
  const show = (/** @type {S} */ state) => {
    const known = marks.find(([z]) => z === state[name]);
    const said = known ? known[1] : readable(state[name]);
    const stop = String(Math.round(place(state[name]) * stops));
    if (track.value !== stop) track.value = stop;
    if (reading.textContent === said) return;
    setText(reading, said);
    track.setAttribute("aria-valuetext", said);
  };
  return { element: control, show };
}

/**
 * @param {string} text
 * @param {() => void} pressed
 */
function button(text, pressed) {
  const made = element("button", { type: "button", class: "fs-button" }, text);
  made.addEventListener("click", pressed);
  return made;
}

/**
 * Play, step and reset; who asked the system for less motion gets the last two.
 *
 * @template {Record<string, any>} S
 * @param {Dial<S> & { kind: "play" }} dial
 * @param {() => S} now
 * @param {(changes: Partial<S>, settled: boolean) => void} change
 * @returns {Shown<S>}
 */
function makePlayer({ name, to, step, seconds }, now, change) {
  let running = 0;
  const give = (/** @type {number} */ z, /** @type {boolean} */ settled) =>
    change(/** @type {Partial<S>} */ ({ [name]: Math.min(z, to) }), settled);
  const stop = () => {
    cancelAnimationFrame(running);
    running = 0;
    play.textContent = "Play";
  };
  const run = () => {
    const [begin, since] = [now()[name] >= to ? 0 : now()[name], performance.now()];
    const tick = () => {
      const exact = begin + ((performance.now() - since) / (1000 * seconds)) * to;
      const t = step === 1 ? Math.floor(exact) : exact;
      give(t, t >= to);
      if (t >= to || !play.isConnected) stop();
      else running = requestAnimationFrame(tick);
    };
    play.textContent = "Pause";
    running = requestAnimationFrame(tick);
  };
  const play = button("Play", () => (running ? (stop(), give(now()[name], true)) : run()));
  play.hidden = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const forward = button("Step", () => {
    stop();
    give((now()[name] >= to ? 0 : now()[name]) + step, true);
  });
  const reset = button("Reset", () => {
    stop();
    give(0, true);
  });
  return { element: element("div", { class: "fs-player" }, play, forward, reset), show() {} };
}
