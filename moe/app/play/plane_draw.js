// Draws who answers where; what is drawn is described in moe/app/play/plane_pair.py.

const NOBODY = 255;
// Work of an expert, from idle over fair to twice its share and more, where letters outnumber hues.
const WORK = [[31, 125, 195], [134, 142, 153], [178, 118, 85], [222, 98, 16]];

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const mix = (a, b, t) => a + (b - a) * t;
const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

/** Bytes of a base64 text that zlib compressed. */
async function inflate(text) {
  const packed = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

/** Cut a chunk's bytes into the arrays of its frames; see `_bytes` in plane_pair.py. */
function unpack(chunk, buffer, about) {
  let at = 0;
  const E = about.n_experts;
  const bytes = (n) => new Uint8Array(buffer, (at += n) - n, n);
  const floats = (n) => new Float32Array(buffer.slice(at, (at += 4 * n)));
  return chunk.frames.map((frame) => ({
    ...frame,
    runs: [0, 1].map((r) => ({
      who: bytes(about.size ** 2),
      answer: bytes(about.coarse ** 2),
      work: floats(E), slope: floats(2 * E), offset: floats(E), bias: floats(E), factor: floats(E),
      maps: frame.maps[r],
      lines: frame.lines[r],
    })),
  }));
}

/** Scores of logits, in place. */
const SCORES = {
  softmax(values) {
    let top = -Infinity, sum = 0;
    for (const value of values) if (value > top) top = value;
    for (let e = 0; e < values.length; e++) sum += values[e] = Math.exp(values[e] - top);
    for (let e = 0; e < values.length; e++) values[e] /= sum;
  },
  sigmoid(values) {
    for (let e = 0; e < values.length; e++) values[e] = 1 / (1 + Math.exp(-values[e]));
  },
  sqrt_softplus(values) {
    for (let e = 0; e < values.length; e++) {
      values[e] = Math.sqrt(Math.max(values[e], 0) + Math.log1p(Math.exp(-Math.abs(values[e]))));
    }
  },
};

/** Who answers each pixel, from the affine maps that Python sent: `Territories.choose`. */
function choose(run, about) {
  const { size, n_experts: E, box: [left, bottom, right, top] } = about;
  const { slope, offset, factor, bias, maps: { score, least } } = run;
  const who = new Uint8Array(size ** 2);
  const values = new Float64Array(E);
  for (let i = 0; i < who.length; i++) {
    // the pixel's centre in single precision, as the model reads it
    const x = Math.fround(left + (((i % size) + 0.5) / size) * (right - left));
    const y = Math.fround(top - ((Math.floor(i / size) + 0.5) / size) * (top - bottom));
    for (let e = 0; e < E; e++) values[e] = x * slope[2 * e] + y * slope[2 * e + 1] + offset[e];
    if (score) {
      SCORES[score](values);
      for (let e = 0; e < E; e++) values[e] = values[e] * factor[e] + bias[e];
    }
    let best = 0;
    for (let e = 1; e < E; e++) if (values[e] > values[best]) best = e;
    who[i] = least !== null && values[best] <= least ? NOBODY : best;
  }
  return who;
}

/** Colours of a run's experts: their own, or how much work each has. */
function coloursOf(run, about) {
  if (about.colours) return about.colours.map(rgb);
  return Array.from(run.work, (share) => {
    const place = clamp(share * about.n_experts, 0, 2.999);
    const i = Math.floor(place);
    return WORK[i].map((v, c) => mix(v, WORK[i + 1][c], place - i));
  });
}

/** The picture of a run's plane: the expert gives the hue, the answer how strong it is. */
function paintPlane(run, about, { paper, answers, apart }, who = run.who) {
  const { size, coarse } = about;
  const image = new ImageData(size, size);
  const colours = coloursOf(run, about);
  const pixels = image.data;
  const scale = coarse / size;
  for (let i = 0; i < who.length; i++) {
    const column = i % size, row = (i - column) / size;
    let strength = 0.85;
    if (answers) {
      const u = clamp((column + 0.5) * scale - 0.5, 0, coarse - 1.001);
      const v = clamp((row + 0.5) * scale - 0.5, 0, coarse - 1.001);
      const a = Math.floor(u) + coarse * Math.floor(v);
      const level = mix(
        mix(run.answer[a], run.answer[a + 1], u % 1),
        mix(run.answer[a + coarse], run.answer[a + coarse + 1], u % 1), v % 1,
      );
      strength = 0.28 + (0.67 * level) / 255;
    }
    const colour = who[i] === NOBODY ? paper : colours[who[i]];
    if (apart && !apart[i]) strength *= 0.15;
    // a border is a thin line, since neighbours may have one colour
    const edge = (column + 1 < size && who[i + 1] !== who[i])
      || (row + 1 < size && who[i + size] !== who[i]);
    if (edge && !about.colours) strength = 0;
    for (let c = 0; c < 3; c++) pixels[4 * i + c] = mix(paper[c], colour[c], strength);
    pixels[4 * i + 3] = 255;
  }
  const canvas = new OffscreenCanvas(size, size);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

/** Where each expert's letter stands: the pixel of its territory nearest to the centre of mass. */
function centres(who, about) {
  const { size, n_experts: E } = about;
  const sums = Array.from({ length: E }, () => ({ n: 0, x: 0, y: 0 }));
  who.forEach((e, i) => {
    if (e === NOBODY) return;
    const sum = sums[e];
    sum.n += 1, sum.x += i % size, sum.y += Math.floor(i / size);
  });
  const nearest = new Array(E).fill(null);
  const best = new Array(E).fill(Infinity);
  who.forEach((e, i) => {
    if (e === NOBODY || sums[e].n < size * size * 0.004) return;
    const x = i % size, y = Math.floor(i / size);
    const far = (x - sums[e].x / sums[e].n) ** 2 + (y - sums[e].y / sums[e].n) ** 2;
    if (far < best[e]) best[e] = far, nearest[e] = [(x + 0.5) / size, (y + 0.5) / size];
  });
  return nearest;
}

/** Fit a canvas to its place on the page and return its context, in CSS pixels. */
function fit(canvas, width, height) {
  const dpr = Math.min(window.devicePixelRatio, 2);
  canvas.width = Math.round(width * dpr);
  canvas.height = Math.round(height * dpr);
  const ctx = canvas.getContext("2d");
  ctx.scale(dpr, dpr);
  return ctx;
}

/** A letter in a ring of its expert's colour. */
function drawLetter(ctx, name, x, y, colour, { ink, paperText }, radius) {
  ctx.beginPath();
  ctx.arc(x, y, radius, 0, 2 * Math.PI);
  Object.assign(ctx, { fillStyle: paperText, strokeStyle: `rgb(${colour})`, lineWidth: 3 });
  ctx.fill();
  ctx.stroke();
  Object.assign(ctx, { fillStyle: ink, textAlign: "center", textBaseline: "middle" });
  ctx.fillText(name, x, y + 1);
}

/** The losses of both runs, the second one dashed; axes fit what was seen so far. */
function drawLoss(canvas, history, look) {
  const width = canvas.clientWidth, height = canvas.clientHeight;
  const ctx = fit(canvas, width, height);
  const seen = history.filter((at) => at.loss[0] !== null);
  Object.assign(ctx, { font: look.font, fillStyle: look.ink, textBaseline: "top" });
  if (seen.length < 2) return; // nothing to name yet
  ctx.fillText("Loss", 0, 0);
  const all = seen.flatMap((at) => at.loss);
  const high = Math.max(...all), last = seen.at(-1), first = seen[0];
  const x = (step) => 40 + ((width - 78) * (step - first.step)) / (last.step - first.step || 1);
  const y = (loss) => 6 + (height - 12) * (1 - loss / (high || 1));
  ctx.fillText(high.toPrecision(2), 0, 16);
  look.lines.forEach((colour, r) => {
    const path = new Path2D();
    seen.forEach((at) => path.lineTo(x(at.step), y(at.loss[r])));
    ctx.setLineDash(r ? [6, 4] : []);
    Object.assign(ctx, { strokeStyle: colour, lineWidth: 2.25, lineJoin: "round" }).stroke(path);
  });
  const ends = [0, 1].map((r) => y(last.loss[r]));
  const upper = ends[0] <= ends[1] ? 0 : 1;
  const low = clamp(Math.max(ends[1 - upper], ends[upper] + 15), 23, height - 8);
  ctx.textBaseline = "middle";
  ctx.fillText("AB"[1 - upper], width - 30, low);
  ctx.fillText("AB"[upper], width - 30, clamp(ends[upper], 8, low - 15)); // letters do not meet
}
