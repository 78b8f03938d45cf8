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

// The last so many rows of a long table are told in one line.
const MOST_ROWS = 25;
// What a fresh jobshim has seen shall not hide at the edge: so much of the span is shown at the least.
const LEAST = { hour: 300, day: 7200 };
// Calls are counted in whole numbers.
const WHOLE = [1, 10, 100, 1e3, 1e4, 1e5, 1e6].flatMap(one => [one, 2 * one, 5 * one]);
const clock = (second, exact) => new Date(second * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", ...(exact && { second: "2-digit" }) });

function draw(id, at, lines, options = {}) {
  const box = byId(id), css = getComputedStyle(document.documentElement);
  const soft = css.getPropertyValue("--soft").trim(), line = css.getPropertyValue("--line").trim();
  const colors = dark.matches ? DARK : LIGHT;
  const empty = !at.length || !lines.length || lines.every(one => one.values.every(value => !value));
  box.classList.toggle("nothing", empty);
  box.dataset.series = lines.map(one => one.label).join("|");
  const key = [lines.map(one => one.label).join("|"), dark.matches, box.clientWidth, span, at.length < 20].join("#");
  const data = [at, ...lines.map(one => one.values)];
  // Where nobody points, the legend tells of the last step.
  const latest = plot => setTimeout(() => {
    const steps = plot.data[0].length;
    if (steps && plot.cursor.left < 0 && plots[id].plot === plot) plot.setLegend({ idx: steps - 1 });
  });
  if (plots[id] && plots[id].key === key) { plots[id].plot.setData(data); latest(plots[id].plot); return; }
  if (plots[id]) plots[id].plot.destroy();
  const axis = { stroke: soft, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, font: "12px system-ui" };
  const shown = value => value == null ? "–" : options.digits != null ? value.toFixed(options.digits) : String(value);
  const plot = new uPlot({
    width: Math.max(box.clientWidth, 200), height: 200,
    cursor: { y: false }, legend: { live: true },
    scales: { x: { range: (_, low, high) => [Math.min(low || Infinity, (high || Date.now() / 1000) - LEAST[span]), high || Date.now() / 1000] }, y: { range: (_, low, high) => [0, options.top || Math.max(high || 0, 1) * 1.08] } },
    padding: [8, 30, 0, 4],
    axes: [{ ...axis, space: 85, size: 34, values: (_, ticks, __, ___, apart) => ticks.map(tick => clock(tick, apart < 60)) }, { ...axis, size: 46, incrs: options.digits ? undefined : WHOLE }],
    series: [{ value: (_, second) => second == null ? "–" : clock(second, true) }, ...lines.map((one, n) => ({
      label: one.label, stroke: one.color || colors[n % colors.length], width: 1.8, points: { show: at.length < 20, size: 5 }, spanGaps: true,
      fill: options.fill ? (one.color || colors[n % colors.length]) + "22" : undefined,
      value: (_, value) => shown(value),
    }))],
  }, data, box);
  plots[id] = { key, plot };
  latest(plot);
  plot.over.addEventListener("mouseleave", () => latest(plot));
}

function cells(table, rows, labels) {
  const body = byId(table).tBodies[0];
  body.replaceChildren(...rows.map(row => {
    const tr = document.createElement("tr");
    row.forEach((cell, n) => {
      const td = document.createElement("td");
      td.dataset.label = labels[n];
      if (cell instanceof Node) td.append(cell); else td.textContent = cell;
      if (["Calls", "Clients", "Answers"].includes(labels[n])) td.className = "n";
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
const text = (words, kind) => { const one = document.createElement("span"); one.textContent = words; one.className = kind; return one; };
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
  for (const per of document.querySelectorAll(".per")) per.textContent = `per ${series.step_s < 60 ? series.step_s + " s" : series.step_s / 60 + " min"}`;
  const legacy = seen.legacy.map(one => one.route).filter(name => (series.routes || {})[name]);
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
  const clients = seen.usage.clients;
  const shown = name => names.routes[name] || name;
  cells("clients", clients.slice(0, MOST_ROWS).map(client => {
    const uses = Object.entries(client.routes);
    const calls = uses.reduce((all, [, use]) => all + use.count, 0), moved = uses.reduce((all, [, use]) => all + use.translated, 0);
    return [client.agent || "(no user agent)", client.addresses, client.credential ? code(client.credential) : text("none", "soft"),
      uses.map(([name]) => shown(name)).join(", "), count(calls), bar(Math.floor(100 * moved / calls)),
      ago(now_ms, Math.max(...uses.map(([, use]) => use.last_seen_ms)))];
  }), ["Client", "Addresses", "Credential", "Routes", "Calls", "From the Jobs API", "Last call"]);
  byId("more-clients").textContent = clients.length > MOST_ROWS ? `and ${clients.length - MOST_ROWS} more that called before: /usage` : "";
  showRoutes(seen, shown);
  showFindings(seen, shown);
}

// Who answers each route, and who still calls it.
function showRoutes(seen, shown) {
  const modes = Object.fromEntries(seen.modes.map(one => [one.route, one]));
  cells("routes", seen.legacy.map(({ route, mode }) => {
    const uses = seen.usage.clients.map(client => client.routes[route]).filter(Boolean);
    const { mode: words, back } = modes[mode];
    const calls = uses.reduce((all, use) => all + use.count, 0), moved = uses.reduce((all, use) => all + use.translated, 0);
    return [shown(route), back ? text(`${words}: gone back, forwarded`, "warn") : words, count(calls),
      calls ? bar(Math.floor(100 * moved / calls)) : text("–", "soft"), count(uses.length),
      calls ? ago(seen.now_ms, Math.max(...uses.map(use => use.last_seen_ms))) : text(`none in ${ago(seen.now_ms, seen.usage.since_ms).replace(" ago", "")}`, "soft")];
  }), ["Route", "Mode", "Calls", "From the Jobs API", "Clients", "Last call"]);
  byId("alerts").replaceChildren(...seen.modes.filter(one => one.back).map(one => {
    const alert = document.createElement("p");
    alert.className = "alert";
    alert.textContent = `The canary of ${shown(one.route)} went back ${ago(seen.now_ms, one.back.at_ms)}: ${one.back.reason}. The route is forwarded until its mode or the tables change.`;
    return alert;
  }));
}

// What comparisons found: differences in full, all else in a line.
function showFindings(seen, shown) {
  const found = Object.entries(seen.findings);
  const of = one => ["same", "different", "noise"].reduce((all, word) => all + (one.compared[word] || 0), 0);
  const [all, different] = found.reduce(([all, different], [, one]) => [all + of(one), different + (one.compared.different || 0)], [0, 0]);
  byId("tile-differing").textContent = all ? `${count(different)} of ${count(all)}` : "–";
  const fields = found.flatMap(([route, one]) => Object.entries(one.fields).map(([name, field]) => ({ route, one, name, ...field })));
  cells("differences", fields.filter(field => field.differences).sort((a, b) => b.last_ms - a.last_ms).map(({ route, one, name, differences, sample, last_ms }) =>
    [shown(route), code(name), `${count(differences)} of ${count(of(one))}`, code(sample.path), code(sample.forwarded), code(sample.translated), ago(seen.now_ms, last_ms)]),
    ["Route", "Field", "Answers", "For example at", "Legacy endpoint", "Translation", "Last"]);
  byId("compared").textContent = found.map(([route, one]) =>
    `${shown(route)}: ${Object.entries(one.compared).map(([word, number]) => `${count(number)} ${word}`).join(", ")}`).join(" · ");
  const told = (kind, words) => {
    const some = fields.filter(field => field[kind]).map(field => `${shown(field.route)} ${field.name} (${count(field[kind])})`);
    return some.length ? [`${words}: ${some.join(", ")}.`] : [];
  };
  byId("no-differences").textContent = [...told("losses", "No difference, as the Jobs API does not carry it"), ...told("noise", "No difference, as two reads of the legacy endpoint show it, too")].join(" ");
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
