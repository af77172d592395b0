// Plays the segments of every camera on one clock. Reads only what stands in this page.
'use strict';
(() => {
  const facts = JSON.parse(document.getElementById('footage').textContent);
  const screens = [...document.querySelectorAll('video')].map((video) => ({
    video,
    nothing: video.parentElement.querySelector('.nothing'),
    camera: facts.cameras[Number(video.dataset.camera)],
    broken: false,
  }));
  const seek = document.getElementById('seek');
  const play = document.getElementById('play');
  const shown = document.getElementById('now');
  let now = facts.start;
  let playing = false;
  let last = null;

  const time = (ms) => new Date(ms + 8 * 3600000).toISOString().slice(0, 19).replace('T', ' ');
  const at = (spans) => spans.find((one) => one.start <= now && now < one.end);

  function say(screen, words) {
    screen.nothing.hidden = words === null;
    if (words !== null) screen.nothing.textContent = words;
  }

  function follow(screen, jumped) {
    const segment = at(screen.camera.segments);
    if (!segment) {
      const gap = at(screen.camera.gaps);
      screen.video.pause();
      say(screen, gap ? `无录像：${gap.zh} / no footage: ${gap.en}` : '无录像 / no footage');
      return true;
    }
    if (screen.video.getAttribute('src') !== segment.src) {
      screen.broken = false;
      screen.video.src = segment.src;
      jumped = true;
    }
    if (screen.broken) {
      say(screen, `浏览器无法播放（${segment.codec}），请用播放器打开文件 / this browser cannot play it: ${segment.src}`);
      return true;
    }
    say(screen, null);
    const wanted = (now - segment.start) / 1000;
    if (jumped || Math.abs(screen.video.currentTime - wanted) > 0.5) screen.video.currentTime = wanted;
    if (playing && screen.video.paused) screen.video.play().catch(() => {});
    if (!playing) screen.video.pause();
    return screen.video.readyState >= 2;
  }

  function draw(jumped) {
    // A camera that has not loaded yet holds the clock, so that all show the same moment.
    const ready = screens.map((screen) => follow(screen, jumped)).every(Boolean);
    seek.value = String(now - facts.start);
    shown.textContent = time(now);
    return ready;
  }

  function tick(moment) {
    if (!playing) return;
    if (draw(false) && last !== null) now = Math.min(facts.end, now + Math.min(moment - last, 250));
    last = moment;
    if (now >= facts.end) toggle(false);
    requestAnimationFrame(tick);
  }

  function toggle(wanted) {
    playing = wanted;
    last = null;
    play.textContent = playing ? '暂停 / Pause' : '播放 / Play';
    draw(false);
    if (playing) requestAnimationFrame(tick);
  }

  function go(ms) {
    now = Math.max(facts.start, Math.min(facts.end - 1, ms));
    draw(true);
  }

  if (screens.length === 0) return;
  for (const screen of screens) {
    screen.video.addEventListener('error', () => {
      screen.broken = true;
      draw(false);
    });
  }
  seek.max = String(facts.end - facts.start);
  seek.addEventListener('input', () => go(facts.start + Number(seek.value)));
  play.addEventListener('click', () => {
    if (!playing && now >= facts.end - 1) now = facts.start;
    toggle(!playing);
  });
  for (const button of document.querySelectorAll('button[data-at]')) {
    button.addEventListener('click', () => go(Number(button.dataset.at)));
  }
  go(facts.start);
})();
