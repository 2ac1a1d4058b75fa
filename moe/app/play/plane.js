const FASTEST = 25; // steps a second, unless the server says fewer
const AHEAD = 14; // ask for more when fewer steps than this are still to be shown
const CHUNK = 12;
const PATIENCE = 8000; // milliseconds after which an answer counts as lost
const CALM = 500; // milliseconds between two pictures where motion is not wanted

const KEPT = "moe-plane";
const stored = (act) => { try { return act(sessionStorage); } catch { return null; } }; // may be barred
const remember = (text) => stored((store) => store.setItem(KEPT, text));
const recall = () => stored((store) => store.getItem(KEPT));

class Plane {
  frames = 0;
  queue = [];
  history = [];
  number = 0;
  last = -1;
  layers = { answers: true, points: true, apart: false };
  gone = new AbortController();
  calm = matchMedia("(prefers-reduced-motion: reduce)");

  constructor(root) {
    this.root = root;
    this.find = (selector) => root.querySelector(selector);
    this.panels = [...root.querySelectorAll(".run")].map((run) => ({
      canvas: run.querySelector(".plane"), handle: run.querySelector(".handle"),
      title: run.querySelector(".title"), words: run.querySelector(".words"), scale: 0,
    }));
    this.listen();
    this.resizes = new ResizeObserver(() => this.now && this.layout());
    this.resizes.observe(root);
  }

  listen() {
    const on = (node, type, act) => node.addEventListener(type, act, { signal: this.gone.signal });
    on(this.find(".play"), "click", () => this.play());
    on(this.find(".pause"), "click", () => this.pause());
    on(this.find(".step"), "click", () => this.stepOnce());
    on(this.find(".reset"), "click", () => this.ask({ steps: 0, reset: true }));
    for (const name of Object.keys(this.layers)) {
      on(this.find(`.${name}`), "change", ({ target }) => {
        this.layers[name] = target.checked;
        this.restyle();
      });
    }
  }

  /** Take what the server sent: another pair of runs, or the next pictures of this one. */
  async take(data, send) {
    this.send = send;
    const chunk = `${data.about.id}/${data.chunk.n}`;
    if (this.last === chunk) return this.now && this.restyle();
    this.last = chunk;
    const frames = unpack(data.chunk, await inflate(data.chunk.bytes), data.about);
    if (this.gone.signal.aborted) return;
    const anew = this.about?.id !== data.about.id;
    const viewed = this.data?.view !== data.view;
    const resumed = this.asked?.resume && data.answers === this.asked.n;
    this.about = data.about;
    this.data = data;
    const lost = anew && !resumed && this.forgotten(data);
    if (lost) {
      this.asked = null;
      return this.ask({ steps: 0, resume: lost });
    }
    this.panels.forEach((panel, r) => { panel.title.textContent = data.titles[r]; });
    if (anew || resumed) this.begin(resumed ? this.history : []);
    this.history.push(...frames.map(({ step, loss }) => ({ step, loss })));
    if (!this.now) {
      this.show(frames.shift());
      this.at = this.now.step;
    }
    const answered = data.answers === this.asked?.n ? this.asked : null;
    if (answered) this.asked = null;
    if (answered?.move) return this.confirm(answered, frames);
    this.queue.push(...frames);
    if (!this.playing || this.edit || viewed || answered?.single) this.catchUp();
    if (this.waiting) this.ask(this.waiting);
    if (viewed || anew || resumed) this.layout();
  }

  /** What brings a run back that the server forgot, as when it was started anew; else null. */
  forgotten({ about, recipe, chunk }) {
    if (this.asked?.reset || chunk.frames[0].step || !this.send) return null;
    const kept = JSON.parse(recall() ?? "null");
    return kept?.of === recipe.of && kept.id !== about.id && kept.step ? kept : null;
  }

  /** Keep what brings the run back, also through a reload. */
  keep() {
    const { recipe, about } = this.data;
    const changed = recipe.changes.flat().map(([step]) => step);
    const step = Math.max(this.now.step, ...changed);
    remember(JSON.stringify({ ...recipe, id: about.id, step }));
  }

