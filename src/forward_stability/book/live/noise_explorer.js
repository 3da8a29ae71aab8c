// The explorer of chapter 14: an image, a noise and its level, and what networks make of it.

const KINDS = [
  { name: "unstructured: grain (σ)", symbol: "σ", most: 0.2, step: 0.002 },
  { name: "structured: ghost (ε)", symbol: "ε", most: 1, step: 0.01 },
];
const QUIET = 250; // milliseconds without a move of the slider, after which the page searches
const STEPS = 50; // of the search for the level at which the answer changes first
const HALVINGS = 6; // of the last of these steps

const percent = (p) => `${(100 * p).toFixed(1)} %`;
const largest = (scores) => scores.indexOf(Math.max(...scores));

/** A number with three digits, large ones as a power of ten. */
function short(z) {
  if (z === 0) return "0";
  if (z >= 0.001 && z < 9999.5) return Number(z.toPrecision(3)).toString();
  const [digits, power] = z.toExponential(2).split("e");
  const raised = [...String(Number(power))].map((c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]);
  return `${digits}·10${raised.join("")}`;
}

/** What one network answers, and how its features have moved. */
class Panel {
  constructor(engine, header) {
    Object.assign(this, { engine, header });
    this.bars = header.classes.map((name) => {
      const bar = element("span", { class: "fs-bar" });
      const value = element("td", { class: "fs-value" });
      const track = element("td", { class: "fs-track", "aria-hidden": "true" }, bar);
      const row = element("tr", {}, element("th", { scope: "row" }, name), track, value);
      return { row, bar, value };
    });
    this.verdict = element("strong");
    this.margin = element("p", { class: "fs-margin" });
    this.turning = element("p", { class: "fs-turning" });
    this.stages = header.stages.map((stage) => {
      const [moved, bound] = [element("td"), element("td")];
      const row = element("tr", {}, element("th", { scope: "row" }, stage.name), moved, bound);
      return { row, moved, bound };
    });
    const head = ["after", "distance", "bound"].map((text) => element("th", { scope: "col" }, text));
    this.root = element(
      "div",
      {
        class: "fs-panel", role: "group", "aria-label": header.name, "data-variant": header.variant,
      },
      element("p", { class: "fs-name" }, header.name),
      element("p", { class: "fs-verdict" }, this.verdict),
      element(
        "table", { class: "fs-bars" },
        element("caption", { class: "fs-hidden" }, `Probabilities of ${header.name}`),
        element("tbody", {}, ...this.bars.map(({ row }) => row))),
      this.margin,
      this.turning,
      element(
        "table", { class: "fs-stages" },
        element("caption", {}, "Features have moved by"),
        element("thead", {}, element("tr", {}, ...head)),
        element("tbody", {}, ...this.stages.map(({ row }) => row))));
  }

  /** Shows the answer to the newest request; those that came while it computed are left out. */
  async refresh(wanted, shown) {
    this.wanted = wanted;
    if (this.busy) return;
    this.busy = true;
    let answered;
    while (answered !== this.wanted) {
      answered = this.wanted;
      const { scene, level } = answered;
      if (this.scene !== scene) {
        this.searched = undefined;
        await this.engine.ask("scene", scene);
        this.scene = scene;
      }
      const answer = await this.engine.ask("answer", { level });
      this.show(answer, answered);
      shown(answer, answered);
    }
    this.busy = false;
  }

  show({ scores, moved, distances }, { scene: { label }, level }) {
    const probabilities = softmax(scores);
    const best = largest(scores);
    this.bars.forEach(({ row, bar, value }, k) => {
      bar.style.width = `${100 * probabilities[k]}%`;
      value.textContent = percent(probabilities[k]);
      row.className = k === label ? "fs-label" : "";
    });
    const verdict = label === null ? "" : best === label ? ", right" : ", wrong";
    this.answer = `${this.header.classes[best]}, ${percent(probabilities[best])}${verdict}`;
    const second = Math.max(...scores.filter((_z, k) => k !== best));
    this.verdict.textContent = this.answer;
    this.margin.textContent = `Margin of the score: ${short(scores[best] - second)}`;
    distances.forEach((distance, i) => {
      this.stages[i].moved.textContent = short(distance);
      this.stages[i].bound.textContent = short(this.header.stages[i].bound * moved);
    });
    this.root.dataset.level = level;
  }

  /** Looks for the first level at which the answer is another, while the page is quiet. */
  async search({ most, symbol }, quiet) {
    const { scene } = this;
    if (this.searched === scene) return;
    this.searched = scene;
    this.turning.textContent = "Looking for the level at which the answer changes …";
    const answerAt = async (level) => {
      await quiet();
      if (this.searched !== scene) return undefined; // which is another answer too
      return largest((await this.engine.ask("answer", { level })).scores);
    };
    const first = await answerAt(0);
    let low = 0, high = 0, other = first;
    for (let i = 1; i <= STEPS && other === first; i++) {
      [low, high] = [high, (most * i) / STEPS];
      other = await answerAt(high);
    }
    for (let i = 0; i < HALVINGS && other !== first; i++) {
      const middle = (low + high) / 2;
      const found = await answerAt(middle);
      if (found === first) low = middle;
      else [high, other] = [middle, found];
    }
    if (this.searched !== scene) return;
    this.turning.textContent = other === first
      ? `The answer stays the same up to ${symbol} = ${most}.`
      : `The answer first changes at ${symbol} = ${short(high)}, to ${this.header.classes[other]}.`;
  }
}

