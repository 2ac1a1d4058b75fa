// Plays a finished run: moves charts and words from position to position; see reel.py.

const SECONDS = 9; // from the first position to the last
const AGAIN = [0, 250, 1000]; // milliseconds after which charts that were drawn anew are told

const named = (name) => document.querySelectorAll(name);

class Reel {
  position = 0;
  playing = false;
  seen = false;

  constructor(root) {
    this.root = root;
    this.find = (selector) => root.querySelector(selector);
    this.gone = new AbortController();
    this.calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.scrub = this.find(".scrub");
    const on = (node, type, act) => node.addEventListener(type, act, { signal: this.gone.signal });
    on(this.find(".play"), "click", () => this.press());
    on(this.scrub, "input", () => this.go(Number(this.scrub.value), false));
    this.sight = new IntersectionObserver((seen) => this.look(seen.at(-1).isIntersecting));
    this.sight.observe(root);
  }

  load(data) {
    const other = this.data?.id !== data.id;
    this.data = data;
    this.last = data.names.length - 1;
    this.scrub.max = String(this.last);
    this.scrub.ariaLabel = data.label;
    if (other) this.go(this.calm ? this.last : 0, this.seen && !this.calm);
    for (const wait of AGAIN) setTimeout(() => this.write(true), wait);
  }

  look(visible) {
    this.visible = visible;
    if (!visible || this.seen || !this.data) return;
    this.seen = true;
    if (!this.calm) this.go(0, true);
  }

  press() { this.go(!this.playing && this.position >= this.last ? 0 : this.position, !this.playing); }

  /** Move to a position and play on from there, or stand still. */
  go(position, playing) {
    cancelAnimationFrame(this.request);
    this.position = position;
    this.playing = playing && this.last > 0;
    this.before = performance.now();
    this.show();
    if (this.playing) this.request = requestAnimationFrame(this.tick);
  }

  tick = (now) => {
    const seconds = Math.min(now - this.before, 100) / 1000; // none come while the page is hidden
    this.before = now;
    if (this.visible) this.position += (seconds * this.last) / SECONDS;
    if (this.position >= this.last) return this.go(this.last, false);
    this.show();
    this.request = requestAnimationFrame(this.tick);
  };

  show() {
    const at = Math.floor(this.position), said = this.data.shown[at];
    const ended = at === this.last ? "ended" : "paused";
    this.root.dataset.state = this.playing ? "playing" : this.seen ? ended : "waiting";
    this.root.dataset.at = String(at);
    this.find(".play").ariaLabel = this.playing ? "Pause the film" : "Play the film";
    if (Number(this.scrub.value) !== at) this.scrub.value = String(at);
    this.scrub.ariaValueText = said;
    if (this.find(".at").textContent !== said) this.find(".at").textContent = said;
    this.write();
  }

  /** Tell charts and words the position; with `again` also those that may not have heard of it. */
  write(again = false) {
    if (this.gone.signal.aborted) return;
    const at = this.data.names[Math.floor(this.position)];
    for (const input of named(".moe-finger")) {
      if (input.value === at && !again) continue;
      input.value = at;
      input.dispatchEvent(new Event("input", { bubbles: true }));
    }
    for (const [name, texts] of Object.entries(this.data.words)) {
      const text = texts[at] ?? texts[""];
      for (const node of named(`[data-finger-words="${name}"]`)) {
        if (node.textContent !== text) node.textContent = text;
      }
    }
  }

  destroy() {
    cancelAnimationFrame(this.request);
    this.sight.disconnect();
    this.gone.abort();
    for (const input of named(".moe-finger")) input.value = "";
  }
}

const reels = new WeakMap();

/** Called by Streamlit on mounting, on new data and on a change of theme. */
export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".reel");
  if (!reels.has(root)) reels.set(root, new Reel(root));
  const reel = reels.get(root);
  reel.load(data);
  return () => reel.destroy();
}