  /** Start with another pair of runs. */
  begin(history) {
    this.queue = [];
    this.history = history;
    this.now = this.edit = this.asked = this.waiting = null;
    const { about } = this;
    for (const panel of this.panels) panel.scale = 0;
    const chosen = this.find(".expert");
    chosen.replaceChildren(...about.names.map((name, e) => new Option(name, e)));
    this.find(".legend").textContent = [
      about.colours ? "Colour and letter: who answers."
        : "Letter: who answers; colour: its work, from blue (idle) over grey (fair) to orange.",
      about.classes ? "Strong colour: sure of ●; pale: sure of ○."
        : "Strong colour: close to the target; pale: far off.",
    ].join(" ");
    delete this.root.dataset.differ;
    this.state(this.playing ? "playing" : "paused");
  }

  state(name) {
    this.root.dataset.state = name;
    this.playing = name === "playing";
    this.find(".play").hidden = this.playing;
    this.find(".pause").hidden = !this.playing;
  }

  /** Ask the server for steps or a change; one wish at a time. */
  ask(wish) {
    if (!this.send) return;
    if (this.asked && performance.now() - this.asked.at < PATIENCE) {
      if (wish.move || wish.reset || wish.single) this.waiting = wish;
      return;
    }
    this.waiting = null;
    this.number = Math.max(this.number, this.data.answers) + 1;
    this.asked = { ...wish, n: this.number, at: performance.now() };
    this.send("wish", { ...wish, n: this.number, id: this.about.id });
  }

  play() {
    if (this.now.step >= this.about.last_step) return;
    this.state("playing");
    this.find(".pause").focus({ preventScroll: true });
    this.at = this.now.step;
    this.before = performance.now();
    cancelAnimationFrame(this.request);
    this.request = requestAnimationFrame(this.tick);
  }

  pause() {
    if (this.playing) {
      this.state(this.now.step >= this.about.last_step ? "ended" : "paused");
      this.find(".play").focus({ preventScroll: true });
    }
    cancelAnimationFrame(this.request);
    this.catchUp();
    this.announce();
  }

  stepOnce() {
    this.pause();
    if (!this.send && this.queue.length) this.show(this.queue.shift());
    this.ask({ steps: 1, single: true });
  }

  /** Show the newest picture: what stands still is what the server has. */
  catchUp() {
    if (this.queue.length && this.send) this.show(this.queue.at(-1));
    if (this.send) this.queue = [];
    if (this.now) this.paint();
    if (!this.playing) this.announce();
  }

  tick = (now) => {
    if (!this.playing || this.edit) return;
    this.request = requestAnimationFrame(this.tick);
    if (this.calm.matches && now - this.before < CALM) return;
    const seconds = clamp(now - this.before, 0, this.calm.matches ? CALM : 100) / 1000;
    this.before = now;
    const newest = (this.queue.at(-1) ?? this.now).step;
    this.at = Math.min(this.at + seconds * (this.data.rate ?? FASTEST), newest);
    while (this.queue.length && this.queue[0].step <= this.at) this.show(this.queue.shift());
    const open = newest < this.about.last_step;
    if (newest - this.at < AHEAD && open) this.ask({ steps: CHUNK });
    if (!this.queue.length && (!open || !this.send)) this.pause();
    else this.paint();
  };

  /** Make a frame the present one. */
  show(frame) {
    this.now = frame;
    const { dataset } = this.root;
    dataset.step = this.find(".step-number").textContent = String(frame.step);
    dataset.maxVio = frame.max_vio[0] === null ? "" : String(frame.max_vio[0]);
    this.find(".difference").textContent = frame.difference;
    this.panels.forEach((panel, r) => { panel.words.textContent = frame.words[r]; });
    if (this.playing && performance.now() - (this.said ?? 0) > 4000) this.announce();
    this.lossDue = true;
    this.keep();
  }

