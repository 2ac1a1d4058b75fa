// Tokens on their way between racks of GPUs. Python says which hops there are; here they only move.

const NVLINK_SECONDS = 0.3; // of a hop inside a rack; one between racks takes `slower` times that
const BETWEEN_TOKENS = 0.16;
const REST = 1.2; // seconds at the end, before the tokens set out again

class Packets {
  gone = new AbortController();
  frames = 0;
  clock = 0;

  constructor(root) {
    this.root = root;
    this.canvas = root.querySelector("canvas");
    this.find = (selector) => root.querySelector(selector);
    const signal = this.gone.signal;
    this.find(".play").addEventListener("click", () => this.play(!this.playing), { signal });
    document.addEventListener("input", (event) => this.follow(event), { signal });
    this.resizes = new ResizeObserver(() => this.paint());
    this.resizes.observe(root);
    this.seen = new IntersectionObserver(([entry]) => {
      this.inSight = entry.isIntersecting;
      this.next();
    });
    this.seen.observe(this.canvas);
  }

  load(data) {
    this.data = data;
    this.find(".network").style.background = data.network;
    this.find(".nvlink").style.background = data.nvlink;
    this.limit(String(data.rest));
    if (this.playing === undefined) {
      this.play(!matchMedia("(prefers-reduced-motion: reduce)").matches);
    }
  }

  /** Follow the slider of the limit while it is dragged. */
  follow({ target }) {
    if (!target.matches?.(".moe-finger")) return;
    const [key, value] = target.value.split("=");
    const reach = key === "limit" ? Math.min(Number(value), this.data.nodes) : this.data.rest;
    this.limit(String(reach));
  }

  limit(name) {
    const shown = this.data.limits[name];
    if (!shown) return;
    this.shown = shown;
    this.flights = this.schedule(shown.hops);
    this.end = Math.max(...this.flights.map((f) => f.end)) + REST;
    this.find("meter").value = shown.wishes;
    this.find(".share").textContent = shown.share;
    this.find(".ms").textContent = shown.ms;
    this.canvas.ariaLabel = shown.alt;
    this.root.dataset.limit = name;
    this.paint();
  }

  /** When each hop begins and ends: a row is passed on once it is there. */
  schedule(tokens) {
    const network = NVLINK_SECONDS * Math.sqrt(this.data.slower) * 2;
    return tokens.flatMap((hops, n) => {
      const done = [];
      return hops.map(([sender, receiver, isNetwork, after]) => {
        const begin = after < 0 ? n * BETWEEN_TOKENS : done[after];
        const end = begin + (isNetwork ? network : NVLINK_SECONDS);
        done.push(end);
        return { sender, receiver, isNetwork, begin, end };
      });
    });
  }

  play(playing) {
    this.playing = playing;
    this.find(".play").textContent = playing ? "Pause" : "Play";
    this.root.dataset.state = playing ? "playing" : "paused";
    this.before = performance.now();
    this.next();
    this.paint();
  }

  next() {
    cancelAnimationFrame(this.request);
    if (this.playing && this.inSight) this.request = requestAnimationFrame(this.tick);
    else this.before = undefined;
  }

  tick = (now) => {
    this.clock += Math.min(now - (this.before ?? now), 100) / 1000;
    this.before = now;
    if (this.clock > this.end) this.clock = 0;
    this.paint();
    this.next();
  };

  /** Racks in one row where there is room, else in two; GPUs in two columns. */
  layout() {
    const { nodes, per_node: per } = this.data;
    const width = this.root.clientWidth;
    const columns = width < 600 ? Math.min(nodes, 4) : nodes;
    const rows = Math.ceil(nodes / columns);
    const rackWidth = Math.min(width / columns, 150);
    const left = (width - rackWidth * columns) / 2;
    const cell = Math.min((rackWidth - 24) / 2, 34);
    const rackHeight = (per / 2) * (cell * 0.72 + 6) + 26;
    const lane = 40;
    const height = rows * (rackHeight + lane);
    const rack = (node) => {
      const row = Math.floor(node / columns);
      return { x: left + (node % columns) * rackWidth + 6, y: row * (rackHeight + lane), row };
    };
    const gpu = (g) => {
      const { x, y } = rack(Math.floor(g / per));
      const i = g % per;
      const inner = (rackWidth - 12 - 2 * cell) / 3;
      return {
        x: x + inner + (i % 2) * (cell + inner) + cell / 2,
        y: y + 24 + Math.floor(i / 2) * (cell * 0.72 + 6) + cell * 0.36,
      };
    };
    return { width, height, rackWidth, rackHeight, cell, lane, rows, rack, gpu };
  }

