// The film of the first page: plays a recorded run over and over, and turns it to the recorded run
// that was balanced from the same step on. Stands after moe/app/shared/stage/'s scripts.

const RATE = 24; // steps a second
const HOLD = 1.6; // seconds that the end of the run stays before it begins again
const ROUNDS = 3; // times that nobody touches anything before the film shows the cure by itself

class Opening {
  frames = 0;
  position = 0;
  held = 0;
  rounds = 0;
  playing = false;
  seen = false;
  fork = null;

  constructor(root) {
    this.root = root;
    this.find = (selector) => root.querySelector(selector);
    this.gone = new AbortController();
    const row = between((window.innerHeight - 310) / 8, 45, 72); // so that it fills a first screen
    this.stage = new Stage(this.find("canvas"), { charts: false, row });
    this.calm = this.stage.calm;
    const on = (node, type, act) => node.addEventListener(type, act, { signal: this.gone.signal });
    on(this.find(".balance"), "click", () => this.turn());
    on(this.find(".pause"), "click", () => this.go(!this.playing));
    on(this.find("canvas"), "click", () => this.go(!this.playing));
    this.resizes = new ResizeObserver(() => this.width !== root.clientWidth && this.layout());
    this.resizes.observe(root);
    this.sight = new IntersectionObserver((seen) => this.look(seen.at(-1).isIntersecting),
      { threshold: 0.35 });
    this.sight.observe(this.find("canvas"));
  }

  /** Take the film, the question and its replies. */
  load(data) {
    this.data = data;
    const { film, question } = data;
    this.stage.setup(film.experts);
    this.main = this.trackOf();
    this.show(this.main);
    this.ask(question);
    this.answer(data.guess);
    this.restart(null);
    this.layout();
    if (this.calm) this.jump(this.main.n - 1);
  }

  /** All records of the run, or of the run that is balanced from a fork on. */
  trackOf(fork = null) {
    const track = new Track(this.data.film.experts.names.length);
    track.append(this.data.film.main);
    if (fork) track.append(fork.records);
    return track;
  }

  ask({ words, options }) {
    const box = this.find(".guess");
    box.querySelector("legend").textContent = words;
    box.querySelectorAll("button").forEach((old) => old.remove());
    for (const [name, text] of Object.entries(options)) {
      const button = Object.assign(document.createElement("button"), {
        type: "button", textContent: text, name, onclick: () => this.answer(name, true),
      });
      box.append(button);
    }
  }

  /** Note a guess; `told` when it was clicked. */
  answer(name, told = false) {
    this.guess = name || "";
    for (const button of this.find(".guess").querySelectorAll("button"))
      button.ariaPressed = String(button.name === this.guess);
    if (told) {
      this.touched = true;
      this.set?.("guess", this.guess);
    }
    if (this.told) this.reply();
  }

  /** Turn the run on the screen: balance it, or let it collapse again. */
  turn(alone = false) {
    if (this.fork && this.touched) return this.restart(null, true);
    this.touched ||= !alone;
    if (this.fork) this.position = this.fork.at; // it had turned by itself
    if (!alone) this.find(".picture").scrollIntoView({ block: "nearest" }); // on a phone it may be above
    const { forks } = this.data.film;
    this.next = forks.find(({ at }) => at >= this.position) ?? forks.at(-1);
    if (this.calm || this.position > this.next.at) this.take();
    this.label();
    this.go(true);
  }

  /** Go on with the run that is balanced from here on. */
  take() {
    this.fork = this.next;
    this.next = null;
    this.show(this.trackOf(this.fork));
    this.stage.marks = [this.fork.at];
    this.position = Math.min(this.position, this.fork.at);
    this.stage.hurry();
    this.held = 0;
    this.label();
    if (this.calm) this.jump(this.track.n - 1);
  }

  show(track) { this.track = this.stage.track = track; }

