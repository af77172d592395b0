// The counter's page: what htmx leaves to us. Refusals come in beside what was typed, the live
// picture shows while an attempt runs, the scanner never submits, two tones tell yes from no.
"use strict";

const problem = () => document.getElementById("problem");

// -- refusals ------------------------------------------------------------------------------------

function clearFaults() {
  problem().replaceChildren();
  for (const place of document.querySelectorAll(".field .error")) {
    place.hidden = true;
    place.textContent = "";
  }
  for (const input of document.querySelectorAll("[aria-invalid]")) {
    input.removeAttribute("aria-invalid");
    input.removeAttribute("aria-describedby");
  }
}

// Say each fault at its own field too, and go to the first.
function placeFaults() {
  let first = null;
  document.querySelectorAll("#problem [data-field]").forEach((fault, n) => {
    const name = fault.dataset.field;
    const input = document.querySelector(`[name="${CSS.escape(name)}"], [name="${CSS.escape(name)}.number"]`);
    const place = input && input.closest(".field") && input.closest(".field").querySelector(".error");
    if (!place) return;
    place.id = `fault-${n}`;
    place.textContent = fault.dataset.rule;
    place.hidden = false;
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-describedby", place.id);
    first = first || input;
  });
  problem().scrollIntoView({ block: "nearest" });
  (first || problem()).focus({ preventScroll: first === null });
}

document.addEventListener("htmx:beforeSwap", (event) => {
  const { xhr, requestConfig } = event.detail;
  if (requestConfig.elt.matches(".strip") && xhr.status >= 400 && xhr.status !== 401) {
    event.detail.shouldSwap = false; // said in the strip itself, below
    return;
  }
  // A refusal is words that the server wrote for this page.
  if (xhr.getResponseHeader("HX-Retarget")) {
    event.detail.shouldSwap = true;
    event.detail.isError = false;
  }
});

document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target !== problem()) return;
  stopWatching();
  if (event.detail.requestConfig.verb === "post") placeFaults();
  soundOf(problem());
});

document.addEventListener("htmx:sendError", (event) => {
  if (event.detail.requestConfig.verb !== "post") return;
  stopWatching();
  problem().replaceChildren(document.getElementById("unreachable").content.cloneNode(true));
  problem().focus();
});

// -- the condition -------------------------------------------------------------------------------

// Marks that nobody renews are not shown as if they held: it is said until the node answers again.
document.addEventListener("htmx:afterRequest", (event) => {
  const strip = event.detail.elt;
  if (!strip.matches(".strip")) return;
  const said = strip.querySelector(".unknown");
  if (event.detail.successful) said?.remove();
  else if (!said) strip.append(document.getElementById("unknown").content.cloneNode(true));
});

// -- the live picture ----------------------------------------------------------------------------

function startWatching() {
  const place = document.getElementById("watch");
  const watching = document.getElementById("watching");
  if (!place || !watching) return;
  place.hidden = false;
  place.replaceChildren(watching.content.cloneNode(true));
  const picture = place.querySelector("img");
  picture.src = picture.dataset.src;
  htmx.process(place);
  place.scrollIntoView({ block: "nearest" });
}

function stopWatching() {
  const place = document.getElementById("watch");
  if (place && place.querySelector(".live")) place.replaceChildren();
}

document.addEventListener("htmx:beforeRequest", (event) => {
  if (event.detail.requestConfig.verb !== "post") return;
  clearFaults();
  if (event.target.matches("form[data-watch]")) startWatching();
});

// -- the basket ----------------------------------------------------------------------------------

function countCodes(area) {
  const codes = area.value.split(/\s+/).filter(Boolean);
  const place = area.closest(".field").querySelector("[data-count]");
  place.textContent = codes.length ? `· ${codes.length}` : "";
}

function renumber(form) {
  form.querySelectorAll("[data-row]").forEach((row, n) => {
    row.querySelector("[data-row-number]").textContent = n + 1;
    for (const input of row.querySelectorAll("[name]")) {
      input.name = input.name.replace(/^lines\.\d+\./, `lines.${n}.`);
    }
  });
}

document.addEventListener("click", (event) => {
  const form = event.target.closest("form[data-basket]");
  if (!form) return;
  const rows = form.querySelector("[data-rows]");
  if (event.target.matches("[data-add]")) {
    rows.append(form.querySelector("template[data-blank]").content.cloneNode(true));
    renumber(form);
    rows.lastElementChild.querySelector("input").focus();
  } else if (event.target.matches("[data-remove]")) {
    event.target.closest("[data-row]").remove();
    if (!rows.children.length) rows.append(form.querySelector("template[data-blank]").content.cloneNode(true));
    renumber(form);
    rows.lastElementChild.querySelector("input").focus();
  }
});

document.addEventListener("keydown", (event) => {
  // A scanner ends with Enter: within the basket that goes on to the next field, never submits.
  if (event.key !== "Enter" || !event.target.matches("[data-no-submit]")) return;
  event.preventDefault();
  const fields = [...event.target.closest("[data-row]").querySelectorAll("input:not([type=checkbox]), textarea")];
  fields[fields.indexOf(event.target) + 1].focus();
});

document.addEventListener("input", (event) => {
  if (event.target.matches("[data-codes]")) countCodes(event.target);
});

// -- sound ---------------------------------------------------------------------------------------

const TONES = { yes: [660, 990], no: [330, 220] };
const soundOn = () => localStorage.getItem("sound") !== "off";

function play(kind) {
  if (!soundOn()) return;
  const audio = new AudioContext();
  TONES[kind].forEach((hertz, n) => {
    const tone = audio.createOscillator();
    const volume = audio.createGain();
    const begins = audio.currentTime + n * 0.16;
    tone.frequency.value = hertz;
    volume.gain.setValueAtTime(0.12, begins);
    volume.gain.exponentialRampToValueAtTime(0.001, begins + 0.15);
    tone.connect(volume).connect(audio.destination);
    tone.start(begins);
    tone.stop(begins + 0.15);
  });
  setTimeout(() => audio.close(), 800);
}

// A result sounds once, not again at every reload of its page.
function soundOf(place) {
  const result = place.querySelector("[data-sound]");
  if (!result) return;
  const id = result.dataset.soundId;
  if (id && sessionStorage.getItem("sounded") === id) return;
  if (id) sessionStorage.setItem("sounded", id);
  play(result.dataset.sound);
}

function showSwitch() {
  for (const button of document.querySelectorAll("[data-sound-switch]")) {
    button.textContent = soundOn() ? button.dataset.on : button.dataset.off;
    button.setAttribute("aria-pressed", String(soundOn()));
  }
}

document.addEventListener("click", (event) => {
  if (event.target.matches("[data-print]")) window.print();
  if (!event.target.matches("[data-sound-switch]")) return;
  localStorage.setItem("sound", soundOn() ? "off" : "on");
  showSwitch();
});

document.addEventListener("DOMContentLoaded", () => {
  showSwitch();
  soundOf(document);
  document.querySelectorAll("[data-codes]").forEach(countCodes);
  const first = document.querySelector("form[data-basket] input[name]");
  if (first) first.focus({ preventScroll: true });
});
