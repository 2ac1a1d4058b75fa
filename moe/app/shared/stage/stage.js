// The stage: letters of a text, a router and experts, drawn on a canvas from a run's records.
// `Track` (track.js, which stands before this) holds the records, and `Stage` draws any position in
// them. A component's own script follows and drives both.

const FLY = 0.34, SPREAD = 0.65, FALL = 0.9; // seconds: to the router, to the expert, out of sight
const STAY = 3.2; // seconds that a letter can be seen in its expert's box
const GRID_FROM = 17; // experts: so many no longer fit one below the other
/** Draws a run on a canvas; call `fit` when its size or theme changes, and `draw` for each frame. */
class Stage {
  frames = 0;
  track = null;
  ghost = null; // another run's track, drawn faintly
  off = new Set();
  perToken = 2; // experts that each token uses
  marks = []; // steps at which something was changed
  tokens = [];
  residents = [];
  sample = null;

  /** `row` is the height of one of up to eight experts where there is room. */
  constructor(canvas, { charts = true, row = 45 } = {}) {
    Object.assign(this, { canvas, charts, row, ctx: canvas.getContext("2d") });
    this.calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  }

  /** Take the experts' names and colours, and begin with an empty stage. */
  setup(experts) {
    this.experts = experts;
    this.E = experts.names.length;
    this.shown = new Float32Array(this.E);
    this.clear();
  }

  /** Forget what is on its way. */
  clear() {
    this.tokens = [];
    this.residents = Array.from({ length: this.E }, () => []);
    this.sample = null;
    this.fresh = true;
  }

  /** Read the theme's colours and the size of the page. */
  fit() {
    const style = getComputedStyle(this.canvas);
    const [ink, muted, grid, paper] = ["--ink", "--muted", "--grid", "--paper"]
      .map((name) => style.getPropertyValue(name).trim() || "#888");
    this.ink = { ink, muted, grid, paper, family: style.fontFamily };
    this.width = this.canvas.clientWidth;
    if (!this.width || !this.experts) return;
    this.place();
    this.canvas.style.height = `${this.height}px`;
    const dpr = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(this.width * dpr);
    this.canvas.height = Math.round(this.height * dpr);
    this.ctx.setTransform(dpr, 0, 0, dpr, 0, 0);
  }

  /** Where everything stands at this width. */
  place() {
    const wide = this.width >= 560, grid = this.E >= GRID_FROM;
    this.grid = grid;
    this.text = wide
      ? { x: 4, y: 0, cell: 21, line: 25, columns: 6 }
      : { x: 4, y: 12, cell: (this.width - 8) / 24, line: 20, columns: 24 };
    const left = wide ? 310 : grid ? 8 : 66;
    const top = wide ? 26 : grid ? 96 : 100;
    const right = wide ? 58 : 46;
    if (grid) {
      const columns = 8, rows = Math.ceil(this.E / columns);
      const cell = Math.min((this.width - left - 8) / columns, wide ? 58 : 46);
      this.area = { x: left, y: top, w: cell * columns, h: cell * rows, cell, columns };
    } else {
      const row = this.E > 8 ? (wide ? 23 : 22) : wide ? this.row : 34;
      this.area = { x: left, y: top, w: this.width - left - right, h: row * this.E, row };
    }
    const middle = this.area.y + this.area.h / 2;
    this.router = wide ? { x: 188, y: middle, r: 22 } : { x: 24, y: 62, r: 18 };
    if (wide) this.text.y = middle - 2 * this.text.line + this.text.line / 2;
    this.wide = wide;
    const below = this.area.y + this.area.h + 18;
    this.plots = !this.charts ? [] : [0, 1].map((i) => {
      const w = (this.width - 24) / 2;
      return { x: i * (w + 24), y: below + 24, w, h: 56 };
    });
    this.height = this.charts ? below + 24 + 56 + 6 : below - 8;
  }

  get fair() { return 1 / Math.max(this.E - this.off.size, 1); }

  /** Where a letter of the text stands. */
  cellOf(i) {
    const { x, y, cell, line, columns } = this.text;
    return { x: x + (i % columns + 0.5) * cell, y: y + Math.floor(i / columns) * line };
  }

