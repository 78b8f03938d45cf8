"use strict";
// Draws what /overview says, every few seconds. Nothing is asked of any other host; whatever clients sent is text.
const byId = id => document.getElementById(id);
const LIGHT = ["#3457d5", "#12855a", "#c47a0a", "#9b3fc4", "#c4320a", "#0e8a9e", "#8a6d3b", "#5b6b86", "#d53f8c", "#6b8e23", "#475467"];
const DARK = ["#8aa4ff", "#3ecf8e", "#f2b654", "#c792ea", "#ff8a65", "#5fd3e6", "#d4b483", "#a3b1c9", "#ff8cc6", "#b5d36b", "#cbd5e1"];
const dark = matchMedia("(prefers-color-scheme: dark)");
const plots = {};
let span = "hour", last = null, names = { routes: {} };

const sum = column => (column || []).reduce((all, one) => all + one, 0);
const count = number => number >= 1e6 ? (number / 1e6).toFixed(1) + " M" : number >= 1e4 ? (number / 1e3).toFixed(1) + " k" : String(number);
const ago = (now, then) => {
  const s = Math.max(0, Math.round((now - then) / 1000));
  const [n, unit] = s < 60 ? [s, "s"] : s < 3600 ? [Math.floor(s / 60), "min"] : s < 86400 ? [Math.floor(s / 3600), "h"] : [Math.floor(s / 86400), "d"];
  return `${n} ${unit} ago`;
};

const clock = second => new Date(second * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });

function draw(id, at, lines, options = {}) {
  const box = byId(id), css = getComputedStyle(document.documentElement);
  const soft = css.getPropertyValue("--soft").trim(), line = css.getPropertyValue("--line").trim();
  const colors = dark.matches ? DARK : LIGHT;
  const empty = !at.length || !lines.length || lines.every(one => one.values.every(value => !value));
  box.classList.toggle("nothing", empty);
  box.dataset.series = lines.map(one => one.label).join("|");
  const key = [lines.map(one => one.label).join("|"), dark.matches, box.clientWidth, span, at.length < 20].join("#");
  const data = [at, ...lines.map(one => one.values)];
  if (plots[id] && plots[id].key === key) { plots[id].plot.setData(data); return; }
  if (plots[id]) plots[id].plot.destroy();
  const axis = { stroke: soft, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, font: "12px system-ui" };
  const shown = value => value == null ? "–" : options.digits ? value.toFixed(options.digits) : String(value);
  const plot = new uPlot({
    width: Math.max(box.clientWidth, 200), height: Math.max(box.clientHeight - 40, 190),
    cursor: { y: false }, legend: { live: true },
    scales: { x: { range: (_, low, high) => [(high || Date.now() / 1000) - (span === "hour" ? 3600 : 86400), high || Date.now() / 1000] }, y: { range: (_, low, high) => [0, options.top || Math.max(high || 0, 1) * 1.08] } },
    padding: [8, 18, 0, 4],
    axes: [{ ...axis, values: (_, ticks) => ticks.map(clock) }, { ...axis, size: 46 }],
    series: [{ value: (_, second) => second == null ? "–" : new Date(second * 1000).toLocaleTimeString() }, ...lines.map((one, n) => ({
      label: one.label, stroke: one.color || colors[n % colors.length], width: 1.8, points: { show: at.length < 20, size: 5 }, spanGaps: true,
      fill: options.fill ? (one.color || colors[n % colors.length]) + "22" : undefined,
      value: (_, value) => shown(value),
    }))],
  }, data, box);
  plots[id] = { key, plot };
}

function cells(table, rows, labels) {
  const body = byId(table).tBodies[0];
  body.replaceChildren(...rows.map(row => {
    const tr = document.createElement("tr");
    row.forEach((cell, n) => {
      const td = document.createElement("td");
      td.dataset.label = labels[n];
      if (cell instanceof Node) td.append(cell); else td.textContent = cell;
      if (labels[n] === "Calls" || labels[n] === "Count") td.className = "n";
      tr.append(td);
    });
    return tr;
  }));
  const section = byId(table).closest("section");
  section.querySelector(".empty").hidden = rows.length > 0;
  section.querySelector(".scroll").hidden = rows.length === 0;
}

function bar(share) {
  const all = document.createElement("span"), track = document.createElement("span"), fill = document.createElement("i");
  track.className = "bar"; fill.style.width = share + "%"; track.append(fill);
  all.append(track, share + " %");
  return all;
}
const code = text => { const one = document.createElement("code"); one.textContent = text; return one; };

