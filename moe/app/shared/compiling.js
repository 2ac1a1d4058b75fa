// Takes the note away once the server's kernels are ready; see moe/app/shared/compiling.py.

const EVERY = 2000; // milliseconds
const PATIENCE = 150; // questions: a proxy may keep the answer from us

export default function ({ parentElement }) {
  const note = parentElement.querySelector(".moe-compiling");
  // A page's address is one word behind the root of the site.
  const health = new URL("healthz", location.href.replace(/[?#].*$/, "").replace(/[^/]*$/, ""));
  let asked = 0;
  const timer = setInterval(async () => {
    let ready = (asked += 1) >= PATIENCE;
    try {
      ready ||= (await (await fetch(health)).json()).kernels === "ready";
    } catch { /* the server may be on its way back: ask again */ }
    if (!ready) return;
    clearInterval(timer);
    note?.remove();
  }, EVERY);
  return () => clearInterval(timer);
}
