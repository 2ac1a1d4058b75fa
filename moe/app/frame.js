// What the frame does in the browser. A script runs anew when it differs: this page is "$page".

// A phone's menu covers the page, and Streamlit leaves it open when another page was chosen.
if (matchMedia("(max-width: 768px)").matches) document.querySelector(
  '[data-testid="stSidebar"] button[aria-controls="stSidebar"][aria-expanded="true"]'
)?.click();

if (!window.moeFrame) {
  // The menu's groups stand in a list of which they are no items, which screen readers cannot read.
  const plain = () => document.querySelectorAll(
    '[data-testid="stSidebarNavItems"]:is(:not([role]), :has(li:not([role])))'
  ).forEach((list) => [list, ...list.querySelectorAll("li")].forEach(
    (node) => node.setAttribute("role", "presentation")));
  window.moeFrame = new MutationObserver(plain);
  window.moeFrame.observe(document.body, { childList: true, subtree: true });
  plain();

  // Meanings of words: kept inside of the page, and closed with Escape.
  const place = ({ target }) => {
    const word = target.closest?.(".moe-word");
    if (!word) return;
    const wide = Math.min(288, innerWidth - 32); // as in frame.css
    const over = word.getBoundingClientRect().left + wide + 16 - document.documentElement.clientWidth;
    word.style.setProperty("--over", `$${Math.max(over, 0)}px`);
  };
  const reopen = ({ target }) => target.closest?.(".moe-word")?.classList.remove("moe-closed");
  for (const type of ["pointerover", "focusin"]) document.addEventListener(type, place);
  for (const type of ["pointerout", "focusout"]) document.addEventListener(type, reopen);
  document.addEventListener("keydown", ({ key }) => {
    if (key === "Escape") document.querySelectorAll(".moe-word:is(:hover, :focus)")
      .forEach((word) => word.classList.add("moe-closed"));
  });
}
