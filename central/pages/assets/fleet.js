/* A list that renews itself says so when it no longer does: what is shown is then old, not good. */
(function () {
  "use strict";
  const stopped = document.getElementById("fleet-stopped");
  if (!stopped) return;
  function halt() {
    const renewed = document.getElementById("fleet-renewed");
    stopped.querySelector("[data-since]").textContent = renewed ? renewed.textContent : "";
    stopped.hidden = false;
  }
  document.body.addEventListener("htmx:sendError", halt);
  document.body.addEventListener("htmx:timeout", halt);
  document.body.addEventListener("htmx:responseError", halt);
  document.body.addEventListener("htmx:afterRequest", function (event) {
    if (event.detail.successful) stopped.hidden = true;
  });
})();
