addEventListener("keydown", (key) => {
  const step = { ArrowRight: 1, PageDown: 1, ArrowLeft: -1, PageUp: -1 }[key.key];
  if (!step || key.target.closest?.(".figure")) return;
  const slides = [...document.querySelectorAll("section")];
  const here = slides.findLastIndex((one) => one.getBoundingClientRect().top < innerHeight / 2);
  slides[Math.min(Math.max(here + step, 0), slides.length - 1)].scrollIntoView();
  key.preventDefault();
});
