/* The one clock of a replay, and what is known of each moment. Nothing here touches the page.

   Moments are milliseconds from the session's origin. The clock is the master: pictures follow it,
   it follows nobody. It runs only while `play` was asked for and nothing holds it. */
"use strict";
const CountersightPlayer = {};

CountersightPlayer.SHANGHAI_MS = 8 * 3600 * 1000;

CountersightPlayer.Clock = class {
  constructor(lengthMs, now = () => performance.now()) {
    this.lengthMs = lengthMs;
    this.rate = 1;
    this.playing = false;
    this.held = false;
    this._now = now;
    this._base = 0; // where the clock stood at _since
    this._since = now();
  }

  /* Return the moment. At its end the clock stands. */
  ms() {
    const gone = this.playing && !this.held ? (this._now() - this._since) * this.rate : 0;
    return Math.min(this.lengthMs, this._base + gone);
  }

  seek(ms) {
    this._base = Math.max(0, Math.min(this.lengthMs, ms));
    this._since = this._now();
  }

  /* Change playing, held or rate without moving. */
  change(values) {
    this.seek(this.ms());
    Object.assign(this, values);
  }
};

/* Return the piece that a moment lies in; at the very end it is the last one. */
CountersightPlayer.pieceAt = (pieces, ms) =>
  pieces.find((piece) => ms < piece.to_ms) || pieces[pieces.length - 1] || null;

/* Return where footage begins next from a moment on, null if there is none. */
CountersightPlayer.nextFootage = (pieces, ms) => {
  const next = pieces.find((piece) => piece.state === "footage" && piece.from_ms >= ms);
  return next ? next.from_ms : null;
};

/* Return until when footage goes on without a break from a moment inside of it. */
CountersightPlayer.footageUntil = (pieces, ms) => {
  let until = ms;
  for (const piece of pieces) {
    if (piece.state === "footage" && piece.from_ms <= until && piece.to_ms > until) {
      until = piece.to_ms;
    }
  }
  return until;
};

/* Return 11:04:05.2, the time of day in Asia/Shanghai. `origin` is microseconds. */
CountersightPlayer.timeOfDay = (origin, ms, decimals = 1) => {
  const whole = Math.floor(origin / 1000 + ms) + CountersightPlayer.SHANGHAI_MS;
  return new Date(whole).toISOString().slice(11, decimals ? 20 + decimals : 19);
};

/* Return an SVG or HTML element with attributes; `text` is its text, never markup. */
CountersightPlayer.element = (name, attributes = {}, text = "") => {
  const svg = "svg g rect line circle text title defs pattern path".split(" ").includes(name);
  const made = svg
    ? document.createElementNS("http://www.w3.org/2000/svg", name)
    : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  if (text) made.textContent = text;
  return made;
};
