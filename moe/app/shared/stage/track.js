// The records of a run in the browser: what moe/app/shared/stage/packing.py packed.

const stageNumbers = (b64, Kind) =>
  new Kind(Uint8Array.from(atob(b64), (sign) => sign.charCodeAt()).buffer);
const between = (value, low, high) => Math.min(Math.max(value, low), high);
const eased = (t) => t * t * (3 - 2 * t);

/** Printable form of a byte, as `moe.data.token_text` has it. */
function letterOf(byte) {
  const shown = { 32: "␣", 10: "⏎", 9: "⇥", 13: "⏎" }[byte];
  return shown ?? (byte > 32 && byte < 127 ? String.fromCharCode(byte) : "·");
}

/** A colour of '#RRGGBB' between two. */
function mixed(one, other, t) {
  const part = (hex, i) => parseInt(hex.slice(i, i + 2), 16);
  const mix = (i) => Math.round(part(one, i) + (part(other, i) - part(one, i)) * t);
  return `rgb(${mix(1)}, ${mix(3)}, ${mix(5)})`;
}

/** All records of a run so far, one after another. */
class Track {
  constructor(experts) {
    this.experts = experts;
    this.cut(0);
  }

  /** Forget the records from a step on. */
  cut(n) {
    this.n = Math.min(n, this.n ?? 0);
    for (const name of ["share", "loss", "mean", "vio", "dropped", "idle"])
      this[name] = (this[name] ?? []).slice(0, this.n);
    this.samples = (this.samples ?? []).filter((sample) => sample.at < this.n);
    this.words = (this.words ?? []).filter(([step]) => step < this.n);
  }

  /** Take packed records; what was there from their first step on is forgotten. */
  append(packet) {
    this.cut(packet.from);
    const E = packet.experts, share = stageNumbers(packet.share, Uint16Array);
    for (let i = 0; i < packet.n; i++)
      this.share.push(Float32Array.from(share.subarray(i * E, (i + 1) * E), (v) => v / 65535));
    for (const [name, Kind] of [["loss", Float32Array], ["mean", Float32Array],
      ["vio", Float32Array], ["dropped", Float32Array], ["idle", Uint8Array]])
      this[name].push(...stageNumbers(packet[name], Kind));
    for (const sample of packet.samples) {
      const one = { at: sample.at, inputs: stageNumbers(sample.inputs, Uint8Array), to: [] };
      one.to = Array.from(one.inputs, () => []);
      const [token, expert, weight, kept] = ["token", "expert", "weight", "kept"]
        .map((name) => stageNumbers(sample[name], Uint8Array));
      token.forEach((t, a) => one.to[t]
        ?.push({ e: expert[a], weight: weight[a] / 255, kept: Boolean(kept[a]) }));
      this.samples.push(one);
    }
    this.words.push(...packet.words);
    this.n = packet.from + packet.n;
  }

  /** The latest sample, and the latest sentence, whose step has come. */
  sampleAt(step) { return this.samples.findLast(({ at }) => at <= step) ?? null; }

  wordsAt(step) { return this.words.findLast(([at]) => at <= step)?.[1] ?? ""; }

  /** Shares of the work at a position between two steps; null before the first record. */
  shareAt(position) {
    if (!this.n) return null;
    const i = between(Math.floor(position), 0, this.n - 1), t = between(position - i, 0, 1);
    const [now, next] = [this.share[i], this.share[Math.min(i + 1, this.n - 1)]];
    return now.map((value, e) => value + (next[e] - value) * t);
  }
}