  /** Begin the film again: the whole of the run with this fork, or without one. */
  restart(fork, play = this.playing) {
    this.fork = fork;
    this.next = null;
    this.told = Boolean(fork) && this.told;
    this.show(fork ? this.track : this.main);
    this.stage.clear();
    this.stage.marks = fork ? [fork.at] : [];
    this.position = this.held = 0;
    if (!fork) this.find(".reply").textContent = "";
    this.label();
    this.go(play);
  }

  jump(position) {
    this.position = position;
    this.stage.fresh = true;
    if (this.fork) this.reply();
    this.drawSoon();
  }

  label() {
    this.find(".balance").textContent = this.fork && this.touched ? "Let it collapse again" : "Balance the work";
    this.find(".balance").disabled = Boolean(this.next);
    const { run } = this.data.film, at = this.fork?.at;
    this.find(".live").href = `play?run=${run}${at ? `_${at}bdeepseek` : ""}`;
    this.root.dataset.fork = at ?? "";
  }

  /** What came out, held against the guess. */
  reply() {
    this.told = true;
    const said = this.data.replies[this.fork.at];
    this.find(".reply").textContent = said[this.guess] ?? said.skip;
  }

  /** The film waits for the first look, and stands still where it cannot be seen. */
  look(visible) {
    this.visible = visible;
    if (visible && !this.seen) {
      this.seen = true;
      if (!this.calm) this.go(true);
    }
    this.drawSoon();
  }

  go(playing) {
    this.playing = playing && !this.calm;
    const button = this.find(".pause");
    button.textContent = this.playing ? "Pause" : "Play";
    button.hidden = this.calm;
    this.root.dataset.state = this.seen ? (this.playing ? "playing" : "paused") : "waiting";
    this.drawSoon();
  }

  layout() {
    this.width = this.root.clientWidth;
    this.stage.fit();
    this.drawSoon();
  }

  drawSoon() { this.request ??= requestAnimationFrame(this.frame); }

  frame = (now) => {
    this.request = null;
    if (this.gone.signal.aborted || !this.track) return;
    const seconds = between(now - (this.before ?? now), 0, 100) / 1000;
    this.before = now;
    if (this.playing && this.visible) this.move(seconds);
    this.stage.draw(now, this.position, this.playing);
    this.say();
    this.root.dataset.frames = String(++this.frames);
    if (this.visible && (this.playing || this.stage.moving)) this.drawSoon();
  };

  move(seconds) {
    const last = this.track.n - 1;
    this.position = Math.min(this.position + seconds * RATE, last);
    if (this.next && this.position >= this.next.at) return this.take();
    if (this.position < last) return;
    if (this.fork && !this.told) this.reply();
    this.held += seconds;
    if (this.held < HOLD * (this.fork ? 2 : 1)) return;
    this.rounds += 1;
    if (this.fork || this.touched || this.rounds < ROUNDS) return this.restart(this.fork);
    this.held = 0;
    this.turn(true);
  }

  /** The step, and the sentence about it: seen where the film stands, and the picture's own words. */
  say() {
    const step = Math.floor(this.position), words = this.track.wordsAt(step);
    this.root.dataset.step = String(step);
    const still = !this.told && (!this.playing || this.held > 0); // else the reply says it
    this.write(".at", `Step ${step}`);
    this.write(".words", still ? words : "");
    const said = `Letters go through a router to eight experts. Step ${step}. ${words}`;
    if (words !== this.words || !this.playing) this.find("canvas").ariaLabel = said;
    this.words = words;
  }

  write(place, text) {
    if (this.find(place).textContent !== text) this.find(place).textContent = text;
  }

  destroy() {
    cancelAnimationFrame(this.request);
    this.resizes.disconnect();
    this.sight.disconnect();
    this.gone.abort();
  }
}

const openings = new WeakMap();

/** Called by Streamlit on mounting, on new data and on a change of theme. */
export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".opening");
  if (!openings.has(root)) openings.set(root, new Opening(root));
  const film = openings.get(root);
  film.set = setStateValue;
  if (film.data?.film.run === data.film.run) film.layout();
  else film.load(data);
  return () => film.destroy();
}
