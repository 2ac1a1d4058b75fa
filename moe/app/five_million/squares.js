// Draws squares to scale at any zoom; the payload is described in squares.py.

const NS = "http://www.w3.org/2000/svg";
const SECONDS = 1.6, REST = 0.7; // one step of zoom, and the stop after it
const LINE = 20, ROOM = 10; // height of a label, and its distance from lines, in pixels
const AROUND = 1.3; // sides of the square, as long as there is more to guess
const EDGE = 1; // half of a line's width, inside the picture

const ease = (t) => (t < 0.5 ? 4 * t ** 3 : 1 - (2 - 2 * t) ** 3 / 2);

class Squares {
  constructor(root) {
    this.root = root;
    this.svg = root.querySelector("svg");
    this.steps = root.querySelector(".steps");
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
    this.seen = new IntersectionObserver(([entry]) => this.look(entry.isIntersecting));
    this.seen.observe(root);
    this.resizes = new ResizeObserver(() => this.paint());
    this.resizes.observe(root);
  }

  load(data) {
    const before = this.data?.squares.length ?? 0;
    this.data = data;
    this.svg.ariaLabel = data.told;
    this.draw();
    this.buttons();
    this.restyle();
    this.at = Math.log(this.side(data.squares[0].key)); // the zoom: what fills the picture
    this.last = data.steps.at(-1)?.key ?? data.squares[0].key;
    this.root.dataset.state = "waiting";
    // What is new is zoomed out to; what was there already when the page came is, too, once seen.
    if (before !== data.squares.length || !before) this.start();
    else this.jump(this.last);
  }

  restyle() {
    const colour = getComputedStyle(this.root).color.match(/[\d.]+/g) ?? [0];
    this.root.classList.toggle("dark", Number(colour[0]) > 128);
  }

  draw() {
    const make = (name, kind) => {
      const node = document.createElementNS(NS, name);
      node.setAttribute("class", kind);
      return node;
    };
    this.rects = [...this.data.squares].reverse().map((square) => {
      const node = make("rect", square.key);
      node.dataset.key = square.key;
      node.dataset.dollars = square.dollars;
      return node;
    });
    this.parts = this.data.shares.map(() => make("rect", "part"));
    this.texts = this.data.squares.map((square) => {
      const node = make("text", "label");
      node.textContent = square.label;
      return node;
    });
    const unknown = make("text", "unknown");
    unknown.textContent = this.data.unknown;
    unknown.setAttribute("x", ROOM);
    unknown.setAttribute("y", 2 * LINE);
    this.svg.replaceChildren(...this.rects, ...this.parts, ...this.texts, unknown);
  }

  buttons() {
    this.steps.replaceChildren(...this.data.steps.map(({ key, words }) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = words;
      button.dataset.key = key;
      button.addEventListener("click", () => this.zoom([key]));
      return button;
    }));
  }

  look(visible) {
    this.visible = visible;
    if (visible && this.data) this.start();
  }

  start() {
    if (!this.visible || this.root.dataset.state !== "waiting") return;
    this.zoom(this.data.steps.slice(1).map((step) => step.key));
  }

  /** Zoom to one square after the other, with a rest at each. */
  zoom(keys) {
    cancelAnimationFrame(this.request);
    if (this.calm.matches || !keys.length) return this.jump(keys.at(-1) ?? this.last);
    this.root.dataset.state = "moving";
    const [key, ...others] = keys;
    const from = this.at, to = Math.log(this.side(key)), begun = performance.now();
    this.mark(key);
    const tick = (now) => {
      const t = (now - begun) / 1000 / SECONDS;
      this.at = from + (to - from) * ease(Math.min(t, 1));
      this.paint();
      if (t < 1 + (others.length ? REST / SECONDS : 0)) this.request = requestAnimationFrame(tick);
      else if (others.length) this.zoom(others);
      else this.jump(key);
    };
    this.request = requestAnimationFrame(tick);
  }

  jump(key) {
    this.at = Math.log(this.side(key));
    this.mark(key);
    this.root.dataset.state = "still";
    this.paint();
  }

  mark(key) {
    this.root.dataset.step = key;
    for (const button of this.steps.children) {
      button.ariaPressed = String(button.dataset.key === key);
    }
  }

  /** The side that fills the picture; before the answer, there is room around the square. */
  side(key) {
    const { side } = this.data.squares.find((square) => square.key === key);
    return this.data.unknown ? side * AROUND : side;
  }

  paint() {
    if (!this.data) return;
    const width = this.svg.clientWidth, high = Math.min(width, 440);
    if (!width) return;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${high}`);
    this.svg.style.height = `${high}px`;
    const scale = (high - 2 * EDGE) / Math.exp(this.at);
    const sizes = this.data.squares.map((square) => square.side * scale);
    [...sizes].reverse().forEach((size, i) => place(this.rects[i], EDGE, high - EDGE - size, size, size));
    this.strips(sizes[0], high);
    this.labels(sizes, high);
  }

  /** The parts of the smallest square as strips of its area, the first on top. */
  strips(size, high) {
    let top = high - EDGE - size;
    this.data.shares.forEach((share, i) => {
      place(this.parts[i], EDGE, top, size, share * size);
      top += share * size;
    });
  }

  /** Each label within its square if there is room, else right of all squares in its way. */
  labels(sizes, high) {
    let above = -Infinity;
    for (let i = sizes.length - 1; i >= 0; i--) {
      const text = this.texts[i], { label, short } = this.data.squares[i];
      const size = sizes[i], inside = size - (sizes[i - 1] ?? 0) > LINE + ROOM;
      let spot = this.room(text, label, sizes, i, inside);
      if (spot.end > this.svg.clientWidth) spot = this.room(text, short, sizes, i, inside);
      const y = Math.max(high - size + LINE, above + LINE);
      const seen = high - size > -LINE && y < high && size > 4;
      text.setAttribute("x", spot.x);
      text.setAttribute("y", Math.min(y, high - 6));
      text.style.display = seen ? "" : "none";
      text.classList.toggle("within", spot.within && i === 0);
      if (seen) above = y;
    }
  }

  /** Where words of a square may begin and where they end, so that no line crosses them. */
  room(text, words, sizes, i, inside) {
    if (text.textContent !== words) text.textContent = words;
    const long = text.getComputedTextLength() + 2 * ROOM;
    const within = inside && sizes[i] > long;
    let x = within ? ROOM : sizes[i] + ROOM;
    for (let k = i + 1; !within && k < sizes.length; k++) {
      if (x < sizes[k] && x + long - ROOM > sizes[k]) x = sizes[k] + ROOM;
    }
    return { x, within, end: x + long - ROOM };
  }

  destroy() {
    cancelAnimationFrame(this.request);
    this.seen.disconnect();
    this.resizes.disconnect();
  }
}

function place(rect, x, y, width, height) {
  for (const [name, value] of Object.entries({ x, y, width, height })) {
    rect.setAttribute(name, value);
  }
}

const all = new WeakMap();

/** Called by Streamlit on mounting, on new data and on a change of theme. */
export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".squares");
  if (!all.has(root)) all.set(root, new Squares(root));
  const squares = all.get(root);
  if (JSON.stringify(squares.data) === JSON.stringify(data)) squares.restyle();
  else squares.load(data);
  return () => squares.destroy();
}
