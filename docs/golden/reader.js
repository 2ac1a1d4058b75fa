// Computes what a file of `moe golden` holds, from its weights: node reader.js FILE.json ...
// Gate, experts and balance losses of every family; a difference has the name of what is tested.
// Ends with 0 if all agree, 1 if not, and 2 for a file that is not as `moe golden` writes it.
const { readFileSync } = require("node:fs");
const SCHEMA = "moescope-golden-1";
const range = (n) => [...Array(n).keys()];
const sum = (values) => values.reduce((total, value) => total + value, 0);
const sigmoid = (v) => 1 / (1 + Math.exp(-v));
const softplus = (v) => Math.max(v, 0) + Math.log1p(Math.exp(-Math.abs(v)));
const softmax = (values) => {
  const powers = values.map((v) => Math.exp(v - Math.max(...values))), total = sum(powers);
  return powers.map((v) => v / total);
};
const score = (d, logits) => (d.score === "softmax" ? softmax(logits)
  : logits.map(d.score === "sigmoid" ? sigmoid : (v) => Math.sqrt(softplus(v))));
// Places of the k largest values, best first; of equal ones the lower comes first.
const best = (values, k) => range(values.length).sort((a, b) => values[b] - values[a] || a - b).slice(0, k);
// A row times the matrix number `at` of a flat array, plus its bias if there is one.
const times = (row, matrix, width, at = 0, bias = null) => range(width).map((j) =>
  sum(row.map((v, i) => v * matrix[(at * row.length + i) * width + j])) + (bias ? bias[at * width + j] : 0));

function gate(d, logits) {
  if (d.router === "sparsemixer") return sparsemixer(d, logits);
  const scores = score(d, logits);
  let select = scores.map((s, e) => s + (d.select_bias_E ? d.select_bias_E[e] : 0));
  if (d.topk_group < d.n_group) {
    const size = d.n_experts / d.n_group;
    const worth = (members) => sum(best(members, d.group_score_of).map((i) => members[i]));
    const reach = best(range(d.n_group).map((g) => worth(select.slice(g * size, (g + 1) * size))), d.topk_group);
    select = select.map((s, e) => (reach.includes(Math.floor(e / size)) ? s : -Infinity));
  }
  const experts = best(select, d.k);
  let weights = experts.map((e) => scores[e]);
  const total = d.renormalize ? Math.max(sum(weights) + d.norm_eps, d.norm_min) : 1;
  if (d.softmax_order === "after") weights = softmax(experts.map((e) => logits[e]));
  else weights = weights.map((w) => w / total);
  return [experts, weights.map((w) => w * d.scale)];
}

function sparsemixer(d, logits) { // PhiMoE: each choice weighs by a softmax over those close to it
  const experts = [], weights = [];
  for (const turn of [0, 1]) {
    const open = logits.map((v, e) => (experts.includes(e) ? -Infinity : v)), top = Math.max(...open);
    const far = logits.map((v) => (top - v) / Math.max(Math.abs(v), top) > 2 * d.jitter_eps);
    experts.push(best(open, 1)[0]);
    weights.push(softmax(open.map((v, e) => (far[e] ? -Infinity : v)))[experts[turn]]);
  }
  return [experts, weights];
}

function network(d, x, up, down, width, at = 0, b_up = null, b_down = null) {
  const h = times(x, up, d.gated ? 2 * width : width, at, b_up), limit = d.limit ?? Infinity;
  const inner = h.slice(0, width).map((v, f) => {
    if (!d.gated) return Math.max(v, 0) ** 2;
    const g = Math.min(v, limit), u = Math.min(Math.max(h[f + width], -limit), limit);
    return g * sigmoid(d.alpha * g) * (u + d.plus);
  });
  return times(inner, down, x.length, at, b_down);
}

