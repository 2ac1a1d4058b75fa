// Tells charts and words where a slider is while it is dragged; see moe/app/shared/finger.py.

const named = (name) => document.querySelectorAll(name);

class Finger {
  constructor() {
    this.key = null; // of the slider that was touched last
    this.gone = new AbortController();
    // The value of a dragged slider changes with the style of its handle.
    this.changes = new MutationObserver(() => this.moved(this.watched));
    for (const kind of ["pointerdown", "focusin", "keydown", "input"]) {
      const options = { capture: true, passive: true, signal: this.gone.signal };
      document.addEventListener(kind, (event) => this.touched(event), options);
    }
  }

  load(data) {
    this.data = data;
    // Another control may have moved the slider, and Streamlit draws both in one go.
    this.later();
  }

  touched(event) {
    const key = Object.keys(this.data.sliders).find((one) => this.holder(event.target, one));
    if (!key) return;
    this.watched = key;
    this.changes.disconnect();
    this.changes.observe(this.holder(event.target, key), {
      subtree: true, attributes: true, childList: true, characterData: true,
    });
    if (event.type === "input") this.moved(key);
  }

  holder(target, key) { return target.closest?.(`.st-key-${key}`); }

  moved(key) {
    this.key = key;
    this.later();
  }

  /** Show the position with the next picture, once however often the slider has moved. */
  later() {
    cancelAnimationFrame(this.request);
    this.request = requestAnimationFrame(() => this.show());
  }

  show() {
    const inputs = [...named(`.st-key-${this.key} input[type="range"]`)];
    const slider = this.data.sliders[this.key];
    this.write(slider && inputs.length ? this.nearest(slider, inputs) : "");
  }

  /** The name of the position that is nearest to where the inputs are. */
  nearest({ names, places }, inputs) {
    const apart = (place) => place.reduce((sum, v, i) => sum + Math.abs(v - inputs[i]?.value), 0);
    const all = places.map(apart);
    return names[all.indexOf(Math.min(...all))] ?? "";
  }

  write(at) {
    for (const input of named(".moe-finger")) {
      if (input.value === at) continue;
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
    this.changes.disconnect();
    this.gone.abort();
    this.write("");
  }
}

const fingers = new WeakMap();

/** Called by Streamlit on mounting, on new data and on a change of theme. */
export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".moe-unseen");
  if (!fingers.has(root)) fingers.set(root, new Finger());
  const finger = fingers.get(root);
  finger.load(data);
  return () => finger.destroy();
}
