"use strict";
// What changed while jobshim ran: a list, and what the charts mark.
const KINDS = {
  gone: event => `${count(event.count)} call${event.count === 1 ? "" : "s"} answered 410`,
  reloaded: () => "Configuration read again", reload_refused: () => "New configuration refused, the old one stays",
  rolled_back: () => "Canary rolled back", down: () => "Server stopped answering", up: () => "Server answers again",
};
const BAD = ["reload_refused", "rolled_back", "down"];

// When each ended: a server that is down stays so until it is up.
function ended(seen) {
  return seen.events.map(event => {
    const up = event.kind === "down" && seen.events.filter(other => other.kind === "up" && other.at_ms >= event.at_ms).pop();
    return { ...event, end_ms: event.kind !== "down" ? event.until_ms : up ? up.at_ms : seen.now_ms, lasts: event.kind === "down" && !up };
  });
}

function showEvents(seen, shown) {
  const isShort = event => event.end_ms - event.at_ms < 1000;
  cells("events", events.slice(0, 30).map(event => {
    const words = KINDS[event.kind] ? KINDS[event.kind](event) : event.kind;
    const until = event.lasts ? ", and has not come back" : isShort(event) ? "" : ` for ${lasted(event.end_ms - event.at_ms)}`;
    return [text(moment(event.at_ms / 1000), "soft"), make("span", BAD.includes(event.kind) ? "warn" : "", words, until, event.jobshim ? ` (jobshim ${event.jobshim.slice(0, 8)})` : ""),
      listed([event.route ? shown(event.route) : "", event.words].filter(Boolean), ": ")];
  }), ["When", "Event", "What"]);
  const more = events.length - 30;
  byId("more-events").textContent = more > 0 ? `and ${more} before` : "";
}