  /** The box of an expert: where letters enter it, its middle, and the room that it could fill. */
  boxOf(e) {
    const { x, y, w, cell, columns, row } = this.area;
    if (this.grid) {
      const cx = x + (e % columns + 0.5) * cell, cy = y + (Math.floor(e / columns) + 0.5) * cell;
      const side = between(0.44 * cell * Math.sqrt(this.shown[e] / this.fair), 3, 2.2 * cell);
      return { x: cx - side / 2, y: cy - side / 2, w: side, h: side, door: { x: cx, y: cy },
        room: { x: cx - cell / 2, y: cy - cell / 2, w: cell, h: cell } };
    }
    const h = row * 0.74, badge = Math.min(h, 30);
    const cy = y + (e + 0.5) * row, start = x + badge + 4;
    const wide = Math.max((this.shown[e] / this.top) * (w - badge - 4), 0);
    return { x: start, y: cy - h / 2, w: wide, h, badge, door: { x, y: cy },
      room: { x: x - 4, y: cy - row / 2, w: w + 4, h: row } };
  }

  /** Share of the work that fills a row: all that one expert could have. */
  get top() { return Math.max(1 / this.perToken, 1.25 * this.fair); }

  colourOf(e) {
    const { colours, loads } = this.experts;
    if (colours.length) return colours[e];
    const ratio = this.shown[e] / this.fair;
    if (ratio < 1) return mixed(loads[0], loads[1], ratio);
    const t = Math.log2(Math.min(ratio, 4));
    return t < 1 ? mixed(loads[1], loads[2], t) : mixed(loads[2], loads[3], t - 1);
  }

  /** Draw the run at a position; letters fly while it is `playing`. */
  draw(now, position, playing) {
    const seconds = between(now - (this.before ?? now), 0, 100) / 1000;
    this.before = now;
    if (!this.width || !this.experts || !this.track) return;
    const share = this.track.shareAt(position) ?? this.shown;
    const pull = this.fresh || this.calm ? 1 : 1 - Math.exp(-seconds / 0.09);
    share.forEach((value, e) => { this.shown[e] += (value - this.shown[e]) * pull; });
    if (this.track.n) this.fresh = false;
    if (!this.calm) this.fly(seconds, position, playing);
    else this.sample = this.track.sampleAt(position);
    this.ctx.clearRect(0, 0, this.width, this.height);
    this.paintRibbons();
    this.paintFair();
    const order = Array.from({ length: this.E }, (_, e) => e);
    if (this.grid) order.sort((a, b) => this.shown[a] - this.shown[b]);
    for (const e of order) this.grid ? this.paintSquare(e) : this.paintBar(e, position);
    this.paintText();
    this.paintRouter();
    this.paintTokens();
    this.paintPlots(position);
    this.canvas.dataset.frames = String(++this.frames);
  }

  /** Whether letters are still on their way. */
  get moving() { return this.tokens.length > 0 || (this.sample && this.next < 24); }

  /** Show at once where the letters of the newest step go, once something was changed. */
  hurry() {
    this.sample = null;
    this.tokens = this.tokens.filter((token) => token.t > FLY);
  }

  /** Let letters leave, fly and arrive. */
  fly(seconds, position, playing) {
    const newest = this.track.sampleAt(position);
    const done = !this.sample || this.next >= this.sample.inputs.length;
    if (playing && newest && done && newest !== this.sample) {
      this.sample = newest;
      this.next = 0;
      this.wait = 0;
    }
    this.wait = (this.wait ?? 0) - seconds;
    while (this.sample && this.next < this.sample.inputs.length && this.wait <= 0) {
      const i = this.next++;
      const letter = letterOf(this.sample.inputs[i]);
      this.tokens.push({ letter, from: this.cellOf(i), to: this.sample.to[i], t: 0 });
      this.wait += 0.05;
    }
    for (const token of this.tokens) {
      const before = token.t;
      token.t += seconds;
      if (before < FLY + SPREAD && token.t >= FLY + SPREAD)
        for (const { e, kept } of token.to) if (kept) this.arrive(e, token.letter);
    }
    this.tokens = this.tokens.filter(({ t, to }) =>
      t < FLY + SPREAD + (to.every(({ kept }) => kept) ? 0 : FALL));
    for (const list of this.residents) for (const one of list) one.age += seconds;
    this.residents = this.residents.map((list) => list.filter(({ age }) => age < STAY));
  }

