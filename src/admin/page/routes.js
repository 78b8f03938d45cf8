"use strict";
// How it stands: the server, the tiles, each route, and what somebody has to do.
const NOTHING = { count: 0, translated: 0, failed: 0 };
const plus = (one, other) => ({ count: one.count + other.count, translated: one.translated + other.translated, failed: one.failed + other.failed });
const total = all => all.reduce(plus, NOTHING);

function showServer({ upstream, version, jobshim, jobshims }) {
  byId("version").textContent = version;
  byId("jobshims").textContent = jobshim ? `${jobshim.slice(0, 8)}, one of ${jobshims} that share a store · ` : "";
  byId("upstream").className = upstream.answers ? "up" : upstream.answers === false ? "down" : "";
  const what = upstream.about ? upstream.about.replace(/\.$/, "") : "dialect not known yet";
  const since = upstream.since ? ` since ${moment(Date.parse(upstream.since) / 1000)}` : "";
  byId("upstream-text").textContent = `${upstream.url} ${upstream.answers ? "answers" : upstream.answers === false ? "does not answer" : "has not been asked"}${since} · ${what}`;
}

function tile(id, words, kind) {
  byId(id).textContent = words;
  byId(id).className = kind || "";
}

function showTiles({ series, legacy, findings, verdicts }) {
  const routes = legacy.map(({ route }) => series.totals[route] || NOTHING), calls = total(routes);
  const fails = routes.some(one => one.count && one.failed === one.count) || verdicts.some(one => one.verdict === "failing");
  tile("tile-legacy", count(calls.count));
  tile("tile-translated", percent(calls.translated, calls.count), fails ? "warn" : "");
  const medians = series.latency.jobs_api.p50.filter(value => value != null);
  tile("tile-latency", medians.length ? medians[medians.length - 1].toFixed(1) + " ms" : "–");
  const { hits, misses } = series.cached;
  tile("tile-cache", percent(hits, hits + misses));
  const errors = total(Object.values(series.totals)).failed;
  tile("tile-errors", count(errors), errors ? "warn" : "");
  const found = Object.values(findings);
  const [all, different, lost] = [telling, one => one.compared.different || 0, one => one.compared.lost || 0].map(of => sum(found.map(of)));
  tile("tile-differing", all ? `${count(different)} of ${count(all)}` : "–", different ? "warn" : "");
  tile("tile-lost", all ? `${count(lost)} of ${count(all)}` : "–", lost ? "warn" : "");
  byId("tile-lost").closest("div").hidden = !found.some(one => "lost" in one.compared);
}

function showRoutes(seen, shown) {
  const modes = Object.fromEntries(seen.modes.map(one => [one.route, one]));
  const verdicts = Object.fromEntries(seen.verdicts.map(one => [one.route, one]));
  cells("routes", seen.legacy.map(({ route, mode }) => {
    const { mode: words, back } = modes[mode], verdict = verdicts[route];
    const uses = seen.usage.clients.map(client => client.routes[route]).filter(Boolean);
    const calls = seen.series.totals[route] || NOTHING;
    const hasFailed = calls.count > 0 && calls.failed === calls.count;
    return [text(shown(route), hasFailed ? "warn" : ""), back ? text(`${words}: rolled back, forwarded`, "warn") : words,
      text(verdict.words, verdict.bad ? "warn" : ""),
      count(calls.count), bar(calls), count(seen.usage.clients.filter(client => client.within[route]).length),
      uses.length ? ago(seen.now_ms, Math.max(...uses.map(use => use.last_seen_ms))) : text(`none in ${lasted(seen.now_ms - seen.usage.since_ms)}`, "soft"),
      text(verdict.next_step, "soft")];
  }), ["Route", "Mode", "Verdict", "Calls", "From the Jobs API", "Clients", "Last call", "Next step"]);
}

function showAlerts({ upstream, modes, now_ms }, shown) {
  const alerts = modes.filter(one => one.back).map(one => make("p", "alert",
    `The canary of ${shown(one.route)} rolled back ${ago(now_ms, one.back.at_ms)}: ${one.back.reason}. The route is forwarded until its mode or the tables change.`));
  if (upstream.answers === false) {
    const reason = upstream.last_failure ? `: ${upstream.last_failure.reason}` : "";
    const page = /^https?:\/\//.test(upstream.url) ? link(upstream.url, upstream.url) : code(upstream.url);
    alerts.unshift(make("div", "alert", make("b", "", `The server does not answer${reason}.`), " What to do:", make("ul", "",
      make("li", "", "See whether it runs: ", page, " has to open from the machine of jobshim."),
      make("li", "", "If it is elsewhere, change ", code("upstream.url"), ": ", link("/config", "what is in force"), "."),
      make("li", "", code("jobshim doctor"), " names the cause and what mends it."),
      make("li", "", "Nothing has to be restarted: the next request asks it again, and ", link("/readyz", "/readyz"), " asks it now. Until then clients get 502, 503 or 504."))));
  }
  byId("alerts").replaceChildren(...alerts);
}

// What the tab says while nobody looks at the page.
function showTitle({ upstream, modes, verdicts, series }, isStale) {
  const back = modes.filter(one => one.back).length, bad = verdicts.filter(one => one.bad).length;
  const many = (number, word) => `${number} ${word}${number === 1 ? "" : "s"}`;
  const failed = total(Object.values(series.totals)).failed;
  const state = isStale ? "! jobshim does not answer" : upstream.answers === false ? "! server down" : back ? `! ${many(back, "canary").replace("canarys", "canaries")} rolled back`
    : bad ? `! ${many(bad, "bad verdict")}` : failed ? `! ${count(failed)} 5xx` : upstream.answers ? "✓" : "…";
  document.title = isStale ? state : `${state} · jobshim`;
}
