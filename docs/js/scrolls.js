/* What scrolls sideways can be reached by the keyboard; what does not is no stop on its way. */
(() => {
  const names = { ".figure": "Figure", ".formula": "Formula", ".md-typeset__scrollwrap": "Table" };
  const update = () => {
    for (const [selector, name] of Object.entries(names)) {
      for (const box of document.querySelectorAll(selector)) {
        if (box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight) {
          box.tabIndex = 0;
          box.setAttribute("role", "group");
          box.setAttribute("aria-label", `${name}, wider than the page`);
        } else {
          for (const one of ["tabindex", "role", "aria-label"]) box.removeAttribute(one);
        }
      }
    }
  };
  // The theme puts tables into their boxes when the page has been read, before this is called.
  document.addEventListener("DOMContentLoaded", update);
  window.addEventListener("load", update); // pictures have their sizes now
  window.addEventListener("resize", update);
})();
