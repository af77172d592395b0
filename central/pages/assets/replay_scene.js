/* One scene: a picture that follows the clock, or words where there is none.

   `follow` is called on every frame with where the clock stands. It says whether this scene lets
   the clock go on. Small drift is taken back by playing a little faster or slower, large drift by a
   seek. In a gap the picture waits, hidden, where footage goes on, so that it is there in time. */
"use strict";
(() => {
  const P = CountersightPlayer;
  const SEEK_BEYOND_S = 0.25; // more drift than this is not caught up by speed
  const NUDGE = 0.05; // how much faster or slower a picture may play
  const SAME_S = 0.015; // less than half a picture: the same moment
  const EDGE_S = 0.15; // the last picture of a piece may end a little early
  const HOLE_S = 0.3; // a hole between two files that is stepped over
  const RETRY_MS = 3000;
  const GONE = [401, 403, 404, 409, 410];
  const MIME = {
    h264: 'video/mp4; codecs="avc1.42E01E"',
    hevc: 'video/mp4; codecs="hvc1.1.6.L93.B0"',
  };
  const AT_ONCE = { maxTimeToFirstByteMs: 10000, maxLoadTimeMs: 60000, timeoutRetry: null, errorRetry: null };
  const HLS = {
    enableWorker: false, // a worker would be made from a blob: script, which our policy forbids
    autoStartLoad: false,
    startFragPrefetch: true,
    lowLatencyMode: false,
    testBandwidth: false,
    startLevel: 0,
    maxBufferLength: 12,
    maxMaxBufferLength: 24,
    backBufferLength: 20,
    maxBufferHole: HOLE_S,
    maxFragLookUpTolerance: 0.02,
    // Trying again is ours, with words; hls.js alone would try for half a minute without any.
    manifestLoadPolicy: { default: AT_ONCE },
    playlistLoadPolicy: { default: AT_ONCE },
    fragLoadPolicy: { default: AT_ONCE },
  };

  /* Say whether this browser can play footage of a codec. */
  P.plays = (codec) =>
    typeof MediaSource !== "undefined" &&
    typeof Hls !== "undefined" &&
    Hls.isSupported() &&
    MediaSource.isTypeSupported(MIME[codec] || MIME.h264);

  P.Scene = class {
    constructor(scene, { clear, texts, onTrouble }) {
      this.facts = scene;
      this._texts = texts;
      this._onTrouble = onTrouble;
      this._parked = null; // where the picture waits while the clock is in a gap, ms
      this._stood = null; // the moment that was last sought to stand at, seconds
      this._retry = 0;
      this._recovered = false;
      this.trouble = "";
      this._build(clear);
      this.playable = scene.playlist !== null && P.plays(scene.codec);
    }

    /* Begin to load near a moment. Loads nothing if there is nothing to play. */
    load(ms) {
      if (!this.playable) return;
      const hls = (this.hls = new Hls(HLS));
      hls.on(Hls.Events.MANIFEST_PARSED, () => hls.startLoad(this._start(ms) / 1000));
      hls.on(Hls.Events.ERROR, (_, data) => this._failed(data));
      hls.on(Hls.Events.FRAG_BUFFERED, () => this._mended());
      hls.loadSource(this.facts.playlist);
      hls.attachMedia(this.video);
      this._parked = this._start(ms);
    }

    destroy() {
      clearTimeout(this._retry);
      this.hls?.destroy();
      this.figure.remove();
    }

    /* Return where the picture stands, null where there is none to show. */
    ms() {
      return this._state === "footage" ? this.video.currentTime * 1000 : null;
    }

    /* Bring the picture to the clock. Returns false while the clock has to wait for it. */
    follow(ms, running, rate) {
      this._ms = ms;
      const piece = P.pieceAt(this.facts.pieces, ms);
      this._show(piece);
      if (!this.playable || this.trouble) return true;
      if (piece === null || piece.state !== "footage") {
        this._park(P.nextFootage(this.facts.pieces, ms));
        return true;
      }
      this._parked = null;
      const left = (P.footageUntil(this.facts.pieces, ms) - ms) / 1000;
      return running ? this._run(ms / 1000, rate, left) : this._stand(ms / 1000, left);
    }

    /* Stop without moving: the clock waits for another scene. */
    wait() {
      if (!this.video.paused) this.video.pause();
    }

    _build(clear) {
      const { camera, role_text: role, ordinal } = this.facts;
      this.figure = P.element("figure", { class: "scene" });
      this.video = P.element("video", {
        "data-scene": ordinal, playsinline: "", preload: "auto", disablepictureinpicture: "",
        "aria-label": `${role} ${camera}`,
      });
      this.video.muted = true;
      this.video.classList.toggle("blurred", !clear);
      this.cover = P.element("p", { class: "scene-cover", hidden: "" });
      this.large = P.element(
        "button", { type: "button", class: "scene-large", "aria-pressed": "false" },
        this._texts.enlarge,
      );
      const caption = P.element("figcaption");
      caption.append(
        P.element("strong", {}, role), P.element("span", { class: "quiet small" }, camera),
        this.large,
      );
      const frame = P.element("div", { class: "scene-frame" });
      frame.append(this.video, this.cover);
      this.figure.append(caption, frame);
    }

    _start(ms) {
      const piece = P.pieceAt(this.facts.pieces, ms);
      if (piece && piece.state === "footage") return ms;
      return P.nextFootage(this.facts.pieces, ms) ?? P.nextFootage(this.facts.pieces, 0) ?? 0;
    }

    _show(piece) {
      let words = "";
      if (piece === null || piece.state !== "footage") words = piece ? piece.text : "";
      else if (!this.playable) words = this._texts[`unplayable_${this.facts.codec}`];
      else if (this.trouble) words = this.trouble;
      this._state = words || piece === null ? "none" : "footage";
      if (this.cover.textContent !== words) this.cover.textContent = words;
      this.cover.hidden = !words;
      this.cover.classList.toggle("stop", piece !== null && piece.state === "broken");
    }

    _park(ms) {
      this.wait();
      if (ms === null || this._parked === ms || this.video.seeking || !this.video.readyState) return;
      this._parked = ms;
      this.video.currentTime = ms / 1000;
    }

    /* Show the picture of a moment. Also after playing: a paused video may show a later picture
       than its time says, so it is sought anew. */
    _stand(target, left) {
      this.wait();
      const video = this.video;
      if (!video.readyState) return false;
      const reach = Math.max(0, target - Math.max(0, SAME_S - left));
      const off = this._stood !== reach || Math.abs(video.currentTime - reach) > SAME_S;
      if (off && !video.seeking) {
        video.currentTime = reach;
        this._stood = reach;
      }
      return left < EDGE_S || (!off && !video.seeking && video.readyState >= 2);
    }

    _run(target, rate, left) {
      const video = this.video;
      this._stood = null;
      if (!video.readyState || video.seeking) return left < EDGE_S;
      const drift = video.currentTime - target;
      if (Math.abs(drift) > SEEK_BEYOND_S * Math.max(1, rate)) {
        if (left < EDGE_S) return true;
        video.currentTime = target;
        return false;
      }
      if (video.readyState < 3) return left < EDGE_S || this._overHole();
      const nudge = Math.max(-NUDGE, Math.min(NUDGE, -drift / rate));
      const speed = rate * (1 + (Math.abs(drift) < SAME_S * rate ? 0 : nudge));
      if (Math.abs(video.playbackRate - speed) > 0.004) video.playbackRate = speed;
      if (video.paused) video.play().catch(() => {}); // a pause that comes first aborts it: no fault
      return true;
    }

    /* Step over a hole between two files that is shorter than anybody sees. */
    _overHole() {
      const { buffered, currentTime } = this.video;
      for (let n = 0; n < buffered.length; n += 1) {
        const ahead = buffered.start(n) - currentTime;
        if (ahead > 0 && ahead < HOLE_S) this.video.currentTime = buffered.start(n) + 0.001;
      }
      return false;
    }

    /* Tell what happened and what to do; a lost connection is tried again by itself. */
    _failed(data) {
      const status = data.response?.code || 0;
      if (GONE.includes(status)) {
        this.hls.stopLoad();
        this._say(this._texts[`status_${status}`] || this._texts.status_404, status);
      } else if (data.fatal && data.type === Hls.ErrorTypes.MEDIA_ERROR && !this._recovered) {
        this._recovered = true;
        this.hls.recoverMediaError();
      } else if (data.fatal && data.type === Hls.ErrorTypes.MEDIA_ERROR) {
        this._say(this._texts.damaged, 0);
      } else if (data.fatal) {
        this._say(this._texts.offline, 0);
        this._retry = setTimeout(() => this._again(), RETRY_MS);
      }
    }

    _again() {
      this.hls.destroy();
      this.load(this._ms);
    }

    _mended() {
      if (this.trouble !== this._texts.offline) return;
      this.trouble = "";
      this._onTrouble();
    }

    _say(words, status) {
      this.trouble = words;
      this.status = status; // 0: nothing that the person has to do
      this.wait();
      this._onTrouble();
    }
  };
})();
