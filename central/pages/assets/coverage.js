/* The calendar by keyboard, and the line above its table. Everything shown stands in the page. */
(function () {
  "use strict";

  /* One stop for Tab; arrows move within, so that nobody tabs through a thousand squares. */
  const calendar = document.getElementById("calendar");
  const rows = calendar
    ? Array.from(calendar.tBodies[0].rows, (row) => Array.from(row.cells).slice(1))
    : [];
  const linkAt = (y, x) => (rows[y] && rows[y][x] ? rows[y][x].firstElementChild : null);

  function enter(link) {
    calendar.querySelectorAll('tbody td a[tabindex="0"]').forEach((one) => (one.tabIndex = -1));
    link.tabIndex = 0;
    link.focus();
  }

  function step(y, x, down, right) {
    for (let n = 0; n < 400; n += 1) {
      y += down;
      x += right;
      if (y < 0 || x < 0 || y >= rows.length || x >= rows[y].length) return null;
      const link = linkAt(y, x);
      if (link) return link;
    }
    return null;
  }

  const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

  if (calendar) {
    const links = calendar.querySelectorAll("tbody td a");
    links.forEach((link) => (link.tabIndex = -1));
    if (links.length) links[links.length - 1].tabIndex = 0;
    calendar.addEventListener("keydown", (event) => {
      const cell = event.target.closest("td");
      const move = MOVES[event.key];
      if (!cell || !move || event.altKey || event.ctrlKey || event.metaKey) return;
      const y = cell.parentElement.sectionRowIndex;
      const next = step(y, cell.cellIndex - 1, move[0], move[1]);
      event.preventDefault();
      if (next) enter(next);
    });
    const frame = calendar.parentElement;
    frame.scrollLeft = frame.scrollWidth; /* the newest days */
  }

  /* The line. */
  const chart = document.getElementById("chart");
  const table = document.getElementById("daily");
  if (!chart || !table || typeof uPlot === "undefined") return;
  const found = Array.from(table.tBodies[0].rows);
  const days = found.map((row) => Date.parse(row.dataset.day + "T00:00:00+08:00") / 1000);
  const shares = found.map((row) => Number(row.dataset.share));
  const low = Math.max(0, Math.floor(Math.min(...shares, 99) - 1));
  const name = (seconds) => new Date((seconds + 8 * 3600) * 1000).toISOString().slice(5, 10);
  const options = () => ({
    width: chart.clientWidth,
    height: 200,
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Asia/Shanghai"),
    scales: { x: { time: true }, y: { range: [low, 100.2] } },
    axes: [
      { values: (_, ticks) => ticks.map(name), space: 70 },
      { values: (_, ticks) => ticks.map((tick) => tick + " %"), size: 64 },
    ],
    series: [
      { label: chart.dataset.zero, value: (_, seconds) => (seconds == null ? "–" : name(seconds)) },
      {
        label: chart.dataset.share,
        stroke: "#0b5c57",
        width: 2,
        points: { show: true, size: 5 },
        value: (_, share) => (share == null ? "–" : share.toFixed(1) + " %"),
      },
    ],
  });
  const drawn = new uPlot(options(), [days, shares], chart);
  window.addEventListener("resize", () => drawn.setSize({ width: chart.clientWidth, height: 200 }));
})();
