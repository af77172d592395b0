"""What the replay bench runs inside a page, and what it reads out of one."""

from __future__ import annotations

import re

_ASSET = re.compile(r'(?:src|href)="(/assets/[^"]+)"')

WATCH = """
window.benchFrames = new Map();
new MutationObserver(() => {
  for (const video of document.querySelectorAll('video[data-scene]')) {
    if (window.benchFrames.has(video)) continue;
    window.benchFrames.set(video, new Promise((resolve) =>
      video.requestVideoFrameCallback((now) => resolve(now))));
  }
}).observe(document, { childList: true, subtree: true });
"""

FIRST_FRAMES = """async (scenes) => {
  const late = new Promise((_, fail) => setTimeout(() => fail(new Error('no picture')), 20000));
  const all = async () => {
    while (window.benchFrames.size < scenes) await new Promise((go) => setTimeout(go, 5));
    return Math.max(...await Promise.all(window.benchFrames.values()));
  };
  return Promise.race([all(), late]);
}"""

# `seeked` comes when the picture of the new moment is decoded; the next frame shows it.
SEEK_FRAMES = """async (ms) => {
  const videos = [...document.querySelectorAll('video[data-scene]')];
  const frame = () => new Promise((go) => requestAnimationFrame(go));
  const there = (video) => !video.seeking && video.readyState >= 2
    && Math.abs(video.currentTime - ms / 1000) < 0.06;
  const begin = performance.now();
  window.countersightReplay.seek(ms);
  while (!videos.every(there)) {
    await frame();
    if (performance.now() - begin > 20000) throw new Error(`not at ${ms}`);
  }
  await frame();
  return performance.now() - begin;
}"""


def assets_of(html: str) -> list[str]:
    """Return the addresses of the scripts and styles that a page names."""
    return sorted(set(_ASSET.findall(html)))
