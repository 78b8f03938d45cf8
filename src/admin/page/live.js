"use strict";
// Asks /overview every few seconds, and shows what it says. Nothing is asked of any other host.
let span = "hour", last = null;

function show(seen) {
  const shown = name => seen.names.routes[name] || name;
  events = ended(seen);
  now = seen.now_ms / 1000;
  showServer(seen);
  showTitle(seen);
  showAlerts(seen, shown);
  showTiles(seen);
  showRoutes(seen, shown);
  showCharts(seen);
  showEvents(seen, shown);
  showClients(seen, shown);
  showFindings(seen, shown);
  showAnswers(seen, shown);
  for (const one of document.querySelectorAll(".span-words")) one.textContent = span === "hour" ? "last hour" : "last 24 hours";
}

async function asked(wanted) {
  const answer = await fetch(`/overview?span=${wanted}`, { cache: "no-store" });
  if (!answer.ok) throw new Error(answer.status);
  return answer.json();
}

async function refresh() {
  const wanted = span;
  let seen;
  try {
    seen = await asked(wanted);
  } catch {
    byId("stale").hidden = false;
    if (last) showTitle(last, true);
    return;
  }
  // Somebody has chosen the other span meanwhile.
  if (wanted !== span) return;
  last = seen;
  byId("stale").hidden = true;
  show(last);
  document.body.dataset.shown = String(last.now_ms);
  document.body.dataset.shownSpan = wanted;
}

for (const button of document.querySelectorAll("[data-span]")) {
  button.addEventListener("click", () => {
    span = button.dataset.span;
    for (const one of document.querySelectorAll("[data-span]")) one.setAttribute("aria-pressed", String(one === button));
    refresh();
  });
}
const again = () => { if (last) show(last); };
byId("client-filter").addEventListener("input", again);
byId("client-order").addEventListener("input", again);
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
dark.addEventListener("change", again);
addEventListener("resize", again);
(async () => { for (;;) { await refresh().catch(console.error); await new Promise(done => setTimeout(done, document.hidden ? 30000 : 3000)); } })();