  announce() {
    if (!this.now) return;
    this.said = performance.now();
    const said = this.now.words.map((words, r) => `Run ${"AB"[r]}: ${words}`);
    this.panels.forEach(({ canvas }, r) => { canvas.ariaLabel = `The plane. ${said[r]}`; });
    this.find(".live").textContent = `Step ${this.now.step}. ${said.join(" ")} ${this.now.difference}`;
    const [a, b] = this.now.loss;
    this.find(".loss").ariaLabel = a === null ? "Losses: no step yet."
      : `Losses: A ${a.toFixed(3)}, B ${b.toFixed(3)}.`;
  }

  /** Read the theme and forget the pictures that were painted in another one. */
  restyle() {
    const style = getComputedStyle(this.root);
    const read = (name) => style.getPropertyValue(name).trim();
    const probe = new OffscreenCanvas(1, 1).getContext("2d");
    probe.fillStyle = read("--st-background-color") || "#fff";
    probe.fillRect(0, 0, 1, 1);
    this.look = {
      paper: [...probe.getImageData(0, 0, 1, 1).data.slice(0, 3)],
      paperText: read("--st-background-color") || "#fff",
      ink: read("--st-text-color") || "#000",
      font: `13px ${style.fontFamily}`,
      bold: `600 13px ${style.fontFamily}`,
      lines: [read("--line-a"), read("--line-b")],
    };
    for (const frame of [this.now, ...this.queue]) {
      if (frame) frame.runs.forEach((run) => { run.picture = null; });
    }
    this.lossDue = true;
    if (this.now) this.paint();
  }

  layout() {
    this.panels.forEach((panel) => {
      panel.width = panel.canvas.clientWidth;
      if (panel.width) panel.ctx = fit(panel.canvas, panel.width, panel.width);
    });
    const drags = this.data.view === "geometry" && this.data.drags.some(Boolean) && this.send;
    this.find(".moving").hidden = !drags;
    if (drags) this.select();
    this.restyle();
  }

  /** A run's picture in a frame; with an edit, who would answer then. */
  picture(frame, r) {
    const run = frame.runs[r];
    const edited = this.edit?.run === r;
    if (run.picture && !edited) return run.picture;
    const who = edited ? this.edited(run).who : run.who;
    const other = frame.runs[1 - r].who;
    const apart = this.layers.apart ? who.map((e, i) => Number(e !== other[i])) : null;
    const canvas = paintPlane(run, this.about, { ...this.look, ...this.layers, apart }, who);
    const made = { canvas, centres: centres(who, this.about), colours: coloursOf(run, this.about) };
    if (!edited) run.picture = made;
    return made;
  }

  /** A run with the vector that is being dragged, and who answers then. */
  edited(run) {
    const { expert, slope, offset } = this.edit;
    const moved = { ...run, slope: run.slope.slice(), offset: run.offset.slice() };
    moved.slope.set(slope, 2 * expert);
    moved.offset[expert] = offset;
    return { ...moved, who: choose(moved, this.about) };
  }

  redraw() {
    if (this.now) this.paint();
  }

  /** Draw one picture, between the present frame and the next. */
  paint() {
    if (!this.panels[0].ctx) return;
    const next = this.playing && !this.edit && !this.calm.matches ? this.queue[0] : null;
    const t = next ? clamp((this.at - this.now.step) / (next.step - this.now.step || 1), 0, 1) : 0;
    this.panels.forEach((panel, r) => this.paintRun(panel, r, next, t));
    if (this.lossDue) drawLoss(this.find(".loss"), this.history, this.look);
    this.lossDue = false;
    this.root.dataset.frames = String(++this.frames);
  }

