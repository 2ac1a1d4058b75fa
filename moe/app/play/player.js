// Play: draws a run while the server trains it. The run is a plan, a text such as
// "8-0_120bdeepseek" (moe/app/play/plan.py); this side holds it, and asks for steps of it:
//   want {run, from, n, number, keep}    moe/app/play/session.py: Wish
// The answer comes as new data:
//   {number, records | null, experts, done, rate, place, problem}
// The first data has `run` and `at` of the address, and no number. Without a server (set* absent)
// `data.records` may hold a whole recorded run.

const AHEAD = 12, CHUNK = 24, FIRST = 6; // steps: kept in hand, asked for, after a change
const PATIENCE = 4000; // milliseconds until a wish without an answer is made again
const CONTROLS = { b: "balancing", k: "k", r: "room", x: "off", t: "text" };
const LETTERS = Object.fromEntries(Object.entries(CONTROLS).map(([letter, name]) => [name, letter]));
const START = { balancing: "off", k: "2", room: "none", off: "", text: "all" };

/** A plan: experts, seed, and changes as [step, control, value], values as in an address. */
function readPlan(text) {
  const [first, ...rest] = text.split("_");
  const [experts, seed] = first.split("-").map(Number);
  const changes = rest.flatMap((part) => {
    const found = /^(\d+)([bkrxt])(.*)$/.exec(part);
    return found ? [[Number(found[1]), CONTROLS[found[2]], found[3]]] : [];
  });
  return { experts, seed, changes };
}

function writePlan({ experts, seed, changes }) {
  const parts = changes.map(([step, control, value]) => `${step}${LETTERS[control]}${value}`);
  return [`${experts}-${seed}`, ...parts].join("_");
}

class Play {
  frames = 0;
  number = 0;
  rate = 25; // steps a second
  position = 0;
  playing = false;
  seen = false;
  asked = null;
  keep = null; // a step that the address has yet to name
  gone = new AbortController();

  constructor(root) {
    this.root = root;
    this.find = (selector) => root.querySelector(selector);
    this.most = Number(root.dataset.most);
    this.stage = new Stage(this.find("canvas"));
    this.calm = this.stage.calm;
    this.listen();
    this.resizes = new ResizeObserver(() => this.stage.width !== this.stage.canvas.clientWidth
      && this.layout());
    this.resizes.observe(this.stage.canvas);
    this.sight = new IntersectionObserver((entries) => this.look(entries.at(-1).isIntersecting),
      { threshold: 0.35 });
    this.sight.observe(this.find(".frame"));
  }

  listen() {
    const on = (node, type, act) => node.addEventListener(type, act, { signal: this.gone.signal });
    on(this.find(".go"), "click", () => this.go(!this.playing));
    on(this.find(".one"), "click", () => this.one());
    on(this.find(".reset"), "click", () => this.reset());
    on(this.find(".controls"), "change", ({ target }) => {
      if (target.name === "experts") this.restart(Number(target.value));
      else if (target.className === "text") this.set("text", target.value);
      else if (target.className === "ghost") this.drawSoon();
      else this.set(target.name, target.value);
    });
    for (const button of this.root.querySelectorAll(".preset"))
      on(button, "click", () => this.begin(button.dataset.run, button));
    on(document, "visibilitychange", () => this.drawSoon());
    on(window, "pagehide", () => this.remember());
  }

  /** Take new data: the first ones, or an answer. */
  take(data, want) {
    this.want = want;
    if (!this.plan) return this.open(data);
    this.layout();
    const mine = this.asked && data.number === this.asked.number;
    if (!mine) return; // an answer to what is no longer wished for
    this.asked = null;
    this.rate = data.rate ?? this.rate;
    if (data.experts && !this.named) this.name(data.experts);
    this.note(data.problem ?? (data.place ? `You are number ${data.place} in the queue.` : ""));
    if (data.problem) return this.pause();
    if (data.place) return void (this.later = setTimeout(() => this.need(), 400));
    if (!data.records) {
      this.note(`Catching up: step ${data.done}`);
      return this.need();
    }
    this.append(data.records);
    this.need();
    this.drawSoon();
  }

