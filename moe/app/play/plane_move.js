// Moving an expert: its dot is dragged, and the cells are drawn anew under the finger.

class MovablePlane extends Plane {
  listen() {
    super.listen();
    const on = (node, type, act) => node.addEventListener(type, act, { signal: this.gone.signal });
    on(this.find(".expert"), "change", () => this.select());
    on(this.find(".side"), "change", () => this.select());
    on(this.find(".lift"), "input", ({ target }) => {
      const edit = this.edit ?? this.grab(this.side, this.expert);
      edit.offset = edit.base + Number(target.value);
      this.redraw();
    });
    on(this.find(".lift"), "change", () => this.commit());
    this.panels.forEach((panel, r) => {
      on(panel.canvas, "pointerdown", (event) => this.press(event, r));
      on(panel.canvas, "pointermove", (event) => this.drag(event, r));
      on(panel.canvas, "pointerup", () => this.edit && this.commit());
      on(panel.canvas, "pointercancel", () => this.edit && this.commit());
      on(panel.handle, "keydown", (event) => this.nudge(event, r));
      on(panel.handle, "keyup", (event) => event.key.startsWith("Arrow") && this.edit && this.commit());
      on(panel.handle, "blur", () => this.edit && this.commit());
    });
  }

  get side() { return Number(this.find(".side").value); }

  get expert() { return Number(this.find(".expert").value || 0); }

  /** Choose whose dot the keys and the head start move. */
  select(r = this.side, e = this.expert) {
    this.find(".side").value = String(r);
    this.find(".expert").value = String(e);
    this.find(".lift").value = "0";
    this.find(".lift").disabled = !this.data.drags[r];
    this.panels[r].handle.ariaLabel = `Ring of expert ${this.about.names[e]} in run ${"AB"[r]}; arrow keys move it`;
    if (this.now && this.look) this.paint();
  }

  /** Begin to move an expert; the run holds on meanwhile. */
  grab(r, e) {
    this.catchUp();
    const { slope, offset } = this.now.runs[r];
    this.edit = { run: r, expert: e, slope: [slope[2 * e], slope[2 * e + 1]], offset: offset[e], base: offset[e] };
    this.root.dataset.state = "held";
    return this.edit;
  }

  press(event, r) {
    if (this.data.view !== "geometry" || !this.data.drags[r] || !this.send || this.edit) return;
    const dots = this.panels[r].dots ?? [];
    const far = dots.map(([x, y]) => Math.hypot(x - event.offsetX, y - event.offsetY));
    const nearest = far.indexOf(Math.min(...far));
    if (!(far[nearest] < 26)) return;
    event.preventDefault();
    this.panels[r].canvas.setPointerCapture(event.pointerId);
    this.select(r, nearest);
    this.grab(r, nearest);
  }

  drag(event, r) {
    if (this.edit?.run !== r || !event.buttons) return;
    const { width, scale } = this.panels[r];
    const [left, bottom, right, top] = this.about.box;
    const x = left + (clamp(event.offsetX, 0, width) / width) * (right - left);
    const y = top - (clamp(event.offsetY, 0, width) / width) * (top - bottom);
    this.edit.slope = [x, y].map((v) => Math.fround(clamp(v / scale, -this.about.farthest, this.about.farthest)));
    this.redraw();
  }

  nudge(event, r) {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!way) return;
    event.preventDefault();
    const edit = this.edit ?? this.grab(r, this.expert);
    const far = (event.shiftKey ? 0.5 : 0.1) / this.panels[r].scale;
    edit.slope = edit.slope.map((s, i) => Math.fround(clamp(s + far * way[i], -this.about.farthest, this.about.farthest)));
    this.redraw();
  }

  /** Send the vector that was dragged; the run goes on from there. */
  commit() {
    if (!this.edit || this.edit.sent) return;
    this.edit.sent = true;
    const { run, expert, slope, offset } = this.edit;
    this.ask({ steps: 0, move: [run, expert, [...slope], offset] });
  }

  /** The server's picture after a move: it is compared with what was drawn under the finger. */
  confirm(answered, frames) {
    const [r] = answered.move;
    const frame = frames.at(-1);
    if (this.edit && frame && this.now.runs[r].maps) {
      const { who } = this.edited(this.now.runs[r]);
      const differ = who.reduce((n, e, i) => n + Number(e !== frame.runs[r].who[i]), 0);
      this.root.dataset.differ = String(differ);
    }
    this.edit = null;
    this.find(".lift").value = "0";
    this.queue = [];
    if (frame) this.show(frame);
    this.root.dataset.state = this.playing ? "playing" : "paused";
    if (this.playing) this.play();
    else this.catchUp();
  }
}

const planes = new WeakMap();

/** Called by Streamlit on mounting, on new data and on a change of theme. */
export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".moe-plane");
  if (!planes.has(root)) planes.set(root, new MovablePlane(root));
  const plane = planes.get(root);
  plane.take(data, setTriggerValue ?? null);
  return () => plane.destroy();
}