  arrive(e, letter) {
    const list = this.residents[e];
    if (!list || this.off.has(e)) return;
    list.unshift({ letter, age: 0 });
    list.length = Math.min(list.length, 24);
  }

  font(size, weight = 400, family = this.ink.family) {
    this.ctx.font = `${weight} ${size}px ${family}`;
  }

  write(text, x, y, colour, align = "left") {
    Object.assign(this.ctx, { fillStyle: colour, textAlign: align, textBaseline: "middle" });
    this.ctx.fillText(text, x, y);
  }

  /** The curve from the router to an expert. */
  pathTo(e) {
    const { door } = this.boxOf(e), { x, y, r } = this.router;
    const fan = (e / Math.max(this.E - 1, 1) - 0.5) * 1.4 * r; // where it leaves the router
    return this.wide && !this.grid
      ? [x + r * 0.8, y + fan, x + r + 55, y + fan, door.x - 60, door.y, door.x - 3, door.y]
      : this.grid
        ? [x + r, y, x + r + 60, y, door.x, door.y - 60, door.x, door.y]
        : [x, y + r, x, y + r + 30, x, door.y, door.x - 3, door.y];
  }

  static along([x0, y0, x1, y1, x2, y2, x3, y3], t) {
    const s = 1 - t, a = s * s * s, b = 3 * s * s * t, c = 3 * s * t * t, d = t * t * t;
    return { x: a * x0 + b * x1 + c * x2 + d * x3, y: a * y0 + b * y1 + c * y2 + d * y3 };
  }

  paintRibbons() {
    const { ctx } = this;
    for (let e = 0; e < this.E; e++) {
      if (this.off.has(e) || this.shown[e] < 0.0005) continue;
      const [x0, y0, ...rest] = this.pathTo(e);
      ctx.beginPath();
      ctx.moveTo(x0, y0);
      ctx.bezierCurveTo(...rest);
      ctx.globalAlpha = 0.38;
      const width = between(this.shown[e] * (this.wide ? 60 : 30), 0.75, 30);
      Object.assign(ctx, { strokeStyle: this.colourOf(e), lineWidth: width, lineCap: "round" });
      ctx.stroke();
      ctx.globalAlpha = 1;
    }
  }

  /** The fair share: a line through all rows, or a square in each cell. */
  paintFair() {
    const { ctx, area } = this, say = `fair share ${Math.round(1000 * this.fair) / 10}%`;
    Object.assign(ctx, { strokeStyle: this.ink.ink, lineWidth: 1.25 });
    this.font(12);
    if (this.grid) {
      const side = 0.44 * area.cell;
      ctx.setLineDash([3, 3]);
      ctx.strokeRect(area.x + 0.5, area.y - 20, 11, 11);
      ctx.setLineDash([]);
      return this.write(`${say}: so large`, area.x + 18, area.y - 14, this.ink.ink);
    }
    const { x, w } = this.boxOf(0), full = area.x + area.w - x;
    const at = Math.round(x + (this.fair / this.top) * full) + 0.5;
    ctx.setLineDash([5, 4]);
    ctx.beginPath();
    ctx.moveTo(at, area.y - 4);
    ctx.lineTo(at, area.y + area.h);
    ctx.stroke();
    ctx.setLineDash([]);
    const half = ctx.measureText(say).width / 2;
    this.write(say, between(at, half, this.width - half), area.y - 13, this.ink.ink, "center");
    if (this.ghost?.experts !== this.E) return;
    const end = area.x + area.w;
    this.write("┃ last run", Math.max(end, at + half + 80), area.y - 13, this.ink.muted, "right");
  }