  paintRun(panel, r, next, t) {
    const { ctx, width } = panel;
    const here = this.picture(this.now, r), there = next ? this.picture(next, r) : null;
    ctx.imageSmoothingEnabled = true;
    ctx.drawImage(here.canvas, 0, 0, width, width);
    if (there) {
      ctx.globalAlpha = t;
      ctx.drawImage(there.canvas, 0, 0, width, width);
      ctx.globalAlpha = 1;
    }
    if (this.layers.points) this.paintPoints(ctx, width);
    const run = (t > 0.5 ? next : this.now).runs[r];
    const geometry = this.data.view === "geometry" && this.edit?.run !== r;
    if (geometry && run.lines) this.paintLines(ctx, width, run.lines);
    ctx.font = this.look.bold;
    const dots = this.data.view === "geometry" && run.maps;
    here.centres.forEach((centre, e) => {
      if (!centre) return;
      const to = there?.centres[e] ?? centre;
      const [x, y] = [0, 1].map((i) => mix(centre[i], to[i], t) * width);
      if (dots) return this.write(ctx, this.about.names[e], x, y);
      drawLetter(ctx, this.about.names[e], x, y, here.colours[e], this.look, 12);
    });
    if (dots) this.paintDots(panel, r, run, here.colours);
    panel.handle.hidden = !(dots && this.data.drags[r] && this.side === r && this.send);
  }

  paintPoints(ctx, width) {
    for (const [x, y, kind] of this.about.points) {
      ctx.beginPath();
      ctx.arc(...this.place(x, y, width), this.about.classes ? 3 : 2, 0, 2 * Math.PI);
      ctx.fillStyle = kind ? this.look.ink : this.look.paperText;
      ctx.fill();
      Object.assign(ctx, { strokeStyle: kind ? this.look.paperText : this.look.ink, lineWidth: 1 });
      ctx.stroke();
    }
  }

  paintLines(ctx, width, lines) {
    ctx.setLineDash(lines.exact ? [] : [5, 4]);
    Object.assign(ctx, { strokeStyle: this.look.ink, lineWidth: 1.5, lineJoin: "round" });
    for (const cell of lines.cells) {
      const path = new Path2D();
      cell.forEach(([x, y]) => path.lineTo(...this.place(x, y, width)));
      path.closePath();
      ctx.stroke(path);
    }
    ctx.setLineDash([]);
  }

  write(ctx, text, x, y) {
    Object.assign(ctx, { textAlign: "center", textBaseline: "middle", lineWidth: 4 });
    Object.assign(ctx, { strokeStyle: this.look.paperText, fillStyle: this.look.ink });
    ctx.strokeText(text, x, y);
    ctx.fillText(text, x, y);
  }

  /** Each expert's dot stands at its logit's slope: the site of its cell in the power diagram. */
  paintDots(panel, r, run, colours) {
    const { ctx, width } = panel;
    const { n_experts: E, box } = this.about;
    const half = (box[2] - box[0]) / 2;
    const longest = Math.max(1e-6, ...Array.from({ length: E }, (_, e) => Math.hypot(run.slope[2 * e], run.slope[2 * e + 1])));
    const wanted = (0.8 * half) / longest;
    if (!this.edit) panel.scale = panel.scale ? mix(panel.scale, wanted, 0.1) : wanted;
    const [cx, cy] = this.place(0, 0, width);
    const small = E > 8;
    panel.dots = Array.from({ length: E }, (_, e) => {
      const slope = this.edit?.run === r && this.edit.expert === e
        ? this.edit.slope : [run.slope[2 * e], run.slope[2 * e + 1]];
      const [x, y] = slope.map((s) => clamp(s * panel.scale, -half, half));
      return this.place(x, y, width);
    });
    ctx.font = this.look.bold;
    panel.dots.forEach(([x, y], e) => {
      if (!small) {
        Object.assign(ctx, { strokeStyle: this.look.ink, lineWidth: 1, globalAlpha: 0.5 });
        ctx.stroke(new Path2D(`M${cx} ${cy}L${x} ${y}`));
        ctx.globalAlpha = 1;
      }
      drawLetter(ctx, this.about.names[e], x, y, colours[e], this.look, small ? 9 : 12);
    });
    if (this.side === r) {
      const [x, y] = panel.dots[this.expert];
      panel.handle.style.left = `${x}px`;
      panel.handle.style.top = `${y}px`;
    }
  }

  place(x, y, width) {
    const [left, bottom, right, top] = this.about.box;
    return [((x - left) / (right - left)) * width, ((top - y) / (top - bottom)) * width];
  }

  destroy() {
    cancelAnimationFrame(this.request);
    this.resizes.disconnect();
    this.gone.abort();
  }
}