  paint() {
    if (!this.data || !this.root.clientWidth) return;
    const at = this.layout();
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(at.width * ratio);
    this.canvas.height = Math.round(at.height * ratio);
    this.canvas.style.height = `${at.height}px`;
    const ctx = this.canvas.getContext("2d");
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    const style = getComputedStyle(this.root);
    const [ink, grid] = ["--ink", "--grid"].map((name) => style.getPropertyValue(name));
    this.paintRacks(ctx, at, ink, grid, style.fontFamily);
    const still = !this.playing && this.clock === 0;
    for (const flight of this.flights) {
      if (still) this.paintWay(ctx, at, flight);
      else if (this.clock >= flight.begin && this.clock <= flight.end) {
        this.paintDot(ctx, at, flight, (this.clock - flight.begin) / (flight.end - flight.begin));
      }
    }
    this.root.dataset.frames = String(++this.frames);
  }

  paintRacks(ctx, at, ink, grid, font) {
    const { nodes, per_node: per } = this.data;
    const busy = new Map();
    for (const f of this.flights) {
      if (f.end > this.clock) continue;
      busy.set(f.receiver, (busy.get(f.receiver) ?? 0) + 1);
    }
    ctx.font = `13px ${font}`;
    ctx.textAlign = "left";
    for (let node = 0; node < nodes; node++) {
      const { x, y } = at.rack(node);
      ctx.strokeStyle = grid;
      ctx.lineWidth = 1.5;
      ctx.strokeRect(x, y + 1, at.rackWidth - 12, at.rackHeight);
      ctx.fillStyle = ink;
      ctx.fillText(`${at.rackWidth > 90 ? "server " : ""}${node + 1}`, x + 6, y + 16);
    }
    for (let g = 0; g < nodes * per; g++) {
      const { x, y } = at.gpu(g);
      ctx.fillStyle = grid;
      ctx.fillRect(x - at.cell / 2, y - at.cell * 0.36, at.cell, at.cell * 0.72);
      const rows = Math.min(busy.get(g) ?? 0, 8);
      if (!rows) continue;
      ctx.fillStyle = this.data.nvlink; // grows with each row that has arrived
      const high = (at.cell * 0.72 * rows) / 8;
      ctx.fillRect(x - at.cell / 2, y + at.cell * 0.36 - high, at.cell, high);
    }
    if (nodes < 2) return;
    ctx.strokeStyle = this.data.network;
    ctx.lineWidth = 3;
    for (let row = 0; row < at.rows; row++) {
      const y = this.lane(at, row);
      ctx.beginPath();
      ctx.moveTo(10, y);
      ctx.lineTo(at.width - 10, y);
      ctx.stroke();
    }
    ctx.fillStyle = ink;
    ctx.fillText("the network between servers", 12, this.lane(at, at.rows - 1) + 17);
  }

  lane(at, row) { return row * (at.rackHeight + at.lane) + at.rackHeight + 16; }

  /** Corners of a hop: down to the network, along it, and up; or straight inside a rack. */
  corners(at, { sender, receiver, isNetwork }) {
    const { per_node: per } = this.data;
    const [from, to] = [at.gpu(sender), at.gpu(receiver)];
    if (!isNetwork) return [from, to];
    const [a, b] = [sender, receiver].map((g) => this.lane(at, at.rack(Math.floor(g / per)).row));
    const edge = at.width - 10;
    const between = a === b ? [] : [{ x: edge, y: a }, { x: edge, y: b }];
    return [from, { x: from.x, y: a }, ...between, { x: to.x, y: b }, to];
  }

  paintWay(ctx, at, flight) {
    ctx.strokeStyle = flight.isNetwork ? this.data.network : this.data.nvlink;
    ctx.globalAlpha = 0.35;
    ctx.lineWidth = 1;
    ctx.beginPath();
    this.corners(at, flight).forEach(({ x, y }) => ctx.lineTo(x, y));
    ctx.stroke();
    ctx.globalAlpha = 1;
  }

  paintDot(ctx, at, flight, share) {
    const corners = this.corners(at, flight);
    const lengths = corners.slice(1).map((p, i) => Math.hypot(p.x - corners[i].x, p.y - corners[i].y));
    let left = share * lengths.reduce((sum, one) => sum + one, 0);
    let i = 0;
    while (i < lengths.length - 1 && left > lengths[i]) left -= lengths[i++];
    const part = lengths[i] ? Math.min(left / lengths[i], 1) : 1;
    const x = corners[i].x + (corners[i + 1].x - corners[i].x) * part;
    const y = corners[i].y + (corners[i + 1].y - corners[i].y) * part;
    ctx.fillStyle = flight.isNetwork ? this.data.network : this.data.nvlink;
    ctx.beginPath();
    if (flight.isNetwork) ctx.rect(x - 4.5, y - 4.5, 9, 9);
    else ctx.arc(x, y, 4, 0, 2 * Math.PI);
    ctx.fill();
  }

  destroy() {
    cancelAnimationFrame(this.request);
    this.resizes.disconnect();
    this.seen.disconnect();
    this.gone.abort();
  }
}

const all = new WeakMap();

/** Called by Streamlit on mounting, on new data and on a change of theme. */
export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".packets");
  if (!all.has(root)) all.set(root, new Packets(root));
  const packets = all.get(root);
  if (packets.data?.id !== data.id) packets.load(data);
  else packets.paint();
  return () => packets.destroy();
}
