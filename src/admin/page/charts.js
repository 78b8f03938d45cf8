"use strict";
// Lines over time. A colour belongs to a route, a mode or a source for good, whatever else is shown. Where nothing was
// measured there is a gap.
const dark = matchMedia("(prefers-color-scheme: dark)");
const color = (light, dim) => dark.matches ? dim : light;
const ROUTES = {
  history: ["#3457d5", "#8aa4ff"], history_entry: ["#12855a", "#3ecf8e"], queue: ["#c47a0a", "#f2b654"], history_v2: ["#9b3fc4", "#c792ea"],
  history_v2_entry: ["#0e8a9e", "#5fd3e6"], job_status: ["#8a6d3b", "#d4b483"], queue_write: ["#d53f8c", "#ff8cc6"],
  history_write: ["#6b8e23", "#b5d36b"], interrupt: ["#5b6b86", "#a3b1c9"], job_cancel: ["#b0413e", "#ffab91"],
};
const MODES = {
  translate: ["#12855a", "#3ecf8e"], forward: ["#5b6b86", "#a3b1c9"], shadow: ["#9b3fc4", "#c792ea"], canary: ["#c47a0a", "#f2b654"],
  auto: ["#3457d5", "#8aa4ff"], gone: ["#c4320a", "#ff8a65"],
};
const OURS = ["#3457d5", "#8aa4ff"], THEIRS = ["#5b6b86", "#a3b1c9"], OUR_SLOW = ["#9aaef2", "#5169b8"], THEIR_SLOW = ["#b7c0ce", "#64728a"], FAILED = ["#c4320a", "#ff8a65"];
const MARKS = { gone: ["410", FAILED], reloaded: ["reload", THEIRS], reload_refused: ["refused", MODES.canary], rolled_back: ["rollback", FAILED], down: ["down", FAILED], up: ["up", MODES.translate] };

const plots = {};
let events = [], now = Date.now() / 1000;
// What a fresh jobshim has seen shall not hide at the edge: so much of the span is shown at the least.
const LEAST = { hour: 300, day: 7200 };
// Calls are counted in whole numbers.
const WHOLE = [1, 10, 100, 1e3, 1e4, 1e5, 1e6].flatMap(one => [one, 2 * one, 5 * one]);

// Where no step was counted for a while, there is a step without values.
function withGaps(at, lines, step) {
  const times = [], columns = lines.map(() => []);
  at.forEach((second, n) => {
    if (n && second - at[n - 1] > 1.9 * step) {
      times.push(at[n - 1] + step);
      columns.forEach(column => column.push(null));
    }
    times.push(second);
    columns.forEach((column, line) => column.push(lines[line].values[n]));
  });
  return [times, ...columns];
}

// A value between two gaps is no line: it is a point.
const lonely = (plot, series) => {
  const values = plot.data[series], at = [];
  values.forEach((value, n) => { if (value != null && values[n - 1] == null && values[n + 1] == null) at.push(n); });
  return at;
};

// Events: a line each, a band for what lasted, a word where there is room.
function mark(plot) {
  const { ctx, bbox: { left, top, width, height } } = plot, ratio = devicePixelRatio || 1;
  const at = ms => plot.valToPos(ms / 1000, "x", true);
  let free = left;
  const drawn = [];
  ctx.save();
  ctx.beginPath(); ctx.rect(left, top, width, height); ctx.clip();
  ctx.font = `${10 * ratio}px system-ui`; ctx.textBaseline = "top"; ctx.textAlign = "left"; ctx.lineWidth = ratio;
  for (const event of [...events].reverse()) {
    const [word, colors] = MARKS[event.kind] || [event.kind, THEIRS], x = at(event.at_ms), end = at(event.end_ms);
    if (end < left || x > left + width) continue;
    drawn.push(event.kind);
    ctx.strokeStyle = ctx.fillStyle = color(...colors);
    if (end > x + ratio) { ctx.globalAlpha = .14; ctx.fillRect(x, top, end - x, height); ctx.globalAlpha = 1; }
    ctx.setLineDash([4 * ratio, 3 * ratio]);
    ctx.beginPath(); ctx.moveTo(x, top); ctx.lineTo(x, top + height); ctx.stroke();
    const wide = ctx.measureText(word).width + 6 * ratio, before = x + wide > left + width;
    const begins = before ? x - wide : x;
    if (begins >= free) { ctx.fillText(word, begins + 3 * ratio, top + 2 * ratio); free = begins + wide; }
  }
  ctx.restore();
  plot.root.parentElement.dataset.marks = drawn.join("|");
}

// The day is named where another one begins, and first of all where the chart does not begin today.
function times(ticks, apart, start) {
  let before = day(start) === day(now) ? day(now) : "";
  return ticks.map(tick => {
    const [words, of] = [clock(tick, apart < 60), day(tick)], other = of !== before;
    before = of;
    return other ? `${words}\n${of}` : words;
  });
}