  paintBar(e, position) {
    const { ctx } = this, box = this.boxOf(e), off = this.off.has(e), colour = this.colourOf(e);
    const { x } = this.area, middle = box.y + box.h / 2;
    ctx.globalAlpha = off ? 0.35 : 1;
    ctx.fillStyle = colour;
    this.round(x, box.y, box.badge, box.h, 5);
    ctx.fill();
    ctx.globalAlpha = 1;
    this.font(Math.min(15, box.h - 3), 700);
    const ink = off ? this.ink.ink : this.experts.inks[e] ?? "#fff";
    this.write(this.experts.names[e], x + box.badge / 2, middle + 0.5, ink, "center");
    if (off) {
      this.font(13, 600);
      return this.write("off", box.x + 4, middle, this.ink.muted);
    }
    if (box.w > 0.5) {
      ctx.save();
      this.round(box.x, box.y, box.w, box.h, Math.min(5, box.w / 2));
      ctx.globalAlpha = 0.9;
      ctx.fillStyle = colour;
      ctx.fill();
      ctx.clip();
      this.paintResidents(e, box);
      ctx.restore();
    }
    const ghost = this.ghost?.experts === this.E && this.ghost.shareAt(position)?.[e];
    if (ghost) {
      const at = box.x + (ghost / this.top) * (this.area.x + this.area.w - box.x);
      Object.assign(ctx, { strokeStyle: this.ink.muted, lineWidth: 2.5 });
      ctx.strokeRect(at, box.y - 1, 0.01, box.h + 2);
    }
    const part = 100 * this.shown[e];
    const words = part < 0.05 ? "idle" : `${part < 9.5 ? part.toFixed(1) : Math.round(part)}%`;
    this.font(13, 600);
    const line = box.x + (this.fair / this.top) * (this.area.x + this.area.w - box.x);
    const start = box.x + box.w + 6, over = start + ctx.measureText(words).width > line - 4;
    this.write(words, start < line + 6 && over ? line + 6 : start, middle, this.ink.ink);
  }

  /** The letters that came last, inside of a box. */
  paintResidents(e, box) {
    const ink = this.experts.inks[e] ?? "#fff", step = this.wide ? 14 : 12;
    if (box.h < 14) return;
    this.font(Math.min(14, box.h - 4), 600, "ui-monospace, Menlo, Consolas, monospace");
    this.residents[e].forEach(({ letter, age }, i) => {
      const x = box.x + 10 + i * step * Math.min(1, 0.4 + age * 4);
      if (x > box.x + box.w) return;
      this.ctx.globalAlpha = between((STAY - age) / 0.6, 0, 1);
      this.write(letter, x, box.y + box.h / 2, ink, "center");
    });
    this.ctx.globalAlpha = 1;
  }

  paintSquare(e) {
    const { ctx } = this, box = this.boxOf(e), off = this.off.has(e), { cell } = this.area;
    const { x, y } = box.door, fair = 0.44 * cell;
    ctx.setLineDash([3, 3]);
    Object.assign(ctx, { strokeStyle: this.ink.muted, lineWidth: 1 });
    ctx.strokeRect(x - fair / 2, y - fair / 2, fair, fair);
    ctx.setLineDash([]);
    if (off) {
      this.font(11, 600);
      return this.write("off", x, y, this.ink.muted, "center");
    }
    const lit = this.residents[e].some(({ age }) => age < 0.25);
    this.round(box.x, box.y, box.w, box.h, Math.min(5, box.w / 3));
    Object.assign(ctx, { fillStyle: this.colourOf(e), globalAlpha: 0.92 });
    ctx.fill();
    ctx.globalAlpha = 1;
    if (lit) {
      Object.assign(ctx, { strokeStyle: this.ink.ink, lineWidth: 1.5 });
      ctx.stroke();
    }
    this.font(10.5, 600);
    const inside = box.w >= 24;
    const name = this.experts.names[e];
    if (inside) this.write(name, x, y, "#fff", "center");
    else this.write(name, x, y + cell * 0.37, this.ink.muted, "center");
  }

  /** The text that is being read; what has left is faint. */
  paintText() {
    const { wide, text } = this;
    this.font(12);
    if (wide) this.write("text of this step", text.x, text.y - 26, this.ink.muted);
    this.font(wide ? 16 : 13, 600, "ui-monospace, Menlo, Consolas, monospace");
    if (!this.sample) return;
    this.sample.inputs.forEach((byte, i) => {
      const { x, y } = this.cellOf(i), gone = !this.calm && i < this.next;
      this.ctx.globalAlpha = gone ? 0.35 : 1;
      this.write(letterOf(byte), x, y, this.ink.ink, "center");
    });
    this.ctx.globalAlpha = 1;
  }

