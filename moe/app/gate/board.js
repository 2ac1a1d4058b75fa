// The board of the game. It knows the router's ratings and the room, and no result: what the moves
// are worth is worked out by the server.

const boards = new WeakMap();

class Board {
  gone = new AbortController();

  constructor(root, send) {
    this.root = root;
    this.find = (selector) => root.querySelector(selector);
    this.experts = [...root.querySelectorAll(".expert")];
    const on = (node, type, act) => node.addEventListener(type, act, { signal: this.gone.signal });
    on(this.find(".start"), "click", () => this.start());
    this.experts.forEach((node, e) => on(node, "click", () => this.place(e)));
    on(document, "keydown", (event) => this.key(event));
    this.send = send;
  }

  load(data) {
    this.data = data;
    this.moves = "";
    clearInterval(this.timer);
    this.find(".before").textContent = data.before;
    this.experts.forEach((node, e) => {
      node.style.setProperty("--expert", data.colours[e]);
      node.style.setProperty("--letter", data.inks[e]);
      node.querySelector(".name").textContent = data.names[e];
    });
    this.find(".time").max = data.seconds;
    this.left = data.seconds;
    for (const move of data.moves) this.write(move);
    this.state(data.moves ? "done" : "ready");
  }

  state(name) {
    this.root.dataset.state = name;
    this.find(".start").textContent = name === "ready" ? "Start" : "Play again";
    this.show();
  }

  start() {
    this.moves = "";
    this.find(".sent").replaceChildren();
    this.left = this.data.seconds;
    this.calm = this.find(".calm input").checked;
    clearInterval(this.timer);
    const end = performance.now() + 1000 * this.data.seconds;
    if (!this.calm) this.timer = setInterval(() => this.tick(end), 100);
    this.state("playing");
    this.experts[0].focus({ preventScroll: true });
  }

  tick(end) {
    this.left = Math.max(0, (end - performance.now()) / 1000);
    this.showClock();
    if (this.left > 0) return;
    while (this.moves.length < this.data.tokens.length) this.write(this.data.lost);
    this.finish();
  }

  key(event) {
    if (this.root.dataset.state !== "playing" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest?.("input, textarea, select")) return;
    const key = event.key.toUpperCase();
    const e = "1234".includes(key) ? "1234".indexOf(key) : this.data.names.indexOf(key);
    if (e >= 0) this.place(e);
  }

  place(e) {
    if (this.root.dataset.state !== "playing") return;
    this.write(this.data.names[e]);
    if (this.moves.length === this.data.tokens.length) this.finish();
    else this.show();
  }

  /** Letters that found room, so far. */
  used(name) { return Math.min(this.data.room, [...this.moves].filter((m) => m === name).length); }

  /** Add one move to the text: the character in its expert's colour, or struck through if lost. */
  write(move) {
    const { names, colours, inks, tokens, room } = this.data;
    const e = names.indexOf(move);
    const full = e < 0 || [...this.moves].filter((m) => m === move).length >= room;
    const box = document.createElement("span");
    box.className = full ? "character lost" : "character";
    box.textContent = tokens[this.moves.length];
    if (!full) Object.assign(box.style, { background: colours[e], color: inks[e] });
    this.find(".sent").append(box);
    this.moves += move;
    this.root.dataset.placed = String(this.moves.length);
  }

  finish() {
    clearInterval(this.timer);
    this.state("done");
    this.send?.("moves", this.moves);
  }

  showClock() {
    const { tokens } = this.data;
    this.find(".time").value = this.left;
    this.find(".seconds").textContent = this.calm || this.root.dataset.state === "done" ? "" : `${Math.ceil(this.left)} s`;
    this.find(".count").textContent = `${this.moves.length} of ${tokens.length}`;
  }

  show() {
    const { tokens, percent, names, room } = this.data;
    const at = this.moves.length;
    const playing = this.root.dataset.state === "playing";
    this.root.dataset.placed = String(at);
    this.showClock();
    this.find(".now")?.remove();
    if (playing) {
      const now = document.createElement("mark");
      now.className = "now";
      now.textContent = tokens[at];
      this.find(".text").append(now);
    }
    this.find(".ask").textContent = {
      ready: "Each expert has room for six characters. Send each one to an expert that is good at it.",
      playing: `Who works on “${tokens[at]}”?`,
      done: "All sent.",
    }[this.root.dataset.state] ?? "";
    this.experts.forEach((node, e) => {
      const left = room - this.used(names[e]);
      const rating = playing ? percent[at][e] : 0;
      node.disabled = !playing;
      node.style.setProperty("--rating", `${rating}%`);
      node.querySelector(".percent").textContent = playing ? `${rating}%` : "";
      node.querySelector(".left").textContent = left ? `${left} free` : "full";
      node.querySelector(".places").textContent = "●".repeat(room - left) + "○".repeat(left);
      node.ariaLabel = `Expert ${names[e]}, rated ${rating} percent, ${left} places free`;
      node.classList.toggle("full", !left);
    });
  }

  destroy() {
    clearInterval(this.timer);
    this.gone.abort();
  }
}

/** Called by Streamlit on mounting and on new data. */
export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".gate");
  if (!boards.has(root)) boards.set(root, new Board(root, setTriggerValue));
  const board = boards.get(root);
  if (board.data?.id !== data.id) board.load(data);
  return () => board.destroy();
}