  open(data) {
    const kept = this.remembered();
    this.plan = readPlan(kept?.run ?? data.run);
    this.goal = kept?.at ?? data.at ?? 0;
    this.prepare(data.experts);
    if (data.records && data.records.from === 0 && !kept) this.append(data.records);
    if (this.goal) this.playing = false;
    this.need();
    this.drawSoon();
  }

  /** Where this window's run stood before the page was loaded anew, or left without a link. */
  remembered() {
    const mark = JSON.parse(sessionStorage.getItem("moe-play") ?? "null");
    const named = new URLSearchParams(window.location.search).get("run");
    const again = performance.getEntriesByType("navigation")[0]?.type === "reload";
    return mark && mark.address === named && (again || named === null) ? mark : null;
  }

  remember() {
    const address = new URLSearchParams(window.location.search).get("run");
    const mark = { run: writePlan(this.plan), at: this.step, address };
    sessionStorage.setItem("moe-play", JSON.stringify(mark));
  }

  /** Make an empty stage of the plan's experts. */
  prepare(experts = this.experts) {
    this.track = new Track(this.plan.experts);
    this.stage.track = this.track;
    this.name(experts);
    this.position = 0;
    this.begun = false;
    this.layout();
    this.show();
  }

  /** Take the experts' names and colours, if they are those of this plan. */
  name(experts) {
    this.experts = experts;
    this.named = experts?.names.length === this.plan.experts;
    if (!this.named) return;
    this.stage.setup(experts);
    this.layout();
  }

  append(records) {
    this.track.append(records);
    if (!this.goal || this.track.n <= this.goal) return;
    this.position = this.goal; // a run that was opened at a step
    this.goal = 0;
    this.begun = true;
    this.stage.fresh = true;
    this.show();
  }

  get step() { return Math.floor(this.position); }

  /** How a control stands at a step, by default the next. */
  standing(control, step = this.coming) {
    const set = this.plan.changes.findLast(([at, name]) => name === control && at <= step);
    return set ? set[2] : START[control];
  }

  /** Ask for the next steps if few are in hand, or for the address to name this step. */
  need() {
    clearTimeout(this.later);
    if (this.asked || !this.want) return;
    const enough = this.track.n >= this.most
      || (this.track.n - this.position > AHEAD && !this.goal);
    if (enough && this.keep === null) return;
    const short = this.goal && this.track.n <= this.goal;
    const n = short ? Math.min(400, this.goal + FIRST - this.track.n) : enough ? 1 : CHUNK;
    this.ask(n, this.goal ? null : this.keep);
  }

  ask(n, keep = null) {
    if (keep !== null) this.keep = null;
    this.asked = { number: ++this.number, since: performance.now() };
    const run = writePlan(this.plan);
    const from = Math.min(this.track.n, this.most - 1);
    this.want("want", { run, from, n, number: this.number, keep });
  }

  /** Set a control from the next step on. */
  set(control, value) {
    const at = this.begun ? this.step + 1 : 0;
    this.changedAt = performance.now();
    this.waitsFor = at;
    const past = this.plan.changes.filter(([step, name]) =>
      step < at || (step === at && name !== control));
    this.plan.changes = [...past.filter(([step]) => step <= at), [at, control, value]];
    this.track.cut(at);
    this.stage.hurry();
    this.show();
    this.ask(FIRST, at);
    this.drawSoon();
  }

  toggle(e) {
    const off = new Set(this.standing("off").split(".").filter(Boolean).map(Number));
    if (!off.delete(e)) off.add(e);
    if (this.plan.experts - off.size < Number(this.standing("k")))
      return this.say("Each character needs its experts: no more can be switched off.");
    this.set("off", [...off].sort((a, b) => a - b).join("."));
  }