  paintRouter() {
    const { ctx, router } = this;
    ctx.beginPath();
    ctx.arc(router.x, router.y, router.r, 0, 2 * Math.PI);
    Object.assign(ctx, { fillStyle: this.ink.paper, strokeStyle: this.ink.ink, lineWidth: 2 });
    ctx.fill();
    ctx.stroke();
    this.font(this.wide ? 12 : 11, 600);
    const { x, y, r } = router;
    if (this.wide) this.write("router", x, y + r + 12, this.ink.ink, "center");
    else this.write("router", x + r + 6, y - 8, this.ink.ink);
  }

  /** Letters on their way: to the router, along the ribbons, and down if their expert is full. */
  paintTokens() {
    const { ctx, router } = this;
    this.font(this.wide ? 15 : 13, 700, "ui-monospace, Menlo, Consolas, monospace");
    for (const { letter, from, to, t } of this.tokens) {
      if (t < FLY) {
        const s = eased(t / FLY);
        const x = from.x + (router.x - from.x) * s, y = from.y + (router.y - from.y) * s;
        this.write(letter, x, y, this.ink.ink, "center");
        continue;
      }
      const s = between((t - FLY) / SPREAD, 0, 1), fall = (t - FLY - SPREAD) / FALL;
      for (const [i, { e, kept, weight }] of to.entries()) {
        if (this.off.has(e) || (kept && fall >= 0)) continue;
        const { x, y } = Stage.along(this.pathTo(e), kept ? eased(s) : Math.min(eased(s), 0.93));
        ctx.globalAlpha = fall > 0 ? between(1 - fall, 0, 1) : 0.4 + 0.6 * weight;
        const down = fall > 0 ? 90 * fall * fall : 0;
        this.write(letter, x - (down && 14 * fall), y + down, this.ink.ink, "center");
        if (fall > 0) this.write("×", x - 14 * fall, y + down - 12, "#C2410C", "center");
        ctx.globalAlpha = 1;
      }
    }
  }

  paintPlots(position) {
    if (!this.charts || !this.track.n) return;
    const at = between(Math.floor(position), 0, this.track.n - 1);
    const busiest = (track, i) => track.vio[i] + 1;
    const loss = (track, i) => track.mean[i];
    const short = this.width < 560;
    this.plot(this.plots[0], at, loss, [1.5, 5.6],
      `${short ? "Loss" : "Loss: how badly it guesses"} ${loss(this.track, at).toFixed(2)}`);
    this.plot(this.plots[1], at, busiest, [1, Math.max(this.E / this.perToken, 2)],
      `Busiest: ${busiest(this.track, at).toFixed(1)}×${short ? "" : " its fair share"}`);
  }

  /** One small line over the steps; the other run is dashed. */
  plot({ x, y, w, h }, at, value, [low, high], title) {
    const { ctx } = this, last = Math.max(150, this.track.n * 1.04);
    const px = (i) => x + (i / last) * w;
    const inset = 3; // so that a line at its most or least stays clear of the box
    const py = (v) => y + inset
      + (h - 2 * inset) * (1 - between((v - low) / (high - low), 0, 1));
    this.font(12, 600);
    this.write(title, x, y - 12, this.ink.ink);
    Object.assign(ctx, { strokeStyle: this.ink.grid, lineWidth: 1 });
    ctx.strokeRect(x + 0.5, y + 0.5, w - 1, h - 1);
    const curve = (track, to, style, width, dash) => {
      const stride = Math.max(1, Math.ceil(to / 400));
      ctx.beginPath();
      for (let i = 0; i <= to; i += stride) ctx.lineTo(px(i), py(value(track, i)));
      ctx.lineTo(px(to), py(value(track, to)));
      Object.assign(ctx, { strokeStyle: style, lineWidth: width, lineJoin: "round" });
      ctx.setLineDash(dash);
      ctx.stroke();
      ctx.setLineDash([]);
    };
    ctx.save();
    ctx.beginPath();
    ctx.rect(x, y, w, h);
    ctx.clip();
    for (const step of this.marks) {
      if (step > at) continue;
      ctx.fillStyle = this.ink.muted;
      ctx.fillRect(px(step), y, 1, h);
    }
    if (this.ghost?.n) curve(this.ghost, this.ghost.n - 1, this.ink.muted, 1.5, [4, 4]);
    curve(this.track, at, this.ink.ink, 2, []);
    ctx.restore();
  }

  round(x, y, w, h, r) {
    this.ctx.beginPath();
    this.ctx.roundRect(x, y, Math.max(w, 0.5), h, r);
  }
}
