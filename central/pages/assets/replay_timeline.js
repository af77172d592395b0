/* The timeline: what is there of each scene, the steps, and where the clock stands; click to seek.

   One SVG, drawn anew when its width changes. Everything it shows is also said in words: each piece
   has a title, the steps are buttons, the playhead is a slider, and the outline below lists all. */
"use strict";
(() => {
  const P = CountersightPlayer;
  const LABEL = 88, RIGHT = 12, TOP = 22, ROW = 22, BAR = 14, STEP = 24, LEVELS = 4, AXIS = 20;
  const TICKS_MS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600].map((s) => s * 1000);
  const FILL = {
    gap: "url(#replay-hatch)", absent: "url(#replay-dots)", coming: "url(#replay-way)",
    broken: "url(#replay-cross)",
  };

  P.Timeline = class {
    /* `onSeek(ms, scrubbing)` is called for clicks and drags, `onStep(n)` for steps. */
    constructor(box, replay, texts, { onSeek, onStep }) {
      Object.assign(this, { box, replay, texts, onSeek, onStep });
      this._seen = new ResizeObserver(() => this.draw());
      this._seen.observe(box);
      this.draw();
    }

    destroy() {
      this._seen.disconnect();
      this.box.replaceChildren();
    }

    draw() {
      const focused = this.box.contains(document.activeElement)
        ? document.activeElement.dataset.step || "head" : null;
      this.width = Math.max(320, this.box.clientWidth);
      const levels = this._levels();
      const used = Math.max(1, ...levels.map((level) => level + 1));
      this.stepsTop = TOP + this.replay.scenes.length * ROW;
      this.bottom = this.stepsTop + used * STEP;
      this.svg = P.element("svg", {
        "data-test": "timeline", class: "timeline", width: this.width, role: "group",
        height: this.bottom + AXIS, "aria-label": this.texts.timeline,
      });
      this._patterns();
      this._axis();
      this.replay.scenes.forEach((scene, row) => this._row(scene, TOP + row * ROW));
      this.svg.append(P.element("text", { x: 0, y: this.stepsTop + 16 }, this.texts.steps));
      this._area();
      this._steps(levels);
      this._head();
      this.box.replaceChildren(this.svg);
      if (focused) (this.svg.querySelector(`[data-step="${focused}"]`) || this.head).focus();
      this.move(this._at || 0);
    }

    /* Show where the clock stands. */
    move(ms) {
      this._at = ms;
      const x = this.x(ms);
      for (const name of ["x1", "x2"]) this.headLine.setAttribute(name, x);
      this.headKnob.setAttribute("d", `M${x - 6} ${TOP - 12}h12l-6 9z`);
      const spoken = P.timeOfDay(this.replay.origin, ms, 0);
      if (this.head.getAttribute("aria-valuetext") !== spoken) {
        this.head.setAttribute("aria-valuenow", Math.round(ms / 1000));
        this.head.setAttribute("aria-valuetext", spoken);
      }
    }

    x(ms) {
      const share = this.replay.length_ms ? ms / this.replay.length_ms : 0;
      return LABEL + share * (this.width - LABEL - RIGHT);
    }

    ms(x) {
      const share = (x - LABEL) / (this.width - LABEL - RIGHT);
      return Math.max(0, Math.min(1, share)) * this.replay.length_ms;
    }

    /* Return on which level each step's number stands, so that close ones do not cover another. */
    _levels() {
      const last = new Array(LEVELS).fill(-Infinity);
      return this.replay.steps.map((step) => {
        const x = this.x(step.at_ms);
        const free = last.findIndex((before) => x - before >= STEP);
        const level = free < 0 ? last.indexOf(Math.min(...last)) : free;
        last[level] = x;
        return level;
      });
    }

    _patterns() {
      const defs = P.element("defs");
      const pattern = (id, size, children) => {
        const made = P.element("pattern", {
          id, width: size, height: size, patternUnits: "userSpaceOnUse",
        });
        made.append(P.element("rect", { width: size, height: size, class: "t-none" }), ...children);
        defs.append(made);
      };
      pattern("replay-hatch", 8, [P.element("path", { d: "M-2 2l4-4M0 8l8-8M6 10l4-4", class: "t-hatch" })]);
      pattern("replay-dots", 6, [P.element("circle", { cx: 3, cy: 3, r: 1.1, class: "t-dot" })]);
      pattern("replay-way", 8, [P.element("path", { d: "M1 1l3 3-3 3", class: "t-way" })]);
      pattern("replay-cross", 14, [
        P.element("rect", { width: 14, height: 14, class: "t-stop" }),
        P.element("path", { d: "M3 3l8 8M11 3l-8 8", class: "t-cross" }),
      ]);
      this.svg.append(defs);
    }

    _axis() {
      const room = Math.max(2, (this.width - LABEL) / 90);
      const every = TICKS_MS.find((tick) => this.replay.length_ms / tick <= room) || 7200000;
      const shift = (this.replay.origin / 1000 + P.SHANGHAI_MS) % every;
      for (let ms = shift ? every - shift : 0; ms <= this.replay.length_ms; ms += every) {
        const x = this.x(ms);
        this.svg.append(
          P.element("line", { x1: x, x2: x, y1: TOP, y2: this.bottom, class: "t-tick" }),
          P.element("text", {
            x, y: this.bottom + 14, class: "t-time",
            "text-anchor": x > this.width - 32 ? "end" : "middle", // the last one is not cut off
          }, P.timeOfDay(this.replay.origin, ms, 0)),
        );
      }
    }

    _row(scene, y) {
      this.svg.append(P.element("text", { x: 0, y: y + 12 }, scene.role_text));
      for (const piece of scene.pieces) {
        const x = this.x(piece.from_ms);
        const rect = P.element("rect", {
          x, y, width: Math.max(1, this.x(piece.to_ms) - x), height: BAR,
          class: `t-${piece.state}`, ...(FILL[piece.state] ? { fill: FILL[piece.state] } : {}),
        });
        rect.append(P.element("title", {}, `${scene.role_text} · ${piece.text}`));
        this.svg.append(rect);
      }
    }

    /* The whole height takes the pointer: hover tells, a click seeks, a drag scrubs. */
    _area() {
      const area = P.element("rect", {
        x: LABEL, y: 0, width: this.width - LABEL - RIGHT, height: this.bottom, class: "t-area",
      });
      this.hoverLine = P.element("line", { y1: TOP, y2: this.bottom, class: "t-hover", visibility: "hidden" });
      this.hoverText = P.element("text", { y: 11, class: "t-hover-text", visibility: "hidden" });
      const at = (event) => this.ms(event.clientX - this.svg.getBoundingClientRect().left);
      area.addEventListener("pointerdown", (event) => {
        area.setPointerCapture(event.pointerId);
        this._dragging = true;
        this.onSeek(at(event), true);
      });
      area.addEventListener("pointermove", (event) => {
        this._hover(at(event), event.clientY - this.svg.getBoundingClientRect().top);
        if (this._dragging) this.onSeek(at(event), true);
      });
      area.addEventListener("pointerup", (event) => {
        this._dragging = false;
        this.onSeek(at(event), false);
      });
      area.addEventListener("pointercancel", () => { this._dragging = false; });
      area.addEventListener("pointerleave", () => this._hover(null, 0));
      this.svg.append(area, this.hoverLine, this.hoverText);
    }

    _hover(ms, y) {
      for (const one of [this.hoverLine, this.hoverText]) {
        one.setAttribute("visibility", ms === null ? "hidden" : "visible");
      }
      if (ms === null) return;
      const x = this.x(ms);
      for (const name of ["x1", "x2"]) this.hoverLine.setAttribute(name, x);
      const right = x > this.width / 2;
      this.hoverText.setAttribute("x", x + (right ? -8 : 8));
      this.hoverText.setAttribute("text-anchor", right ? "end" : "start");
      this.hoverText.textContent = `${P.timeOfDay(this.replay.origin, ms)} · ${this._told(ms, y)}`;
    }

    /* Return what lies under the pointer: the scene's piece, or the step nearest to it. */
    _told(ms, y) {
      const scene = this.replay.scenes[Math.floor((y - TOP) / ROW)];
      if (y < this.stepsTop && scene) {
        return `${scene.role_text} · ${P.pieceAt(scene.pieces, ms)?.text || ""}`;
      }
      const before = this.replay.steps.filter((step) => step.at_ms <= ms).pop();
      return before ? `${before.n} ${before.text}` : this.texts.before_steps;
    }

    _steps(levels) {
      this.replay.steps.forEach((step, number) => {
        const x = this.x(step.at_ms), y = this.stepsTop + levels[number] * STEP + 12;
        const told = `${step.n} ${step.text} ${P.timeOfDay(this.replay.origin, step.at_ms, 0)}`;
        const made = P.element("g", {
          "data-step": step.n, role: "button", tabindex: 0, class: `t-step ${step.mark}`,
          "aria-label": told,
        });
        made.append(
          P.element("title", {}, told),
          P.element("circle", { cx: x, cy: y, r: 10 }),
          P.element("text", { x, y: y + 4, "text-anchor": "middle" }, String(step.n)),
        );
        made.addEventListener("click", () => this.onStep(step.n));
        made.addEventListener("keydown", (event) => {
          if (event.key !== "Enter" && event.key !== " ") return;
          event.preventDefault();
          event.stopPropagation();
          this.onStep(step.n);
        });
        this.svg.append(made);
      });
    }

    /* The playhead is a slider; its arrow keys are those of the page. */
    _head() {
      this.head = P.element("g", {
        role: "slider", tabindex: 0, class: "t-head", "aria-label": this.texts.playhead,
        "aria-valuemin": 0, "aria-valuemax": Math.round(this.replay.length_ms / 1000),
        "aria-valuenow": 0,
      });
      this.headLine = P.element("line", { y1: TOP - 8, y2: this.bottom });
      this.headKnob = P.element("path", {});
      this.head.append(this.headLine, this.headKnob);
      this.svg.append(this.head);
    }
  };
})();
