// Plays a sentence through the layer, character after character; the packet is described in
// moe/app/start/flow.py, and flow_drawing.js draws it.

const SHOWING = 2.6; // seconds in which the steps of a character are shown
const CALM = 1; // seconds for a character where nothing may move

class Flow extends Drawing {
  state = "paused";
  gone = new AbortController();

  constructor(root) {
    super();
    this.root = root;
    this.find = (selector) => root.querySelector(selector);
    this.svg = this.find(".picture");
    this.stage = this.find(".stage");
    this.list = this.find(".sentence");
    this.button = this.find(".play");
    this.scrub = this.find(".scrub");
    this.calm = window.matchMedia("(prefers-reduced-motion: reduce)");
    this.listen();
  }

  listen() {
    const on = (node, type, act) => node.addEventListener(type, act, { signal: this.gone.signal });
    on(this.button, "click", () => (this.state === "playing" ? this.rest() : this.play()));
    on(this.find(".back"), "click", () => this.choose(this.index - 1));
    on(this.find(".forward"), "click", () => this.choose(this.index + 1));
    on(this.scrub, "input", () => this.scrubTo(Number(this.scrub.value)));
    on(this.scrub, "change", () => this.choose(Number(this.scrub.value)));
    on(this.find(".speeds"), "change", () => this.state === "playing" && this.play());
    on(this.find("details"), "toggle", () => this.fillTable());
    on(this.list, "click", ({ target }) => {
      const cell = target.closest(".cell");
      if (cell) this.choose(this.cells.indexOf(cell));
    });
    on(this.list, "keydown", (event) => {
      const moves = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.inLine, ArrowUp: -this.inLine };
      const to = { Home: 0, End: this.count - 1, Enter: this.index, " ": this.index }[event.key]
        ?? this.index + moves[event.key];
      if (Number.isNaN(to)) return;
      event.preventDefault();
      this.choose(to);
    });
    this.resizes = new ResizeObserver(() => {
      if (this.data && this.width !== this.stage.clientWidth) this.layout();
    });
    this.resizes.observe(this.stage);
    this.sights = new IntersectionObserver(([{ isIntersecting }]) => {
      if (!isIntersecting || !this.data || this.seen) return;
      this.seen = true;
      if (this.state === "paused") this.show();
    }, { threshold: 0.5 });
    this.sights.observe(this.stage);
  }

  /** Take a new packet; the character stays if the sentence does. */
  load(data) {
    const same = this.data && this.data.tokens.join("\n") === data.tokens.join("\n");
    const floats = (name) => new Float32Array(bytes(data[name]).buffer);
    this.data = {
      ...data, experts: bytes(data.experts), guesses: bytes(data.guesses),
      so_far: new Uint16Array(bytes(data.so_far).buffer),
      ...Object.fromEntries(["logits", "scores", "weights", "parts", "chances"]
        .map((name) => [name, floats(name)])),
    };
    const first = !this.cells;
    this.count = data.tokens.length;
    this.E = data.names.length;
    this.K = this.data.experts.length / (this.count * (this.E + 1));
    this.G = this.data.guesses.length / (this.count * (this.E + 1));
    if (first) this.without = data.without;
    if (!same) {
      this.position = first ? data.at : data.start;
      this.touched = first && data.at !== data.start;
    }
    if (first) this.wished = this.where();
    this.ranges();
    this.build();
    this.layout();
    if (this.seen && !same) this.show();
    else this.rest();
  }

  /** Whom each character of the sentence goes to, and which of them go elsewhere than with all. */
  seats() {
    const { experts, weights, names, colours, inks, tokens } = this.data;
    this.cells.forEach((cell, i) => {
      const at = this.from(i, this.K), usual = i * this.K;
      const chosen = [];
      cell.querySelectorAll("i").forEach((mark, k) => {
        const e = experts[at + k];
        mark.textContent = names[e];
        Object.assign(mark.style, { background: colours[e], color: inks[e] });
        chosen.push(`${names[e]} ${percent(weights[at + k])}`);
        mark.classList.toggle("moved", !experts.subarray(usual, usual + this.K).includes(e));
      });
      cell.ariaLabel = `${i + 1}: ${tokens[i]}, to ${chosen.join(" and ")}`;
    });
    this.boxes.forEach((box, e) => {
      const off = this.without === e + 1;
      box.ariaPressed = String(off);
      box.ariaLabel = `Switch off expert ${names[e]}`;
      box.title = off ? `Switch expert ${names[e]} on again` : `Switch off expert ${names[e]}`;
    });
    this.root.classList.toggle("with-bonus", this.hasBonus);
    this.find(".without").textContent = this.data.words[this.without];
    this.root.dataset.without = this.without ? names[this.without - 1] : "";
  }

  /** Put the numbers of a character in words. */
  writeNumbers(i) {
    const { data } = this;
    this.cells[this.shown]?.setAttribute("aria-selected", "false");
    this.shown = i;
    const cell = this.cells[i];
    cell.setAttribute("aria-selected", "true");
    this.list.setAttribute("aria-activedescendant", cell.id);
    const below = cell.offsetTop + cell.offsetHeight - this.list.clientHeight;
    this.list.scrollTop = clamp(this.list.scrollTop, below, cell.offsetTop);
    this.root.dataset.at = String(i);
    this.scrub.value = String(i);
    this.scrub.style.setProperty("--done", i / (this.count - 1 || 1));
    write(this.glyph.text, data.tokens[i], this.at.glyph.size * 0.55);
    this.context.textContent = this.before(i) ? `after “${this.before(i)}”` : "the first one";
    const weight = this.spread(data.weights, i), part = this.spread(data.parts, i);
    const most = Math.max(...data.load.flat()), load = data.load[this.without];
    this.rows.forEach((row, e) => {
      const logit = data.logits[i * this.E + e];
      row.ratingText.textContent = `${logit < 0 ? "−" : "+"}${Math.abs(logit).toFixed(2)}`;
      row.shareText.textContent = percent(data.scores[i * this.E + e]);
      row.partText.textContent = part[e] ? `${data.names[e]} ${percent(part[e])}` : "";
      const box = this.boxes[e], off = this.without === e + 1;
      const now = data.so_far[this.from(i, this.E) + e];
      box.weight.textContent = off ? "off" : weight[e] > 0 ? percent(weight[e]) : "";
      box.count.textContent = off ? "" : load[e] ? `${now} of ${load[e]}` : "idle";
      box.style.setProperty("--now", percent(now / most));
      box.style.setProperty("--all", percent(load[e] / most));
    });
    const at = this.from(i, this.G), next = data.next[i];
    this.guesses.forEach(({ bar, text, p }, g) => {
      const byte = data.guesses[at + g];
      write(text, data.letters[byte], 17);
      p.textContent = percent(data.chances[at + g]) + (byte === next ? " ✓" : "");
      bar.classList.toggle("right", byte === next);
    });
    this.truth.textContent = next < 0 ? "" : `in the text: ${data.letters[next]}`;
    this.find(".said").textContent = this.words(i);
    this.scrub.setAttribute("aria-valuetext", `${i + 1} of ${this.count}: ${data.tokens[i]}`);
    if (this.state === "playing" && performance.now() - this.told > 3000) this.announce();
    this.fillTable();
  }

  /** What the model has read before a character, as far as it looks back. */
  before(i) { return this.data.tokens.slice(Math.max(0, i - this.data.reads + 1), i).join(""); }

  words(i) {
    const { tokens, names, experts, weights, guesses, chances, next, letters } = this.data;
    const at = this.from(i, this.K), guess = this.from(i, this.G);
    const chosen = Array.from({ length: this.K }, (_, k) =>
      `${names[experts[at + k]]} (${percent(weights[at + k])})`).join(" and ");
    const right = guesses[guess] === next[i] ? "which is right" : `but it is “${letters[next[i]]}”`;
    const after = this.before(i) && ` after “${this.before(i)}”`;
    return `Character ${i + 1} of ${this.count}, “${tokens[i]}”${after}, goes to ${chosen}. `
      + `The model guesses that “${letters[guesses[guess]]}” comes next (${percent(chances[guess])})`
      + (next[i] < 0 ? "." : `, ${right}.`);
  }

  /** Tell screen readers, also in the picture's text alternative. */
  announce() {
    this.told = performance.now();
    const said = `${this.find(".said").textContent} ${this.find(".without").textContent}`;
    this.find(".live").textContent = said;
    this.svg.ariaLabel = `The six steps. ${said}`;
  }

  fillTable() {
    const details = this.find("details");
    if (!details.open || this.shown === null) return;
    const { data } = this, i = this.shown;
    const weight = this.spread(data.weights, i), part = this.spread(data.parts, i);
    const exact = (value) => `${(100 * value).toFixed(2)}%`;
    const signed = (text) => (text.startsWith("-") ? text : `+${text}`);
    this.find("tbody").replaceChildren();
    for (let e = 0; e < this.E; e++) {
      const row = html(this.find("tbody"), "tr", "");
      const score = data.scores[i * this.E + e], off = this.without === e + 1;
      const chosen = (value) => (weight[e] ? exact(value) : off ? "off" : "not chosen");
      html(row, "th", "", data.names[e]).scope = "row";
      for (const text of [signed(data.logits[i * this.E + e].toFixed(3)), exact(score),
        signed(exact(data.bonus[e])), off ? "off" : exact(score + data.bonus[e]),
        chosen(weight[e]), chosen(part[e])]) html(row, "td", "", text);
    }
  }

  /** The character and the switched-off expert as the address has them. */
  where() {
    const without = this.without ? this.data.names[this.without - 1] : "";
    return JSON.stringify({ character: this.index + 1, without });
  }

  /** Ask for an address that says where this is, once it stays. */
  wish() {
    clearTimeout(this.later);
    this.later = setTimeout(() => {
      if (this.where() === this.wished) return;
      this.wished = this.where();
      this.setStateValue?.("at", JSON.parse(this.wished));
    }, 400);
  }

  enter(state) {
    cancelAnimationFrame(this.request);
    this.state = this.root.dataset.state = state;
    this.button.title = this.button.ariaLabel = state === "playing" ? "Pause" : "Play";
    this.clock = performance.now();
    if (state === "playing" || state === "showing") this.request = requestAnimationFrame(this.tick);
  }

  /** Stand still at the present character. */
  rest() {
    this.position = this.index;
    this.phase = STEPS;
    this.streaming = false;
    this.enter(this.touched && this.index === this.count - 1 ? "ended" : "paused");
    this.paint();
    this.announce();
    this.wish();
  }

  /** Show the steps of the present character, one after another. */
  show(from = 0) {
    this.rest();
    if (this.calm.matches) return;
    this.phase = from;
    this.enter("showing");
  }

  choose(i) {
    this.position = clamp(i, 0, this.count - 1);
    this.touched = this.seen = true;
    this.show();
  }

  scrubTo(i) {
    this.touched = true;
    this.position = i;
    this.rest();
  }

  switchOff(without) {
    this.without = without;
    this.shown = null;
    this.seats();
    if (this.state === "playing") return this.paint();
    this.show(3); // the choice, and what follows from it
  }

  /** Go through the sentence, from its first character unless the visitor chose one. */
  play() {
    clearTimeout(this.later); // an address is for who stays
    if (!this.touched || this.index === this.count - 1) this.position = 0;
    this.position = this.index;
    this.touched = this.seen = true;
    this.streaming = this.find("[value=stream]").checked && !this.calm.matches;
    this.phase = this.streaming || this.calm.matches ? STEPS : 0;
    this.waited = 0;
    this.enter("playing");
    this.paint();
  }

  tick = (now) => {
    // no frames come while the page is hidden: do not jump on return
    const seconds = clamp(now - this.clock, 0, 100) / 1000;
    this.clock = now;
    const on = (this.state === "showing" || !this.streaming) && !this.calm.matches;
    if (on) this.phase += (seconds * STEPS) / SHOWING;
    else if (this.streaming) this.position += seconds * STREAM;
    else this.waited += seconds;
    if (this.state === "showing" && this.phase >= STEPS) return this.rest();
    if (this.waited >= CALM || this.phase >= STEPS + 1) {
      Object.assign(this, { waited: 0, phase: on ? 0 : STEPS, position: this.position + 1 });
    }
    if (this.position >= this.count - 1 && (this.streaming || this.phase >= STEPS)) {
      this.position = this.count - 1;
      return this.rest();
    }
    this.paint();
    this.request = requestAnimationFrame(this.tick);
  };

  destroy() {
    cancelAnimationFrame(this.request);
    clearTimeout(this.later);
    this.resizes.disconnect();
    this.sights.disconnect();
    this.gone.abort();
  }
}

const flows = new WeakMap();

/** Called by Streamlit on mounting and on new data. */
export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".flow");
  if (!flows.has(root)) flows.set(root, new Flow(root));
  const flow = flows.get(root);
  flow.setStateValue = setStateValue;
  if (flow.data?.id !== data.id) flow.load(data);
  return () => flow.destroy();
}