function build({ root, note, images, engines, headers, message, fail }) {
  const { shape } = headers[0];
  const panels = engines.map((engine, i) => new Panel(engine, headers[i]));
  const state = { image: 0, kind: 0, ghost: images.length > 1 ? 1 : 0, seed: 0, scene: undefined };

  const canvas = element("canvas", { role: "img" });
  const caption = element("figcaption");
  const status = element("p", { class: "fs-hidden", role: "status" });
  const picture = choice(images.map(({ name }) => name), (i) => pick({ image: i }));
  const kind = choice(KINDS.map(({ name }) => name), (i) => pick({ kind: i }));
  const ghost = choice(images.map(({ name }) => name), (i) => pick({ ghost: i }));
  ghost.value = state.ghost;
  const slider = element("input", { type: "range", min: 0, value: 0, autocomplete: "off" });
  const reading = element("span", { class: "fs-reading", "aria-hidden": "true" });
  const again = element(
    "button", { type: "button", class: "fs-button", onclick: () => pick({ seed: state.seed + 1 }) },
    "New noise");
  const seed = element("span", { class: "fs-seed" });
  const file = element("input", { type: "file", accept: "image/*", class: "fs-hidden" });
  const own = element("label", { class: "fs-button fs-file" }, file, "Your own picture …");

  const ghostControl = labelled("Second picture x₀", ghost);
  const seedControl = element("div", { class: "fs-control fs-again" }, again, seed);
  const level = labelled("Level", slider, reading);
  level.classList.add("fs-level");
  root.append(
    element(
      "div", { class: "fs-top" },
      element("figure", { class: "fs-picture" }, canvas, caption),
      element(
        "div", { class: "fs-controls" },
        labelled("Image", picture, own), labelled("Noise", kind), ghostControl, seedControl, level,
        message)),
    element("div", { class: "fs-panels" }, ...panels.map((panel) => panel.root)),
    element("p", { class: "fs-note" }, note), status);

  let moved = 0; // when the slider was moved last
  const quiet = async () => {
    for (let rest; (rest = moved + QUIET - performance.now()) > 0; )
      await new Promise((resolve) => setTimeout(resolve, rest));
  };

  /** Another image, kind of noise, second picture or seed. */
  function pick(change) {
    Object.assign(state, change);
    message.textContent = "";
    const { most, step } = KINDS[state.kind];
    const structured = state.kind === 1;
    ghostControl.hidden = !structured;
    seedControl.hidden = structured;
    seed.textContent = `seed ${state.seed}`;
    if ("kind" in change) {
      slider.max = Math.round(most / step);
      slider.value = 0;
    }
    const { data, label, name } = images[state.image];
    const direction = structured ? { direction: images[state.ghost].data } : { seed: state.seed };
    state.scene = { image: data, label, name, ...direction };
    update();
  }

  /** Another level. */
  function update() {
    moved = performance.now();
    const { symbol, step } = KINDS[state.kind];
    const at = Number((slider.value * step).toFixed(3));
    reading.textContent = `${symbol} = ${at}`;
    slider.setAttribute("aria-valuetext", reading.textContent);
    const wanted = { scene: state.scene, level: at };
    panels.forEach((panel, i) => {
      const shown = (answer) => {
        if (i === 0) show(answer, wanted.scene);
        panel.search(KINDS[state.kind], quiet).catch(fail);
      };
      panel.refresh(wanted, shown).catch(fail);
    });
    clearTimeout(update.timer);
    update.timer = setTimeout(speak, 3 * QUIET);
  }

  function show({ image, moved }, { name }) {
    draw(canvas, image, shape);
    canvas.setAttribute("aria-label", `${name} with noise, ${reading.textContent}`);
    caption.textContent = `moved by ‖η‖ = ${short(moved)}`;
  }

  /** For a screen reader: once the slider rests, what the networks say. */
  function speak() {
    const answers = panels.map((panel) => `${panel.header.name}: ${panel.answer}.`);
    status.textContent = `${reading.textContent}. ${answers.join(" ")}`;
  }

  async function take(chosen) {
    if (!chosen) return;
    try {
      const data = await readPicture(chosen, shape);
      images.push({ name: `yours: ${chosen.name}`, label: null, data });
    } catch (error) {
      fail(error);
      return;
    }
    for (const list of [picture, ghost])
      list.append(element("option", { value: images.length - 1 }, images.at(-1).name));
    picture.value = images.length - 1;
    pick({ image: images.length - 1 });
  }

  slider.addEventListener("input", update);
  file.addEventListener("change", () => take(file.files[0]).finally(() => (file.value = "")));
  root.addEventListener("dragover", (event) => event.preventDefault());
  root.addEventListener("drop", (event) => {
    event.preventDefault();
    take(event.dataTransfer.files[0]);
  });
  pick({ kind: 0 });
}
