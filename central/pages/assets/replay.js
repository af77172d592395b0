/* The replay of a session: reads replay.json, keeps all scenes on one clock, takes keys and clicks.

   While any scene with footage is not ready, the clock waits for it, with words after a second.
   `window.countersightReplay` is for tests and benchmarks: ready, clockMs(), times(), seek(ms). */
"use strict";
(() => {
  const P = CountersightPlayer;
  const SPEEDS = [0.5, 1, 2, 4, 8];
  const FRAME_MS = 40, SECOND_MS = 1000, JUMP_MS = 10000, WORDS_AFTER_MS = 1000, HASH_EVERY_MS = 5000;
  const LOCKED_OUT = [401, 403];
  const LEAD_MS = 2000; // a replay begins a little before the first step
  const root = document.querySelector("[data-replay]");
  if (!root) return;
  const texts = JSON.parse(document.getElementById("replay-texts").textContent);
  const part = (name) => root.querySelector(`[data-part="${name}"]`);

  class Player {
    constructor(replay) {
      this.replay = replay;
      this.clock = new P.Clock(replay.length_ms);
      this.scenes = replay.scenes.map((scene) => new P.Scene(scene, {
        clear: replay.clear, texts, onTrouble: () => this.trouble(),
      }));
      part("scenes").replaceChildren(...this.scenes.map((scene) => scene.figure));
      part("scenes").dataset.count = this.scenes.length;
      this.timeline = new P.Timeline(part("timeline"), replay, texts, {
        onSeek: (ms, scrubbing) => this.seek(ms, scrubbing), onStep: (n) => this.step(n),
      });
      this.scenes.forEach((scene) => this._enlarges(scene));
      this._outline();
      this.clock.seek(this._first());
      this.scenes.forEach((scene) => scene.load(this.clock.ms()));
      if (this.scenes.some((scene) => scene.playable !== (scene.facts.playlist !== null))) {
        say(texts.unplayable);
      }
      this.frame = requestAnimationFrame(() => this.tick());
    }

    destroy() {
      cancelAnimationFrame(this.frame);
      this.scenes.forEach((scene) => scene.destroy());
      this.timeline.destroy();
    }

    /* One frame: bring every scene to the clock, hold the clock while one is not ready. */
    tick() {
      const { clock } = this;
      const running = clock.playing && !document.hidden;
      const ms = clock.ms();
      const ready = this.scenes.map((scene) => scene.follow(ms, running, clock.rate));
      const held = !ready.every(Boolean) || document.hidden;
      if (held !== clock.held) clock.change({ held });
      if (held) this.scenes.forEach((scene) => running && scene.wait());
      this._wait(held && !document.hidden);
      if (clock.playing && ms >= clock.lengthMs) this.pause();
      this._show(ms);
      this.frame = requestAnimationFrame(() => this.tick());
    }

    play() {
      if (this.clock.ms() >= this.clock.lengthMs) this.clock.seek(0);
      this.clock.change({ playing: true });
      this._buttons();
    }

    pause() {
      this.clock.change({ playing: false });
      this._buttons();
      this._hash();
    }

    toggle() {
      if (this.clock.playing) this.pause(); else this.play();
    }

    seek(ms, scrubbing = false) {
      this.clock.seek(ms);
      if (!scrubbing) this._hash();
    }

    by(ms) {
      this.seek(this.clock.ms() + ms);
    }

    frames(count) {
      if (this.clock.playing) this.pause();
      this.by(count * FRAME_MS);
    }

    step(n) {
      const step = this.replay.steps.find((one) => one.n === n);
      if (step) this.seek(step.at_ms);
    }

    speed(rate) {
      this.clock.change({ rate });
      this._buttons();
    }

    faster(by) {
      const at = SPEEDS.indexOf(this.clock.rate) + by;
      this.speed(SPEEDS[Math.max(0, Math.min(SPEEDS.length - 1, at))]);
    }

    /* Tell what went wrong with any scene; nothing when all are well again. Whoever may no longer
       look gets no further: the clock stops too. */
    trouble() {
      const found = this.scenes.find((scene) => scene.trouble);
      if (found && LOCKED_OUT.includes(found.status)) this.pause();
      say(found ? found.trouble : "", found ? found.status : 0);
    }

    large(scene) {
      for (const one of this.scenes) {
        const large = one === scene && !one.figure.classList.contains("large");
        one.figure.classList.toggle("large", large);
        one.large.setAttribute("aria-pressed", String(large));
        one.large.textContent = large ? texts.shrink : texts.enlarge;
      }
      part("scenes").classList.toggle("one-large", part("scenes").querySelector(".large") !== null);
    }

    times() {
      return this.scenes.map((scene) => scene.ms());
    }

    get ready() {
      return this.scenes.every((scene) => scene.follow(this.clock.ms(), this.clock.playing, this.clock.rate));
    }

    _enlarges(scene) {
      scene.figure.addEventListener("dblclick", () => this.large(scene));
      scene.large.addEventListener("click", () => this.large(scene));
      scene.large.addEventListener("dblclick", (event) => event.stopPropagation());
    }

    /* Begin where the address says, else shortly before the first step. */
    _first() {
      const told = /^#t=(\d+(?:\.\d+)?)$/.exec(location.hash);
      if (told) return Number(told[1]) * 1000;
      return this.replay.steps.length ? this.replay.steps[0].at_ms - LEAD_MS : 0;
    }

    _hash() {
      this._hashed = performance.now();
      history.replaceState(history.state, "", `#t=${(this.clock.ms() / 1000).toFixed(1)}`);
    }

    _wait(waiting) {
      const now = performance.now();
      this._since = waiting ? this._since || now : 0;
      part("wait").hidden = !waiting || now - this._since < WORDS_AFTER_MS;
    }

    _show(ms) {
      const readout = P.timeOfDay(this.replay.origin, ms);
      if (this._readout !== readout) {
        part("clock").textContent = this._readout = readout;
        this.timeline.move(ms);
      }
      if (this.clock.playing && performance.now() - (this._hashed || 0) > HASH_EVERY_MS) this._hash();
    }

    _buttons() {
      const { playing, rate } = this.clock;
      part("play").setAttribute("aria-pressed", String(playing));
      part("play").textContent = playing ? texts.pause : texts.play;
      part("speed").value = String(rate);
    }

    /* Everything that the timeline draws, as lists. */
    _outline() {
      const lists = this.scenes.map(({ facts }) => {
        const list = P.element("ul");
        for (const piece of facts.pieces) {
          const from = P.timeOfDay(this.replay.origin, piece.from_ms, 0);
          const to = P.timeOfDay(this.replay.origin, piece.to_ms, 0);
          list.append(P.element("li", {}, `${from} – ${to} ${piece.text}`));
        }
        const box = P.element("div");
        box.append(P.element("h3", {}, `${facts.role_text} · ${facts.camera}`), list);
        return box;
      });
      part("outline").replaceChildren(...lists);
    }
  }

  let player = null;
  const keys = {
    " ": (p) => p.toggle(),
    k: (p) => p.toggle(),
    j: (p) => p.faster(-1),
    l: (p) => (p.clock.playing ? p.faster(1) : p.play()),
    ".": (p) => p.frames(1),
    ",": (p) => p.frames(-1),
    ArrowRight: (p, e) => (e.shiftKey ? p.by(JUMP_MS) : p.clock.playing ? p.by(SECOND_MS) : p.frames(1)),
    ArrowLeft: (p, e) => (e.shiftKey ? p.by(-JUMP_MS) : p.clock.playing ? p.by(-SECOND_MS) : p.frames(-1)),
    Home: (p) => p.seek(0),
    End: (p) => p.seek(p.clock.lengthMs),
    Escape: (p) => p.large(null),
  };

  document.addEventListener("keydown", (event) => {
    if (!player || event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented) return;
    const target = event.target;
    if (target.closest("input, select, textarea, [contenteditable]")) return;
    if (event.key === " " && target.closest("button, a, summary")) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const digit = /^[1-9]$/.test(key);
    if (!digit && !keys[key]) return;
    event.preventDefault();
    if (digit) player.step(Number(key)); else keys[key](player, event);
  });

  const act = {
    play: (p) => p.toggle(), back: (p) => p.by(-JUMP_MS), forward: (p) => p.by(JUMP_MS),
    previous: (p) => p.frames(-1), next: (p) => p.frames(1),
  };
  for (const [name, does] of Object.entries(act)) {
    part(name).addEventListener("click", () => player && does(player));
  }
  part("speed").addEventListener("change", (event) => player?.speed(Number(event.target.value)));
  document.addEventListener("click", (event) => {
    const step = event.target.closest("[data-seek-step]");
    if (!step || !player) return;
    event.preventDefault();
    player.step(Number(step.dataset.seekStep));
  });

  /* Show words about what went wrong and what to do; "" takes them away. */
  function say(words, status = 0) {
    const note = part("note");
    note.hidden = !words;
    note.querySelector("span").textContent = words;
    const link = note.querySelector("a");
    link.hidden = !status;
    link.textContent = status === 401 ? texts.sign_in : texts.reload;
    const here = location.pathname + location.search;
    link.href = status === 401 ? `/sign-in?next=${encodeURIComponent(here)}` : here;
  }

  function show(replay) {
    // The origin may lie elsewhere now, so the moment is kept, not its distance from the origin.
    const before = player && { at: player.replay.origin / 1000 + player.clock.ms(), large: player.scenes.findIndex((s) => s.figure.classList.contains("large")) };
    player?.destroy();
    player = new Player(replay);
    if (before) player.seek(before.at - replay.origin / 1000);
    if (before && before.large >= 0) player.large(player.scenes[before.large]);
    player._buttons();
  }

  /* Ask what there is to play now. */
  async function renew() {
    let answer;
    try {
      answer = await fetch(root.dataset.replay, { headers: { Accept: "application/json" } });
    } catch {
      say(texts.offline_page);
      return;
    }
    if (!answer.ok || !(answer.headers.get("content-type") || "").includes("json")) {
      say(texts[`status_${answer.status}`] || texts.failed, answer.status);
      return;
    }
    say("");
    show(await answer.json());
  }

  /* Footage that came meanwhile, or went: draw and load anew, at the same moment. */
  document.body.addEventListener("footage-complete", renew);
  /* What htmx fetches is silent about a lost connection; the note says it, until one comes through. */
  document.body.addEventListener("htmx:sendError", () => say(texts.offline_page));
  document.body.addEventListener("htmx:afterRequest", (event) => {
    const told = part("note").querySelector("span").textContent;
    if (event.detail.successful && told === texts.offline_page) say("");
  });
  /* A form that leads back to this page leads back to this moment. */
  document.addEventListener("submit", ({ target }) => {
    if (!player || !target.matches("[data-keeps-moment]")) return;
    player.pause();
    target.action = target.getAttribute("action") + location.hash;
  });
  window.addEventListener("hashchange", () => player && player.clock.seek(player._first()));
  window.countersightReplay = {
    get ready() { return player !== null && player.ready; },
    clockMs: () => (player ? player.clock.ms() : null),
    times: () => (player ? player.times() : []),
    seek: (ms) => player.seek(ms),
  };
  const now = document.getElementById("replay-now");
  if (now) show(JSON.parse(now.textContent)); else renew();
})();
