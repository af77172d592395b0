// Moving through a list by J, K or the arrows; Enter opens, as for any link. Nothing else: the
// list works without this file.
(() => {
  "use strict";
  const links = () => [...document.querySelectorAll("[data-keys=rows] a.open")];
  const STEPS = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 };

  document.addEventListener("keydown", (event) => {
    const step = STEPS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    const typing = event.target.closest("input, select, textarea, [contenteditable]");
    if (!step || typing || event.ctrlKey || event.altKey || event.metaKey) return;
    const all = links();
    if (all.length === 0) return;
    const here = all.indexOf(document.activeElement);
    const next = here < 0 ? (step > 0 ? 0 : all.length - 1) : here + step;
    if (all[next]) {
      all[next].focus();
      all[next].closest("tr").scrollIntoView({ block: "nearest" });
      event.preventDefault();
    }
  });
})();
