// Draws two finished runs and plays them; the payload is described in moe/app/balance/playback.py.

const SECONDS = 6; // one play from first to last step at 1x
const REST = 3000; // milliseconds at the end before the film begins again
const NARROW = 640; // CSS pixels below which the runs are stacked, and lower
const LEFT = 46, RIGHT = 2; // plot margins in CSS pixels, the same everywhere so that axes line up
// Loads from idle over fair to overloaded, in bars and heat maps alike (moe/pictures/palette.py):
// contrast over 3:1 on white and on near-black.
const TINTS = [[31, 125, 195], [134, 142, 153], [222, 98, 16]];

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const floats = (b64) => new Float32Array(Uint8Array.from(atob(b64), (c) => c.charCodeAt()).buffer);

/** The colour at t in 0..1 on a scale of evenly spaced colours. */
function blend(colours, t) {
  const place = clamp(t, 0, 1) * (colours.length - 1);
  const i = Math.min(Math.floor(place), colours.length - 2);
  return colours[i].map((v, c) => Math.round(v + (colours[i + 1][c] - v) * (place - i)));
}

/** The colour of a load in fair shares: one is in the middle of the colours, four at their end. */
const tint = (ratio) => blend(TINTS, ratio < 1 ? ratio / 2 : 0.5 + Math.log2(ratio) / 4);