function show(seen) {
  const { series, upstream, now_ms } = seen;
  names = seen.names;
  byId("version").textContent = seen.version;
  const state = byId("upstream");
  state.className = upstream.answers ? "up" : upstream.answers === false ? "down" : "";
  const what = upstream.about ? upstream.about.replace(/\.$/, "") : "dialect not known yet";
  const since = upstream.since ? ` since ${new Date(upstream.since).toLocaleString()}` : "";
  const reason = !upstream.answers && upstream.last_failure ? `: ${upstream.last_failure.reason}` : "";
  byId("upstream-text").textContent = `${upstream.url} ${upstream.answers ? "answers" : upstream.answers === false ? "does not answer" : "has not been asked"}${since}${reason} · ${what}`;
  const legacy = Object.keys(series.routes || {}).filter(name => seen.legacy.includes(name));
  const all = legacy.reduce((total, name) => total + sum(series.routes[name]), 0);
  const translated = sum((series.sources || {}).jobs_api);
  const medians = series.latency.jobs_api.p50.filter(value => value != null);
  const [hits, misses] = [sum(series.hits), sum(series.misses)];
  const errors = Object.values(series.errors || {}).reduce((total, column) => total + sum(column), 0);
  byId("tile-legacy").textContent = count(all);
  byId("tile-translated").textContent = all ? Math.round(100 * translated / all) + " %" : "–";
  byId("tile-latency").textContent = medians.length ? medians[medians.length - 1].toFixed(1) + " ms" : "–";
  byId("tile-cache").textContent = hits + misses ? Math.round(100 * hits / (hits + misses)) + " %" : "–";
  byId("tile-errors").textContent = count(errors);
  const at = series.at;
  draw("plot-routes", at, legacy.map(name => ({ label: names.routes[name] || name, values: series.routes[name] })), { fill: true });
  draw("plot-modes", at, Object.entries(series.modes || {}).map(([label, values]) => ({ label, values })), { fill: true });
  const latency = [["Jobs API, median", "jobs_api", "p50"], ["Jobs API, p95", "jobs_api", "p95"], ["passed on, median", "upstream", "p50"], ["passed on, p95", "upstream", "p95"]];
  draw("plot-latency", at, latency.map(([label, source, part]) => ({ label, values: series.latency[source][part] })).filter(one => one.values.some(value => value != null)), { digits: 1 });
  const rate = series.hits.map((hit, n) => hit + series.misses[n] ? 100 * hit / (hit + series.misses[n]) : null);
  draw("plot-cache", at, rate.some(value => value != null) ? [{ label: "hits, %", values: rate }] : [], { top: 100, fill: true, digits: 0 });
  const total = at.map((_, n) => Object.values(series.routes || {}).reduce((all, column) => all + column[n], 0));
  const failed = at.map((_, n) => Object.values(series.errors || {}).reduce((all, column) => all + column[n], 0));
  draw("plot-all", at, sum(total) ? [{ label: "requests", values: total }, { label: "5xx", values: failed, color: dark.matches ? "#ff8a65" : "#c4320a" }] : [], { fill: true });
  cells("clients", seen.usage.clients.map(client => {
    const uses = Object.entries(client.routes);
    const calls = uses.reduce((all, [, use]) => all + use.count, 0), moved = uses.reduce((all, [, use]) => all + use.translated, 0);
    return [client.agent || "(no user agent)", client.addresses, client.credential ? code(client.credential) : "none",
      uses.map(([name]) => names.routes[name] || name).join(", "), count(calls), bar(Math.floor(100 * moved / calls)),
      ago(now_ms, Math.max(...uses.map(([, use]) => use.last_seen_ms)))];
  }), ["Client", "Addresses", "Credential", "Routes", "Calls", "From the Jobs API", "Last call"]);
  const found = Object.entries(seen.findings);
  cells("differences", found.flatMap(([route, one]) => Object.entries(one.fields).filter(([, field]) => field.differences).map(([name, field]) =>
    [names.routes[route] || route, code(name), count(field.differences), code(field.sample.forwarded), code(field.sample.translated)])),
    ["Route", "Field", "Count", "Legacy endpoint", "Translation"]);
  byId("compared").textContent = found.map(([route, one]) =>
    `${names.routes[route] || route}: ${Object.entries(one.compared).map(([word, number]) => `${count(number)} ${word}`).join(", ")}`).join(" · ");
}

async function refresh() {
  try {
    const answer = await fetch(`/overview?span=${span}`, { cache: "no-store" });
    if (!answer.ok) throw new Error(answer.status);
    last = await answer.json();
    byId("stale").hidden = true;
    show(last);
    document.body.dataset.shown = String(last.now_ms);
  } catch (error) {
    byId("stale").hidden = false;
    document.body.dataset.error = String(error);
  }
}

for (const button of document.querySelectorAll("[data-span]")) {
  button.addEventListener("click", () => {
    span = button.dataset.span;
    for (const one of document.querySelectorAll("[data-span]")) one.setAttribute("aria-pressed", String(one === button));
    refresh();
  });
}
const again = () => { if (last) show(last); };
dark.addEventListener("change", again);
addEventListener("resize", again);
(async () => { for (;;) { if (!document.hidden) await refresh(); await new Promise(done => setTimeout(done, 3000)); } })();