  /** The step that a change made now would act at. */
  get coming() { return this.begun ? this.step + 1 : 0; }

  begin(run, button) {
    const before = this.track.n ? this.track : null;
    if (before && this.begun) this.last = before;
    before?.cut(this.step + 1);
    this.plan = readPlan(run);
    this.goal = 0;
    this.asked = null;
    for (const other of this.root.querySelectorAll(".preset"))
      other.setAttribute("aria-pressed", String(other === button));
    this.find(".hint").textContent = button?.dataset.hint ?? "";
    this.prepare();
    this.playing = true;
    this.changedAt = performance.now();
    this.waitsFor = 0;
    this.ask(FIRST, 0);
    this.drawSoon();
  }

  /** From step 0 again, with the controls as they stand; all experts on. */
  restart(experts = this.plan.experts) {
    const changes = Object.keys(START).flatMap((control) => {
      const value = this.standing(control);
      return control === "off" || value === START[control] ? [] : [[0, control, value]];
    });
    this.begin(writePlan({ experts, seed: this.plan.seed, changes }));
  }

  reset() { this.restart(); }

  go(playing) {
    if (playing && this.step >= this.most - 1) return this.restart();
    this.playing = playing;
    if (!playing) this.pause();
    this.show();
    this.need();
    this.drawSoon();
  }

  pause() {
    this.playing = false;
    this.keep = this.step;
    this.need();
    this.remember();
    this.show();
    this.announce();
  }

  one() {
    this.playing = false;
    const next = this.begun ? this.step + 1 : 0;
    if (next < this.track.n) {
      this.position = next;
      this.begun = true;
      this.stage.hurry();
      this.stepping = performance.now();
      this.keep = this.step;
    } else this.stepWaits = true;
    this.need();
    this.show();
    this.drawSoon();
  }

  look(visible) {
    this.visible = visible;
    if (visible && !this.seen) {
      this.seen = true;
      if (!this.calm && !this.goal && !this.begun) this.playing = true;
      this.show();
    }
    this.drawSoon();
  }

  drawSoon() {
    if (!this.request) this.request = requestAnimationFrame(this.tick);
  }

  tick = (now) => {
    this.request = 0;
    const seconds = between(now - (this.before ?? now), 0, 100) / 1000;
    this.before = now;
    const before = this.step, room = this.track.n - 1 - this.position;
    if (this.playing && this.visible && room > 0) {
      this.begun = true;
      this.position += Math.min(seconds * this.rate, room);
    }
    if (this.stepWaits && this.step + 1 < this.track.n) {
      this.stepWaits = false;
      this.one();
    }
    if (this.step >= this.most - 1) this.playing = false;
    if (this.asked && now - this.asked.since > PATIENCE) this.asked = null;
    if (this.visible) this.need();
    const letting = this.playing || now - (this.stepping ?? -9e9) < 400;
    this.stage.ghost = this.find(".ghost").checked ? this.last ?? null : null;
    this.stage.draw(now, this.position, letting);
    this.root.dataset.frames = String(++this.frames);
    this.felt(now);
    if (before !== this.step || now - (this.shown ?? 0) > 250) this.show();
    const busy = this.playing || this.stage.moving || this.asked || this.stepWaits
      || now - (this.stepping ?? -9e9) < 900;
    if (busy && this.visible && !document.hidden) this.drawSoon();
    else this.before = null;
  };

  /** Note how long it took from a change to the first picture that shows what came of it. */
  felt(now) {
    if (this.changedAt === undefined || this.track.n <= this.waitsFor) return;
    if (this.position < this.waitsFor && this.playing) this.position = this.waitsFor;
    this.root.dataset.felt = String(Math.round(performance.now() - this.changedAt));
    this.changedAt = undefined;
  }

  get state() {
    if (this.step >= this.most - 1) return "ended";
    const empty = this.track.n - 1 - this.position <= 0;
    if (this.goal || (empty && this.asked && performance.now() - this.asked.since > 250))
      return "waiting";
    return this.playing ? "playing" : "paused";
  }