/** Draw a run as an image with one column per step, one row per expert. */
function heatImage(run, steps) {
  const image = new ImageData(steps, run.n_experts);
  run.share.forEach((share, at) => {
    const pixel = (at % run.n_experts) * steps + Math.floor(at / run.n_experts);
    image.data.set([...tint(share / run.fair), 255], 4 * pixel);
  });
  const canvas = new OffscreenCanvas(steps, run.n_experts);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

/** A canvas with a still layer (axes, image) that is drawn once and blitted under each frame. */
class Plot {
  constructor(canvas) {
    this.canvas = canvas;
    this.front = canvas.getContext("2d");
    this.back = document.createElement("canvas").getContext("2d");
  }

  /** Fit to the page: a plot area `h` high with `top` above it and room for the axis below. */
  fit(h, top, ink) {
    const dpr = window.devicePixelRatio;
    this.ink = ink;
    this.height = top + h + 36;
    this.canvas.style.height = `${this.height}px`;
    this.width = this.canvas.getBoundingClientRect().width;
    this.area = { x: LEFT, y: top, w: this.width - LEFT - RIGHT, h };
    for (const ctx of [this.front, this.back]) {
      ctx.canvas.width = Math.round(this.width * dpr);
      ctx.canvas.height = Math.round(this.height * dpr);
      ctx.scale(dpr, dpr);
    }
    Object.assign(this.back, { font: ink.font, fillStyle: ink.text, textBaseline: "middle" });
  }

  /** Centre of the i-th of `count` columns. */
  x(i, count) { return this.area.x + ((i + 0.5) / count) * this.area.w; }

  y(value, { min, max }) { return this.area.y + (this.area.h * (max - value)) / (max - min || 1); }

  write(text, x, y, align) { Object.assign(this.back, { textAlign: align }).fillText(text, x, y); }

  rule(ctx, x, y, w, colour, dash) {
    ctx.setLineDash(dash);
    Object.assign(ctx, { strokeStyle: colour, lineWidth: dash.length ? 1.5 : 1 });
    ctx.stroke(new Path2D(`M${x} ${Math.round(y) + 0.5}h${w}`));
    ctx.setLineDash([]);
  }

  yAxis(axis) {
    for (const [tick, text] of axis.ticks) {
      const y = this.y(tick, axis);
      this.rule(this.back, this.area.x, y, this.area.w, this.ink.grid, []);
      this.write(text, LEFT - 8, y, "right");
    }
  }

  xAxis(labels, count, meaning) {
    for (const [i, text] of labels) {
      const half = this.back.measureText(text).width / 2;
      this.write(text, Math.min(this.x(i, count), this.width - half), this.height - 23, "center");
    }
    this.write(meaning, this.area.x + this.area.w / 2, this.height - 8, "center");
  }

  /** Begin a frame: put the still layer back. */
  blit() {
    if (!this.back.canvas.width) return; // not shown
    this.front.clearRect(0, 0, this.width, this.height);
    this.front.drawImage(this.back.canvas, 0, 0, this.width, this.height);
  }

  /** A frame with a line at the present step, whose rim sets it off from any colour. */
  paintCursor(position, count) {
    this.blit();
    const x = Math.min(this.x(position, count), this.width - RIGHT);
    for (const [colour, w] of [[this.ink.paper, 4], [this.ink.text, 2]]) {
      this.front.fillStyle = colour;
      this.front.fillRect(x - w / 2, this.area.y - 4, w, this.area.h + 8);
    }
  }
}

class Player {
  speed = 1;
  sorted = false;
  frames = 0;
  gone = new AbortController();

  constructor(root) {
    this.root = root;
    this.find = (selector) => root.querySelector(selector);
    this.panels = [...root.querySelectorAll(".run")].map((run, r) => ({
      title: run.querySelector(".title"),
      sentence: run.querySelector(".sentence"),
      mean: root.querySelectorAll(".loss-legend .name")[r],
      bars: new Plot(run.querySelector(".bars")),
      heat: new Plot(run.querySelector(".heat")),
    }));
    this.loss = new Plot(this.find(".loss"));
    this.scrub = this.find(".scrub");
    this.button = this.find(".play");
    const stops = TINTS.map((stop) => `rgb(${stop})`);
    this.find(".scale i").style.background = `linear-gradient(to right, ${stops})`;
    this.listen();
    this.sight = new IntersectionObserver(([entry]) => this.look(entry.isIntersecting), {
      threshold: 0.5,
    });
    this.sight.observe(this.panels[0].bars.canvas);
    this.resizes = new ResizeObserver(() => this.width !== root.clientWidth && this.layout());
    this.resizes.observe(root);
    document.fonts.ready.then(() => this.gone.signal.aborted || this.layout());
  }

  listen() {
    const on = (node, type, act) => node.addEventListener(type, act, { signal: this.gone.signal });
    for (const type of ["pointerdown", "keydown"]) on(this.root, type, () => this.touch());
    const start = () => (this.index < this.count - 1 ? this.index : 0); // after the end: play again
    on(this.button, "click", () => this.go(start(), !this.playing));
    on(this.find(".restart"), "click", () => this.go(0, true));
    on(this.find(".back"), "click", () => this.go(this.index - 1, false));
    on(this.find(".forward"), "click", () => this.go(this.index + 1, false));
    on(this.scrub, "input", () => this.go(Number(this.scrub.value), false));
    on(this.find(".speeds"), "change", ({ target }) => { this.speed = Number(target.value); });
    on(this.find(".sort"), "change", (event) => this.layout(event.target.checked));
    for (const plot of [this.loss, ...this.panels.map((panel) => panel.heat)]) {
      const drag = ({ buttons, offsetX }) => {
        if (buttons) this.go(Math.floor(((offsetX - LEFT) / plot.area.w) * this.count), false);
      };
      on(plot.canvas, "pointerdown", drag);
      on(plot.canvas, "pointermove", drag);
    }
  }

  /** The film waits until it is seen, and stands still while it is not. */
  look(seen) {
    this.seen = seen;
    if (seen && this.root.dataset.state === "waiting") this.go(0, true);
  }

  /** Whoever touches the film has it in hand: it no longer begins again by itself. */
  touch() {
    this.touched = true;
    clearTimeout(this.again);
  }

  /** Take a new payload, and start from its first step once it is seen. */
  load(payload) {
    this.payload = payload;
    this.count = payload.steps.length;
    this.shown = null;
    this.runs = payload.runs.map((run, r) => {
      const series = Object.entries(run.series).map(([name, packed]) => [name, floats(packed)]);
      const full = { ...run, ...Object.fromEntries(series), panel: this.panels[r] };
      full.panel.title.textContent = run.title;
      full.image = heatImage(full, this.count);
      full.panel.heat.canvas.ariaLabel = `Heat map, ${run.title}. ${run.heat_text}`;
      return full;
    });
    this.scrub.max = String(this.count - 1);
    this.find(".last").textContent = `of ${payload.steps.at(-1)}`;
    this.find(".note").textContent = payload.loss_note;
    this.root.toggleAttribute("data-held", payload.held);
    clearTimeout(this.again);
    this.touched = false;
    this.position = this.ends = 0;
    this.restyle();
    const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.go(calm && !payload.held ? this.count - 1 : 0, false);
    this.judge();
    if (calm || payload.held) return;
    this.root.dataset.state = "waiting";
    if (this.seen) this.go(0, true);
  }

  /** Say what came of the runs once their end has been shown. */
  judge() {
    this.root.dataset.ends = String(this.ends);
    const said = this.ends ? this.payload.verdict ?? [] : [];
    if (said.join() === this.judged) return; // or screen readers would read it at each end
    this.judged = said.join();
    const paragraphs = said.map((text) => {
      const paragraph = document.createElement("p");
      paragraph.textContent = text;
      return paragraph;
    });
    this.find(".verdict").replaceChildren(...paragraphs);
  }

  /** Read the theme's colours, then redraw everything. */
  restyle() {
    const style = getComputedStyle(this.root);
    const names = ["--ink", "--grid", "--paper", "--line-a", "--line-b"];
    const [text, grid, paper, ...lines] = names.map((name) => style.getPropertyValue(name));
    this.ink = { font: `12px ${style.fontFamily}`, text, grid, paper, lines };
    this.layout();
  }

  /** Fit all plots to the present width and draw their still layers. */
  layout(sorted = this.sorted) {
    this.sorted = sorted;
    this.width = this.root.clientWidth;
    this.low = this.width < NARROW;
    this.visible = Boolean(this.payload) && this.width > 0;
    if (!this.visible) return;
    for (const run of this.runs) {
      this.layBars(run, run.panel.bars);
      this.layHeat(run, run.panel.heat);
    }
    this.layLoss(this.loss);
    this.paint();
  }

  layBars(run, plot) {
    plot.fit(this.low ? 96 : 150, 34, this.ink);
    plot.write("Share of the work", 0, 8, "left");
    plot.write(run.fair_text, plot.width - RIGHT, 8, "right");
    const start = plot.width - RIGHT - plot.back.measureText(run.fair_text).width - 29;
    plot.rule(plot.back, start, 8, 23, this.ink.text, [5, 4]);
    plot.yAxis(this.payload.share_axis);
    if (this.sorted) plot.xAxis([], run.n_experts, "experts, busiest first");
    else plot.xAxis(run.expert_ticks, run.n_experts, "expert");
  }

  layHeat(run, plot) {
    const row = Math.max(1, Math.round((this.low ? 96 : 160) / run.n_experts));
    plot.fit(row * run.n_experts, 26, this.ink);
    plot.write("Each expert's work, step by step", 0, 8, "left");
    const { x, y, w, h } = plot.area;
    plot.back.imageSmoothingEnabled = w < this.count;
    plot.back.drawImage(run.image, x, y, w, h);
    for (const [e, text] of run.row_ticks) plot.write(text, LEFT - 8, y + (e + 0.5) * row, "right");
    plot.xAxis(this.payload.step_ticks, this.count, "step");
  }

  layLoss(plot) {
    const axis = this.payload.loss_axis;
    plot.fit(120, 8, this.ink);
    plot.yAxis(axis);
    plot.xAxis(this.payload.step_ticks, this.count, "step");
    const { x, y, w, h } = plot.area;
    plot.back.clip(new Path2D(`M${x} ${y}h${w}v${h}h${-w}z`));
    const curve = (values, style, dash) => {
      const path = new Path2D(); // which skips points that are not finite
      values.forEach((value, i) => path.lineTo(plot.x(i, this.count), plot.y(value, axis)));
      plot.back.setLineDash(dash);
      Object.assign(plot.back, { lineJoin: "round", ...style }).stroke(path);
    };
    this.runs.forEach((run, r) => {
      curve(run.loss, { strokeStyle: this.ink.lines[r], lineWidth: 1, globalAlpha: 0.5 }, []);
      curve(run.loss_mean, { lineWidth: 2.25, globalAlpha: 1 }, r ? [7, 4] : []);
    });
  }

  get index() { return Math.floor(this.position); }

  /** Draw one picture of the present position. */
  paint() {
    if (this.shown !== this.index) this.writeNumbers(this.index);
    if (!this.visible) return;
    for (const run of this.runs) {
      this.paintBars(run, run.panel.bars);
      run.panel.heat.paintCursor(this.position, this.count);
    }
    this.loss.paintCursor(this.position, this.count);
    this.root.dataset.frames = String(++this.frames);
  }

  paintBars(run, plot) {
    const { n_experts: E, share: all, fair } = run;
    const axis = this.payload.share_axis;
    const at = this.index * E;
    const between = this.position - this.index; // the bars glide from step to step
    const share = all.slice(at, at + E).map((v, e) => v + ((all[at + E + e] ?? v) - v) * between);
    if (this.sorted) share.sort().reverse();
    const ctx = plot.front;
    const slot = plot.area.w / E;
    const r = clamp(slot * 0.35, 1.5, 4); // half the width of the marks
    const base = plot.y(0, axis);
    plot.blit();
    share.forEach((value, e) => {
      const ratio = value / fair;
      const x = plot.x(e, E);
      const y = plot.y(value, axis);
      const colour = `rgb(${tint(ratio)})`;
      Object.assign(ctx, { fillStyle: colour, strokeStyle: colour, lineWidth: 1.5 });
      ctx.fillRect(x - slot * 0.39, y, slot * 0.78, base - y);
      if (ratio > 2) ctx.fill(new Path2D(`M${x - r} ${y - 3}h${2 * r}l${-r} ${-2 * r}z`));
      if (value > 0) return;
      ctx.beginPath();
      ctx.arc(x, base - r - 3, r, 0, 2 * Math.PI);
      ctx.stroke();
    });
    plot.rule(ctx, plot.area.x, plot.y(fair, axis), plot.area.w, this.ink.text, [5, 4]);
  }

  /** Put the numbers of step `i` in words. */
  writeNumbers(i) {
    const step = this.payload.steps[i];
    this.shown = i;
    this.root.dataset.step = this.find(".now").textContent = String(step);
    this.scrub.value = String(i);
    this.scrub.style.setProperty("--done", i / (this.count - 1 || 1));
    this.scrub.setAttribute("aria-valuetext", `step ${step} of ${this.payload.steps.at(-1)}`);
    for (const run of this.runs) {
      run.panel.sentence.textContent = run.sentences[i];
      run.panel.mean.textContent = `${run.title} ${run.loss_mean[i].toFixed(3)}`;
    }
    if (this.playing && performance.now() - this.said > 1000) this.announce();
  }

  /** Tell screen readers, also in the pictures' text alternatives; a film that repeats is silent. */
  announce() {
    if (this.ends && this.playing && !this.touched) return;
    this.said = performance.now();
    const said = this.runs.map((run) => `${run.title}. ${run.panel.sentence.textContent}`);
    this.runs.forEach(({ panel }, r) => { panel.bars.canvas.ariaLabel = `Load bars, ${said[r]}`; });
    this.find(".live").textContent = said.join(" ");
    const means = this.panels.map((panel) => panel.mean.textContent).join("; ");
    this.loss.canvas.ariaLabel = `Loss over the steps. Mean of the last steps: ${means}.`;
  }

  /** Move to a position and play on from there, or stand still. */
  go(position, playing) {
    cancelAnimationFrame(this.request);
    clearTimeout(this.again);
    this.position = clamp(position, 0, this.count - 1);
    this.playing = playing;
    const resting = this.position < this.count - 1 ? "paused" : "ended";
    this.root.dataset.state = playing ? "playing" : resting;
    this.button.title = this.button.ariaLabel = playing ? "Pause" : "Play";
    this.paint();
    this.announce();
    if (resting === "ended" && !this.payload.held) {
      this.ends += 1;
      this.judge();
    }
    this.before = performance.now();
    if (playing) this.request = requestAnimationFrame(this.tick);
  }

  tick = (now) => {
    // no frames come while the page is hidden: do not jump on return
    const seconds = clamp(now - this.before, 0, 100) / 1000;
    this.before = now;
    const moves = this.visible && this.seen;
    if (moves) this.position += (seconds * this.speed * (this.count - 1)) / SECONDS;
    if (this.position >= this.count - 1) {
      this.go(this.count - 1, false);
      if (!this.touched) this.again = setTimeout(() => this.go(0, true), REST);
      return;
    }
    this.paint();
    this.request = requestAnimationFrame(this.tick);
  };

  destroy() {
    cancelAnimationFrame(this.request);
    clearTimeout(this.again);
    this.resizes.disconnect();
    this.sight.disconnect();
    this.gone.abort();
  }
}

const players = new WeakMap();

/** Called by Streamlit on mounting, on new data and on a change of theme. */
export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".player");
  if (!players.has(root)) players.set(root, new Player(root));
  const player = players.get(root);
  const same = player.payload?.id === data.id;
  if (!same) player.load(data);
  else {
    Object.assign(player.payload, data);
    player.judge();
    player.restyle();
  }
  return () => player.destroy();
}
