// Meanings of words: kept inside of the page, and closed with Escape.

const WIDTH = 288; // pixels at most, as in moe/app/frame.css
const wordAt = ({ target }) => target.closest?.(".moe-word");

function place(event) {
  const word = wordAt(event), page = document.documentElement.clientWidth;
  const wide = Math.min(WIDTH, page - 32);
  const over = word ? word.getBoundingClientRect().left + wide + 16 - page : 0;
  word?.style.setProperty("--over", `${Math.max(over, 0)}px`);
}

const reopen = (event) => wordAt(event)?.classList.remove("moe-closed");

function close({ key }) {
  if (key !== "Escape") return;
  for (const word of document.querySelectorAll(".moe-word:is(:hover, :focus)"))
    word.classList.add("moe-closed");
}

/** Called by Streamlit on mounting; words may come and go meanwhile. */
export default function () {
  const gone = new AbortController(), { signal } = gone;
  for (const type of ["pointerover", "focusin"]) document.addEventListener(type, place, { signal });
  for (const type of ["pointerout", "focusout"]) document.addEventListener(type, reopen, { signal });
  document.addEventListener("keydown", close, { signal });
  return () => gone.abort();
}
