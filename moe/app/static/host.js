// Fills the places of a static page: components with their own scripts, charts with Vega. It
// stands in for the server where there are recorded answers, and for nothing else.

const NOT_RECORDED = "This is a recording of the runs above. The live app answers every control.";

/** Records of some steps of a run of Play, cut out of a recording. */
function part(records, from, n) {
  const at = from - records.from;
  const rows = Math.min(n, records.n - at);
  if (at < 0 || rows <= 0) return null;
  const cut = (text, size) => {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).slice(at * size, (at + rows) * size);
    return btoa(String.fromCharCode(...bytes));
  };
  const sizes = { share: 2 * records.experts, loss: 4, mean: 4, vio: 4, dropped: 4, idle: 1 };
  const within = (step) => step >= from && step < from + rows;
  return {
    ...records, from, n: rows,
    ...Object.fromEntries(Object.entries(sizes).map(([name, size]) => [name, cut(records[name], size)])),
    samples: records.samples.filter(({ at: step }) => within(step)),
    words: records.words.filter(([step]) => within(step)),
  };
}

/** Answer a wish of Play's component. A repair that comes in between two recorded ones waits for
 * the next of them, and until then the run goes on as it was. */
function answer(wish, recorded) {
  const { number, run, from, n } = wish;
  let found = recorded.runs[run];
  const repair = new RegExp(`^${recorded.base}_(\\d+)bdeepseek$`).exec(run);
  if (!found && repair) {
    const at = recorded.repairs.find((step) => step >= Number(repair[1]));
    const before = at === undefined || from < at;
    found = recorded.runs[before ? recorded.base : `${recorded.base}_${at}bdeepseek`];
    if (found && before) {
      const records = part(found.records, from, at === undefined ? n : Math.min(n, at - from));
      return records ? { number, experts: found.experts, records, rate: 25 } : { number, problem: NOT_RECORDED };
    }
  }
  if (!found) return { number, problem: NOT_RECORDED };
  const records = part(found.records, from, n);
  return records ? { number, experts: found.experts, records, rate: 25 }
    : { number, problem: "The recording ends here." };
}

/** Keep a value in the page's address, so that a reload or a link opens the same. */
function keep(name, value) {
  const query = new URLSearchParams(location.search);
  if (value === "" || value === null) query.delete(name);
  else query.set(name, value);
  const text = query.toString();
  history.replaceState(null, "", text ? `?${text}` : location.pathname);
}

/** What the address says of a run of Play, or of a guess, put into a component's first data. */
function fromAddress(content, recorded) {
  const query = new URLSearchParams(location.search);
  if (recorded && query.has("run")) {
    const [, run, , at] = /^(.*?)(_(\d+))?$/.exec(query.get("run"));
    if (answer({ number: 0, run, from: 0, n: 1 }, recorded).records) {
      content.data = { ...content.data, run, at: Number(at ?? 0) };
    }
  }
  if (content.data && "guess" in content.data) content.data.guess = query.get("guess") ?? "";
}

async function component(place, content, recorded) {
  const base = `../assets/${content.component}`;
  const [files, module] = await Promise.all([
    fetch(`${base}.json`).then((one) => one.json()), import(`${base}.js`),
  ]);
  const root = content.isolated ? place.attachShadow({ mode: "open" }) : place;
  const holder = document.createElement("div");
  holder.innerHTML = `<style>${files.css}</style>${files.html}`;
  root.append(holder);
  holder.addEventListener("click", (event) => { // the app has its pages one level higher
    const link = event.target.closest?.("a")?.getAttribute("href") ?? "";
    if (!/^[a-z-]+(\?|$)/.test(link)) return;
    event.preventDefault();
    location.href = `../${link.replace(/(\?|$)/, "/$1")}`;
  });
  fromAddress(content, recorded);
  const setTriggerValue = recorded && ((name, wish) => setTimeout(() => {
    if (wish.keep !== null && wish.keep !== undefined) {
      keep("run", wish.keep ? `${wish.run}_${wish.keep}` : wish.run);
    }
    call(answer(wish, recorded));
  }));
  const call = (data) => module.default({
    data, parentElement: root, setStateValue: keep, setTriggerValue,
  });
  call(content.data);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    if (!recorded) call(content.data);
  });
}

async function chart(place, content, inks) {
  const draw = async () => {
    let text = JSON.stringify(content.chart);
    if (matchMedia("(prefers-color-scheme: dark)").matches) {
      for (const [light, dark] of Object.entries(inks)) text = text.replaceAll(new RegExp(light, "gi"), dark);
    }
    const spec = JSON.parse(text);
    const one = !("vconcat" in spec || "hconcat" in spec);
    if (one) spec.width = "container";
    spec.autosize ??= { type: one ? "fit" : "pad", contains: "padding" };
    spec.background = "transparent";
    spec.config = { ...spec.config, view: { stroke: "transparent" }, font: "system-ui, sans-serif" };
    await window.vegaEmbed(place, spec, { actions: false, renderer: "svg", tooltip: true });
    place.setAttribute("role", "img");
    place.setAttribute("aria-label", content.alt || "Chart, described in words above");
  };
  await draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}

/** What a slider stands at, beside its name. */
function sliders() {
  for (const slider of document.querySelectorAll(".slider")) {
    const options = JSON.parse(slider.dataset.options);
    const show = () => {
      const values = [...slider.querySelectorAll("input")].map((input) => options[input.value] ?? input.value);
      slider.querySelector("output").textContent = values.join(" to ");
    };
    slider.addEventListener("input", show);
  }
}

const { places, inks } = await fetch("data.json").then((one) => one.json());
const recorded = document.body.dataset.address === "play"
  ? await fetch("recorded.json").then((one) => one.json()) : null;
sliders();
const components = [], charts = [];
for (const place of document.querySelectorAll("[data-place]")) {
  const content = places[place.dataset.place];
  if (content.component) components.push([place, content]);
  else charts.push([place, content]);
}
for (const [place, content] of charts) await chart(place, content, inks); // before what moves them
for (const [place, content] of components) {
  await component(place, content, content.component === "moe_play" ? recorded : null);
}
document.body.dataset.state = "ready";