  /** Show numbers and words of this step, and the controls as they stand for the next. */
  show() {
    this.shown = performance.now();
    const { root, track } = this, at = Math.min(this.step, track.n - 1);
    Object.assign(root.dataset, { state: this.state, step: String(this.step),
      maxVio: at >= 0 ? track.vio[at].toFixed(3) : "" });
    this.find(".now").textContent = this.step.toLocaleString("en");
    this.find(".go").textContent = this.playing ? "Pause" : "Play";
    for (const control of ["balancing", "k", "room"]) {
      const value = this.standing(control);
      for (const input of root.querySelectorAll(`input[name="${control}"]`))
        input.checked = input.value === value;
    }
    for (const input of root.querySelectorAll('input[name="experts"]'))
      input.checked = Number(input.value) === this.plan.experts;
    const text = this.standing("text");
    if (this.find(".text").value !== text) this.find(".text").value = text;
    const off = this.standing("off").split(".").filter(Boolean).map(Number);
    Object.assign(this.stage, { off: new Set(off), perToken: Number(this.standing("k")),
      marks: [...new Set(this.plan.changes.map(([when]) => when))].filter((when) => when > 0) });
    const words = track.wordsAt(this.step);
    if (words && this.find(".words").textContent !== words)
      this.find(".words").textContent = words;
    this.boxes(off);
    if (performance.now() - (this.said ?? -9e9) > 5000) this.announce();
  }

  /** Buttons over the experts' boxes, which switch them off and on. */
  boxes(off) {
    const holder = this.find(".boxes");
    if (!this.named || !this.stage.area) return;
    if (holder.children.length !== this.plan.experts) {
      holder.replaceChildren(...this.experts.names.map((name, e) => {
        const button = document.createElement("button");
        button.type = "button";
        button.addEventListener("click", () => this.toggle(e));
        return button;
      }));
    }
    this.experts.names.forEach((name, e) => {
      const button = holder.children[e], { room } = this.stage.boxOf(e);
      const gone = off.includes(e), label = `Switch ${gone ? "on" : "off"} expert ${name}`;
      if (button.ariaLabel !== label) Object.assign(button, { ariaLabel: label, title: label });
      const place = `${room.x},${room.y},${room.w},${room.h}`;
      if (button.dataset.place === place) return;
      button.dataset.place = place;
      Object.assign(button.style, { left: `${room.x}px`, top: `${room.y}px`,
        width: `${room.w}px`, height: `${room.h}px` });
    });
  }

  note(text) { this.find(".note").textContent = text; }

  say(text) {
    this.find(".hint").textContent = text;
    this.find(".live").textContent = text;
  }

  /** Tell screen readers, and the picture's text alternative, how the run stands. */
  announce() {
    if (!this.track.n) return;
    this.said = performance.now();
    const at = Math.min(this.step, this.track.n - 1);
    const words = `Step ${at}. ${this.track.wordsAt(at)} Loss ${this.track.mean[at].toFixed(2)}.`;
    this.stage.canvas.ariaLabel = `Letters go through a router to ${this.plan.experts} experts. `
      + words;
    if (this.find(".live").textContent !== words) this.find(".live").textContent = words;
  }

  layout() {
    this.stage.fit();
    if (this.plan) this.show();
    this.drawSoon();
  }

  destroy() {
    cancelAnimationFrame(this.request);
    clearTimeout(this.later);
    this.resizes.disconnect();
    this.sight.disconnect();
    this.gone.abort();
  }
}

const plays = new WeakMap();

/** Called by Streamlit on mounting, on new data and on a change of theme. */
export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector('[data-moe="play"]');
  if (!plays.has(root)) plays.set(root, new Play(root));
  const play = plays.get(root);
  if (data) play.take(data, setTriggerValue);
  return () => {
    play.destroy();
    plays.delete(root);
  };
}
