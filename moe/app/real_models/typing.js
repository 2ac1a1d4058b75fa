// Lets two texts appear, each at its own speed; the payload is described in typing.py.

const PAUSE = 2500; // milliseconds between the end and a new beginning

class Typing {
  constructor(root) {
    this.root = root;
    this.sides = [...root.querySelectorAll(".side")];
    this.button = root.querySelector(".play");
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
    this.gone = new AbortController();
    const heard = { signal: this.gone.signal };
    this.button.addEventListener("click", () => this.press(), heard);
    this.calm.addEventListener("change", () => this.begin(), heard);
    this.seen = new IntersectionObserver(([entry]) => this.look(entry.isIntersecting));
    this.seen.observe(root);
  }

  load(data) {
    this.data = data;
    this.root.querySelector(".told").textContent = data.told;
    this.sides.forEach((side, i) => {
      for (const name of ["name", "speed", "about"]) {
        side.querySelector(`.${name}`).textContent = data.sides[i][name];
      }
    });
    this.begin();
  }

  restyle() {
    const colour = getComputedStyle(this.root).color.match(/[\d.]+/g) ?? [0];
    this.root.classList.toggle("dark", Number(colour[0]) > 128);
  }

  /** Start with empty papers, or leave them away for who prefers no motion. */
  begin() {
    this.restyle();
    this.time = 0;
    this.root.classList.toggle("still", this.calm.matches);
    this.say(this.calm.matches ? "still" : this.visible ? "playing" : "waiting");
    this.paint();
    this.run();
  }

  look(visible) {
    this.visible = visible;
    if (visible && this.root.dataset.state === "waiting") this.say("playing");
    this.run();
  }

  press() {
    const state = this.root.dataset.state;
    if (state === "ended") return this.begin();
    this.say(state === "playing" ? "paused" : "playing");
    this.run();
  }

  say(state) {
    this.root.dataset.state = state;
    const words = state === "playing" ? "Pause" : state === "ended" ? "Again" : "Play";
    this.button.textContent = this.button.ariaLabel = words;
  }

  run() {
    cancelAnimationFrame(this.request);
    this.before = performance.now();
    if (this.data && this.visible && this.root.dataset.state === "playing") {
      this.request = requestAnimationFrame(this.tick);
    }
  }

  tick = (now) => {
    // No frames come while the page is hidden: do not jump on return.
    this.time += Math.min(now - this.before, 100) / 1000;
    this.before = now;
    this.paint();
    const slowest = Math.min(...this.data.sides.map((side) => side.letters_per_s));
    if (this.time * slowest > this.data.text.length + (PAUSE / 1000) * slowest) return this.say("ended");
    this.request = requestAnimationFrame(this.tick);
  };

  /** A whole number of letters on each paper; a full paper scrolls. */
  paint() {
    this.sides.forEach((side, i) => {
      const all = this.data.text.length;
      const letters = Math.min(Math.floor(this.time * this.data.sides[i].letters_per_s), all);
      if (side.dataset.letters === String(letters)) return;
      side.dataset.letters = letters;
      side.querySelector(".text").textContent = this.data.text.slice(0, letters);
      const paper = side.querySelector(".paper");
      paper.scrollTop = paper.scrollHeight;
    });
  }

  destroy() {
    cancelAnimationFrame(this.request);
    this.seen.disconnect();
    this.gone.abort();
  }
}

const races = new WeakMap();

/** Called by Streamlit on mounting, on new data and on a change of theme. */
export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".typing");
  if (!races.has(root)) races.set(root, new Typing(root));
  const race = races.get(root);
  const same = race.data && JSON.stringify(race.data) === JSON.stringify(data);
  if (same) race.restyle();
  else race.load(data);
  return () => race.destroy();
}
