"use strict";
// Who calls, filtered and sorted.
// The last so many rows of a long table are told in one line.
const MOST_ROWS = 25;
const named = client => client.agent || "(no user agent)";
const lastCall = client => Math.max(...Object.values(client.routes).map(use => use.last_seen_ms));
const callsOf = client => total(Object.values(client.within));
const share = ({ count, translated }) => count ? translated / count : 2;
const ORDERS = {
  last: (one, other) => lastCall(other) - lastCall(one),
  calls: (one, other) => callsOf(other).count - callsOf(one).count,
  share: (one, other) => share(callsOf(one)) - share(callsOf(other)),
  name: (one, other) => named(one).localeCompare(named(other)),
};

function showClients({ usage, now_ms }, shown) {
  const wanted = byId("client-filter").value.trim().toLowerCase();
  const words = client => [named(client), client.addresses, client.credential || "", ...Object.keys(client.routes).map(shown)].join(" ").toLowerCase();
  const found = usage.clients.filter(client => words(client).includes(wanted)).sort(ORDERS[byId("client-order").value]);
  cells("clients", found.slice(0, MOST_ROWS).map(client => [
    named(client), client.addresses, client.credential ? code(client.credential) : text("none", "soft"),
    listed(Object.keys(client.routes).map(name => text(shown(name), client.within[name] ? "" : "soft")), ", "),
    count(callsOf(client).count), bar(callsOf(client)), ago(now_ms, lastCall(client)),
  ]), ["Client", "Addresses", "Credential", "Routes", "Calls", "From the Jobs API", "Last call"]);
  byId("no-clients").textContent = wanted && usage.clients.length ? `None of ${usage.clients.length} clients has "${wanted}".` : "No legacy call so far.";
  const more = found.length - MOST_ROWS;
  byId("more-clients").replaceChildren(...(more > 0 ? [`and ${more} more: filter, or see all in `, link("/usage", "/usage")] : []));
}
