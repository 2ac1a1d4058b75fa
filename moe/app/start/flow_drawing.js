// Draws the six steps of a character; flow.js says which character, and how far it is on its way.
// Nothing is computed here but places, colours and what lies between two numbers.

const STEPS = 6; // of a character
const STREAM = 6; // characters a second
const FLIGHT = 0.9; // seconds that a character takes to the joined answer in the stream
const THICK = 24, BAR = 96; // pixels of an arrow with all the weight, and of the joined answer
const WIDE = 760; // pixels from which the steps stand side by side

const SVG = "http://www.w3.org/2000/svg";
const clamp = (value, low = 0, high = 1) => Math.min(Math.max(value, low), high);
const mix = (from, to, t) => from + (to - from) * t;
const smooth = (t) => t * t * (3 - 2 * t);
const percent = (value) => `${Math.round(100 * value)}%`;
const bytes = (b64) => Uint8Array.from(atob(b64), (c) => c.charCodeAt());

function make(parent, name, attributes = {}) {
  const node = document.createElementNS(SVG, name);
  put(node, attributes);
  return parent.appendChild(node);
}

function put(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

function html(parent, name, className, text = "") {
  const node = document.createElement(name);
  Object.assign(node, { className, textContent: text });
  return parent.appendChild(node);
}

/** Write a character, smaller if it is a byte that needs several letters. */
function write(node, text, size) {
  node.textContent = text;
  node.style.fontSize = `${text.length > 1 ? size / 2.2 : size}px`;
}

/** Where things stand if the steps have room side by side. */
function sideBySide(width, experts) {
  const top = 72, row = 42, middle = top + (row * experts) / 2;
  const column = (from, to) => ({ x: from * width, w: (to - from) * width });
  const guess = column(0.845, 1);
  return {
    row, height: top + row * experts + 4, glyph: { x: 0, y: middle - 40, size: 80 },
    context: { x: 0, y: middle + 62, anchor: "start" },
    rating: column(0.15, 0.295), share: column(0.34, 0.505), box: column(0.565, 0.705),
    y: (e) => top + row * (e + 0.5),
    leaves: { x: 80, y: middle }, join: { x: 0.76 * width, y: middle - BAR / 2, w: 18 },
    guess: { ...guess, y: middle - 75, row: 30 }, heads: [0, 0.15, 0.34, 0.565, 0.745, 0.845]
      .map((x, i, all) => [x * width, 0, ((all[i + 1] ?? 1) - x) * width - 10]),
    /** Both ends of a stream between a box and the joined answer, and where it bends. */
    bend: (x, y, toX, toY) => [(x + toX) / 2, y, (x + toX) / 2, toY],
  };
}

/** Where things stand on a phone: from top to bottom. */
function stacked(width, experts) {
  const top = 208, row = 46, end = top + row * experts;
  const box = { x: 0.64 * width, w: 0.36 * width - 30 };
  const join = { x: width - 70, y: end + 66, w: 18 };
  return {
    row, height: end + 234, glyph: { x: 0, y: 44, size: 56 },
    context: { x: 68, y: 79, anchor: "start" },
    rating: { x: 16, w: 0.29 * width - 16 }, share: { x: 0.33 * width, w: 0.25 * width }, box,
    y: (e) => top + row * (e + 0.5),
    leaves: { x: 8, y: 100 }, join, guess: { x: 0, w: 0.6 * width, y: end + 52, row: 28 },
    heads: [[0, 0, width], [16, 128, 0.3 * width - 16], [0.33 * width, 128, 0.28 * width],
      [0.64 * width, 128, 0.36 * width], [0.57 * width, end + 14, 0.3 * width],
      [0, end + 14, 0.55 * width]],
    bend: (x, y, toX, toY) => [width - 6, y, width - 6, toY],
    below: true,
  };
}

class Drawing {
  frames = 0;
  phase = STEPS; // how far the character is on its way; all of it while nothing moves
  position = 0;
  without = 0; // case: 0 with all experts, 1 + e without expert e

  /** The largest and smallest numbers of the sentence, so that all its bars have one scale. */
  ranges() {
    const { logits, scores, bonus } = this.data;
    const sums = scores.map((score, i) => score + bonus[i % this.E]);
    const range = (...all) => [Math.min(0, ...all.map((one) => one.reduce((a, b) => Math.min(a, b)))),
      Math.max(0, ...all.map((one) => one.reduce((a, b) => Math.max(a, b))))];
    this.ratingRange = range(logits);
    this.shareRange = range(scores, sums);
    this.hasBonus = bonus.some((one) => one !== 0);
  }

  /** Make what has a part for each character or expert. */
  build() {
    const { tokens, names, colours, inks } = this.data;
    this.list.replaceChildren();
    this.cells = tokens.map((token, i) => {
      const cell = html(this.list, "div", "cell");
      Object.assign(cell, { id: `cell-${i}`, role: "option" });
      write(html(cell, "b", ""), token, 17);
      const marks = html(cell, "span", "marks");
      for (let k = 0; k < this.K; k++) html(marks, "i", "");
      return cell;
    });
    this.stage.querySelectorAll("button").forEach((button) => button.remove());
    this.boxes = names.map((name, e) => {
      const box = html(this.stage, "button", "expert");
      box.type = "button";
      box.style.setProperty("--colour", colours[e]);
      box.style.setProperty("--letter", inks[e]);
      html(box, "b", "", name);
      const parts = { weight: html(box, "strong", ""), level: html(box, "i", "level") };
      parts.count = html(box, "span", "");
      box.addEventListener("click", () => this.switchOff(this.without === e + 1 ? 0 : e + 1));
      return Object.assign(box, parts);
    });
    this.svg.replaceChildren();
    const draw = (name, className, of = this.svg) => make(of, name, { class: className });
    this.guessStream = draw("path", "stream neutral");
    this.rows = names.map((name, e) => {
      const row = { fan: draw("path", "fan"), zero: draw("path", "zero"), link: draw("path", "fan") };
      for (const part of ["ratingBar", "shareBar"]) row[part] = draw("rect", part);
      for (const part of ["stream", "arrow"]) row[part] = draw("path", part);
      row.part = draw("rect", "part");
      for (const part of [row.shareBar, row.stream, row.arrow, row.part]) part.style.fill = colours[e];
      row.tick = draw("path", "tick");
      row.letter = draw("text", "letter");
      row.letter.textContent = name;
      for (const part of ["ratingText", "shareText"]) row[part] = draw("text", "number");
      row.partText = draw("text", "part-text");
      return row;
    });
    this.glyph = { box: draw("rect", "glyph"), text: draw("text", "glyph-text") };
    this.context = draw("text", "context");
    this.guesses = Array.from({ length: this.G }, () => ({
      bar: draw("rect", "guess-bar"), text: draw("text", "guess-text"), p: draw("text", "beside"),
    }));
    this.truth = draw("text", "truth");
    this.packets = Array.from({ length: 2 * this.K * Math.ceil(STREAM * FLIGHT + 1) }, () => {
      const group = draw("g", "packet");
      make(group, "circle", { r: 10 });
      return { group, text: make(group, "text", { y: 4.5 }) };
    });
    this.find(".cost").textContent = this.data.cost;
    this.scrub.max = String(this.count - 1);
    this.seats();
  }

  /** Put everything in its place for the present width. */
  layout() {
    this.width = this.stage.clientWidth;
    if (!this.width) return;
    const wide = this.width >= WIDE;
    const at = (this.at = (wide ? sideBySide : stacked)(this.width, this.E));
    this.root.dataset.layout = wide ? "wide" : "narrow";
    this.stage.style.height = `${at.height}px`;
    put(this.svg, { width: this.width, height: at.height, viewBox: `0 0 ${this.width} ${at.height}` });
    this.root.querySelectorAll(".head").forEach((head, i) => {
      const [left, top, width] = at.heads[i];
      Object.assign(head.style, { left: `${left}px`, top: `${top}px`, width: `${width}px` });
    });
    const { glyph, rating, share } = at, half = glyph.size / 2;
    put(this.glyph.box, { x: glyph.x + 1, y: glyph.y, width: glyph.size - 2, height: glyph.size, rx: 8 });
    put(this.glyph.text, { x: glyph.x + half, y: glyph.y + half * 1.36 });
    put(this.context, { x: at.context.x, y: at.context.y });
    this.rows.forEach((row, e) => {
      const y = at.y(e), from = at.leaves;
      const turn = wide ? (from.x + rating.x) / 2 : from.x;
      put(row.fan, { d: `M${from.x} ${from.y}C${turn} ${wide ? from.y : y},${turn} ${y},${rating.x} ${y}` });
      put(row.link, { d: `M${rating.x + rating.w + 4} ${y}H${share.x - 6}` });
      put(row.letter, { x: rating.x + 4, y: y + 4.5 });
      put(row.ratingText, { x: rating.x + rating.w, y: y + 4.5 });
      put(row.shareText, { x: share.x + share.w, y: y + 4.5 });
      const box = this.boxes[e].style, high = at.row - (wide ? 6 : 2);
      Object.assign(box, { left: `${at.box.x}px`, width: `${at.box.w}px`, top: `${y - high / 2}px`, height: `${high}px` });
    });
    this.guesses.forEach(({ bar, text, p }, g) => {
      const y = at.guess.y + at.guess.row * (g + 0.5);
      put(text, { x: at.guess.x + 20, y: y + 6 });
      put(bar, { x: at.guess.x + 30, y: y - 8, height: 16, rx: 2 });
      put(p, { y: y + 4.5 });
    });
    put(this.truth, { x: at.guess.x + 10, y: at.guess.y + at.guess.row * this.G + 22 });
    this.inLine = Math.max(1, Math.floor(this.list.clientWidth / this.cells[0].offsetWidth));
    this.shown = null;
    this.paint();
  }

  get index() { return Math.round(this.position); }

  /** Where the numbers of a character begin in an array of all cases. */
  from(i, size) { return (this.without * this.count + i) * size; }

  /** What each expert has of a character's weights or parts: nothing if it is not chosen. */
  spread(values, i) {
    const all = new Array(this.E).fill(0), at = this.from(i, this.K);
    for (let k = 0; k < this.K; k++) all[this.data.experts[at + k]] = values[at + k];
    return all;
  }

  /** Numbers between two characters, for the stream. */
  between(read) {
    const i = Math.floor(this.position), t = this.position - i, now = read(i);
    if (!t) return now;
    const next = read(i + 1), gliding = smooth(clamp(2 * t - 0.5));
    return now.map((value, e) => mix(value, next[e], gliding));
  }

  /** Draw one picture of the present position. */
  paint() {
    if (!this.width) return;
    if (this.shown !== this.index) this.writeNumbers(this.index);
    const grown = Array.from({ length: STEPS }, (_, step) => smooth(clamp(this.phase - step)));
    const { logits, scores, weights, parts } = this.data;
    const all = (values) => this.between((i) => [...values.subarray(i * this.E, (i + 1) * this.E)]);
    const weight = this.between((i) => this.spread(weights, i));
    const part = this.between((i) => this.spread(parts, i));
    put(this.glyph.box, { opacity: mix(0.25, 1, grown[0]) });
    put(this.glyph.text, { opacity: grown[0] });
    this.paintBars(all(logits), all(scores), weight, grown);
    this.paintAnswer(weight, part, grown);
    this.paintGuesses(grown[5]);
    this.paintPackets();
    this.root.dataset.frames = String(++this.frames);
  }

  paintBars(logit, score, weight, grown) {
    const { rating, share } = this.at;
    const place = ({ x, w }, letters, [low, high], label) => (value) =>
      x + letters + ((w - letters - label) * (value - low)) / (high - low || 1);
    const ratingAt = place(rating, 20, this.ratingRange, 46);
    const shareAt = place(share, 0, this.shareRange, 42);
    this.rows.forEach((row, e) => {
      const y = this.at.y(e), zero = ratingAt(0), none = shareAt(0);
      const to = ratingAt(logit[e] * grown[1]), end = shareAt(score[e] * grown[2]);
      const off = this.without === e + 1;
      put(row.fan, { opacity: mix(0.15, 0.7, grown[1]) });
      put(row.link, { opacity: 0.7 * grown[2] });
      put(row.zero, { d: `M${zero} ${y - 11}v22M${none} ${y - 11}v22` });
      put(row.ratingBar, { x: Math.min(zero, to), y: y - 8, width: Math.abs(to - zero), height: 16 });
      const lit = weight[e] * grown[3] > 0;
      put(row.shareBar, { x: none, y: y - 8, width: end - none, height: 16, opacity: lit ? 1 : 0.45 });
      put(row.ratingText, { opacity: grown[1] });
      put(row.shareText, { opacity: grown[2] });
      const sum = shareAt(score[e] + this.data.bonus[e]);
      put(row.tick, { d: this.hasBonus && !off ? `M${sum} ${y - 12}v24` : "", opacity: grown[2] });
    });
  }

  /** Arrows to the chosen experts, and their answers, as thick as what they count for. */
  paintAnswer(weight, part, grown) {
    const { box, share, join, below } = this.at;
    let top = join.y;
    this.rows.forEach((row, e) => {
      const y = this.at.y(e), thick = THICK * weight[e], half = thick / 2, tall = BAR * part[e];
      const x = share.x + share.w + 4, tip = mix(x, box.x - 2, grown[3]);
      const head = Math.min(7 + half * 0.5, tip - x), neck = tip - head;
      const drawn = weight[e] > 0 && grown[3] > 0;
      put(row.arrow, { d: drawn ? `M${x} ${y - half}H${neck}v${-3}L${tip} ${y}L${neck} ${y + half + 3}v-3H${x}z` : "" });
      const flows = part[e] > 0 && grown[4] > 0;
      const d = flows ? this.band(box.x + box.w, y, thick, join.x, top, tall) : "";
      put(row.stream, { d, opacity: 0.55 * grown[4] });
      put(row.part, { x: join.x, y: top, width: join.w, height: tall, opacity: grown[4] });
      put(row.partText, { x: below ? join.x - 5 : join.x + join.w + 5, y: top + tall / 2 + 4.5, opacity: part[e] > 0.13 && row.partText.textContent ? grown[4] : 0 });
      this.boxes[e].classList.toggle("lit", weight[e] > 0 && grown[3] > 0.7);
      top += tall;
    });
  }

  /** A band from the right side of a box to a part of the joined answer. */
  band(x, y, thick, toX, top, tall) {
    const edge = (from, to) => [from, to, this.at.bend(x, from, toX, to)];
    const [y0, y1, [a, b, c, d]] = edge(y - thick / 2, top);
    const [y2, y3, [e, f, g, h]] = edge(y + thick / 2, top + tall);
    return this.at.below
      ? `M${x} ${y0}C${a} ${b},${c + thick} ${d},${toX + this.at.join.w} ${y1}v${tall}C${g - thick} ${h},${e - thick} ${f},${x} ${y2}z`
      : `M${x} ${y0}C${a} ${b},${c} ${d},${toX} ${y1}V${y3}C${g} ${h},${e} ${f},${x} ${y2}z`;
  }

  paintGuesses(grown) {
    const { guess, join } = this.at, at = this.from(this.index, this.G);
    this.guesses.forEach(({ bar, p, text }, g) => {
      const width = (guess.w - 74) * this.data.chances[at + g] * grown;
      put(bar, { width, opacity: grown });
      put(p, { x: guess.x + 30 + width + 6, opacity: grown });
      put(text, { opacity: grown });
    });
    put(this.truth, { opacity: grown });
    const y = guess.y + 4, tall = guess.row * this.G - 8, x = join.x + join.w;
    const [from, to] = this.at.below ? [join.x, guess.x + guess.w] : [x + 42, guess.x + 2];
    const middle = (from + to) / 2;
    const d = `M${from} ${join.y + BAR * 0.3}C${middle} ${join.y + BAR * 0.3},${middle} ${y},${to} ${y}v${tall}C${middle} ${y + tall},${middle} ${join.y + BAR * 0.7},${from} ${join.y + BAR * 0.7}z`;
    put(this.guessStream, { d, opacity: grown });
  }

  /** Where a character is on its way to an expert and on: 1 ratings, 2 shares, 3 expert, 4 answer. */
  onTheWay(e, u) {
    const { leaves, rating, share, box, join } = this.at, y = this.at.y(e);
    const stops = [[leaves.x, leaves.y], [rating.x, y], [share.x, y], [box.x + box.w / 2, y],
      [join.x + join.w / 2, join.y + BAR / 2]];
    const leg = Math.min(Math.floor(u), 3), t = smooth(clamp(u - leg));
    if (leg === 3) { // as its stream bends
      const [from, to] = stops.slice(3), [a, b, c, d] = this.at.bend(...from, ...to), s = 1 - t;
      const bent = (p0, p1, p2, p3) => s ** 3 * p0 + 3 * s * s * t * p1 + 3 * s * t * t * p2 + t ** 3 * p3;
      return [bent(from[0], a, c, to[0]), bent(from[1], b, d, to[1])];
    }
    return stops[leg].map((from, axis) => mix(from, stops[leg + 1][axis], t));
  }

  paintPackets() {
    const flying = [];
    const add = (i, u, alone) => {
      const at = this.from(i, this.K);
      for (let k = 0; k < this.K; k++) if (u >= (alone ? 1.5 : 0) && u < 4) flying.push([i, this.data.experts[at + k], u]);
    };
    if (!this.calm.matches && this.phase < STEPS) add(this.index, this.phase - 1, true);
    else if (this.streaming) {
      for (let i = Math.floor(this.position); i >= 0 && this.position - i < STREAM * FLIGHT; i--) {
        add(i, (4 * (this.position - i)) / (STREAM * FLIGHT), false);
      }
    }
    this.packets.forEach(({ group, text }, p) => {
      const [i, e, u] = flying[p] ?? [];
      group.style.display = i === undefined ? "none" : "";
      if (i === undefined) return;
      put(group, { transform: `translate(${this.onTheWay(e, u).join(" ")})` });
      group.style.setProperty("--colour", this.data.colours[e]);
      group.style.setProperty("--letter", this.data.inks[e]);
      write(text, this.data.tokens[i], 13);
    });
  }
}