function layer(d, x, experts, weights) {
  const parts = experts.map((e, n) => {
    const [before, after] = d.weigh_input ? [weights[n], 1] : [1, weights[n]], input = x.map((v) => before * v);
    const out = e >= d.n_experts - d.n_identity ? input : network(
      d, input, d.w_gate_up_ED2F ?? d.w_up_EDF, d.w_down_EFD, d.d_expert, e, d.b_gate_up_E2F, d.b_down_ED);
    return out.map((v) => after * v);
  });
  if (d.d_shared) {
    const open = d.shared_gate_D1 ? sigmoid(times(x, d.shared_gate_D1, 1)[0]) : 1;
    const up = d.shared_w_gate_up_D2F ?? d.shared_w_up_DF;
    parts.push(network(d, x, up, d.shared_w_down_FD, d.d_shared).map((v) => open * v));
  }
  return x.map((_, i) => sum(parts.map((part) => part[i])));
}

function balanceLoss(d, layers, made) { // the mean over layers of E sum f P, where f sums to one
  const ofLayer = (tokens) => d.n_experts * sum(range(d.n_experts).map((e) => {
    const f = sum(tokens.map((t) => made[t].experts.includes(e))) / (d.k * tokens.length);
    return f * sum(tokens.map((t) => made[t].scores[e] / sum(made[t].scores))) / tokens.length;
  }));
  return sum(layers.map(ofLayer)) / layers.length;
}

function failures(d) {
  const failed = [], row = (name, t) => {
    const width = d[name].length / d.tokens;
    return d[name].slice(t * width, (t + 1) * width).map((v) => v ?? NaN);
  };
  const compare = (name, what, got, wanted) => {
    const close = d.tolerance * Math.max(...wanted.map(Math.abs));
    const same = (v, i) => (Number.isNaN(wanted[i]) ? Number.isNaN(v) : Math.abs(v - wanted[i]) <= close);
    if (got.length !== wanted.length || !got.every(same)) failed.push(`${name}: ${what}`);
  };
  const made = d.names.map((name, t) => {
    const x = row("x_ND", t), logits = times(x, d.gate_DE, d.n_experts, 0, d.gate_bias_E);
    const [experts, weights] = gate(d, logits), wanted = row("weights_NK", t);
    compare(name, "logits", logits, row("logits_NE", t));
    if (!wanted.some(Number.isNaN)) compare(name, "choices", experts, row("choices_NK", t));
    compare(name, "weights", weights, wanted);
    compare(name, "result", layer(d, x, experts, weights), row("y_ND", t));
    return { experts, scores: score(d, logits) };
  });
  for (const one of d.losses) compare(one.name, "loss", [balanceLoss(d, one.layers, made)], [one.value]);
  return failed;
}

function check(d) { // sizes are those of the arrays
  const must = (holds, words) => { if (!holds) throw new Error(words); };
  must(d.schema === SCHEMA, `schema: got ${d.schema}, allowed is ${SCHEMA}`);
  const { tokens, d_model: D, d_expert: F, n_experts: E, k } = d, computing = E - d.n_identity;
  must(E % d.n_group === 0, `n_group: got ${d.n_group}, allowed is what divides ${E}`);
  const lengths = {
    names: tokens, x_ND: tokens * D, logits_NE: tokens * E, choices_NK: tokens * k, weights_NK: tokens * k,
    y_ND: tokens * D, gate_DE: D * E, w_down_EFD: computing * F * D,
    ...(d.gated ? { w_gate_up_ED2F: computing * D * 2 * F } : { w_up_EDF: computing * D * F }),
  };
  for (const [name, length] of Object.entries(lengths)) {
    must(length > 0 && d[name]?.length === length, `${name}: got ${d[name]?.length} entries, allowed are ${length}`);
  }
}

if (process.argv.length < 3) {
  console.error("usage: node reader.js FILE.json ...");
  process.exitCode = 2;
}
for (const file of process.argv.slice(2)) {
  try {
    const document = JSON.parse(readFileSync(file, "utf8"));
    check(document);
    const failed = failures(document);
    failed.forEach((line) => console.log(`${document.family}: ${line}`));
    if (failed.length) process.exitCode ??= 1;
    else console.log(`${document.family}: ${document.tokens} tokens and ${document.losses.length} losses agree`);
  } catch (error) {
    console.error(`${file}: ${error.message.split("\n")[0]}`);
    process.exitCode = 2;
  }
}