function draw(id, series, lines, options = {}) {
  const box = byId(id), css = getComputedStyle(document.documentElement);
  const soft = css.getPropertyValue("--soft").trim(), grid = css.getPropertyValue("--line").trim();
  box.classList.toggle("nothing", !lines.some(one => one.values.some(options.zero ? value => value != null : value => value)));
  box.dataset.nothing = series.at.length < 2 ? `first shown after ${lasted(2000 * series.step_s)}` : "nothing in this time";
  box.dataset.series = lines.map(one => one.label).join("|");
  box.dataset.colors = lines.map(one => color(...one.colors)).join("|");
  const key = [box.dataset.series, box.dataset.colors, dark.matches, box.clientWidth, span].join("#");
  const data = withGaps(series.at, lines, series.step_s);
  // Where nobody points, the legend tells of the last step, once the plot itself has been drawn.
  const latest = plot => queueMicrotask(() => {
    const steps = plot.data[0].length;
    if (steps && plot.cursor.left < 0 && plots[id].plot === plot) plot.setLegend({ idx: steps - 1 });
  });
  if (plots[id] && plots[id].key === key) { plots[id].plot.setData(data); latest(plots[id].plot); return; }
  if (plots[id]) plots[id].plot.destroy();
  const axis = { stroke: soft, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1, size: 5 }, font: "12px system-ui", gap: 4 };
  const shown = value => value == null ? "–" : options.digits != null ? value.toFixed(options.digits) : count(value);
  const range = ({ data: [at] }) => [Math.min(at.length ? at[0] : now, now - LEAST[span]), now];
  const plot = new uPlot({
    width: Math.max(box.clientWidth, 200), height: 200,
    cursor: { y: false }, legend: { live: true },
    scales: { x: { range }, y: { range: (_, low, high) => [0, options.top || Math.max(high || 0, 1) * 1.12] } },
    padding: [8, 30, 0, 4],
    axes: [
      { ...axis, space: 85, size: (_, values) => values?.some(value => value.includes("\n")) ? 46 : 30, values: (plot, ticks, __, ___, apart) => times(ticks, apart, plot.scales.x.min) },
      { ...axis, size: (_, values) => 16 + 7.5 * Math.max(2, ...(values || []).map(value => value.length)), incrs: options.digits ? undefined : WHOLE, values: (_, ticks) => ticks.map(tick => count(+tick.toFixed(3))) },
    ],
    hooks: { draw: [mark] },
    series: [{ label: "Time", value: (_, second) => second == null ? "–" : moment(second) }, ...lines.map(one => ({
      label: one.label, stroke: color(...one.colors), width: 1.8, points: { show: false, filter: lonely, size: 5, fill: color(...one.colors) },
      fill: lines.length === 1 ? color(...one.colors) + "22" : undefined,
      value: (_, value) => shown(value),
    }))],
  }, data, box);
  plots[id] = { key, plot };
  latest(plot);
  plot.over.addEventListener("mouseleave", () => latest(plot));
}

function showCharts({ series, legacy, names }) {
  for (const per of document.querySelectorAll(".per")) per.textContent = `per ${series.step_s < 60 ? series.step_s + " s" : series.step_s / 60 + " min"}`;
  const counted = (group, known) => known.filter(name => (series[group] || {})[name]).map(name => [name, series[group][name]]);
  const routes = legacy.map(one => one.route);
  draw("plot-routes", series, counted("routes", routes).map(([name, values]) => ({ label: names.routes[name] || name, values, colors: ROUTES[name] || THEIRS })));
  draw("plot-modes", series, counted("modes", names.modes).map(([label, values]) => ({ label, values, colors: MODES[label] || THEIRS })));
  const latency = [["Jobs API, median", "jobs_api", "p50", OURS], ["Jobs API, p95", "jobs_api", "p95", OUR_SLOW], ["passed on, median", "upstream", "p50", THEIRS], ["passed on, p95", "upstream", "p95", THEIR_SLOW]];
  const timed = latency.map(([label, source, part, colors]) => ({ label, values: series.latency[source][part], colors }));
  draw("plot-latency", series, timed.filter(one => one.values.some(value => value != null)), { digits: 1 });
  const rate = series.hits.map((hit, n) => hit + series.misses[n] ? 100 * hit / (hit + series.misses[n]) : null);
  draw("plot-cache", series, rate.some(value => value != null) ? [{ label: "hits, %", values: rate, colors: OURS }] : [], { top: 105, digits: 1, zero: true });
  const each = columns => series.at.map((_, n) => Object.values(columns || {}).reduce((all, column) => all + column[n], 0));
  const total = each(series.routes);
  draw("plot-all", series, sum(total) ? [{ label: "requests", values: total, colors: OURS }, { label: "5xx", values: each(series.errors), colors: FAILED }] : []);
}
