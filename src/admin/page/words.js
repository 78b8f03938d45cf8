"use strict";
// Words for numbers and times, and the small pieces that tables are made of. Whatever clients sent is text, never markup.
const byId = id => document.getElementById(id);
const sum = column => (column || []).reduce((all, one) => all + one, 0);
const short = number => number.toFixed(1).replace(/\.0$/, "");
const count = number => number >= 1e6 ? short(number / 1e6) + " M" : number >= 1e4 ? short(number / 1e3) + " k" : String(number);

// A few of many are never 0 %, and all but a few never 100 %.
const percent = (part, all) => {
  if (!all) return "–";
  const exact = 100 * part / all;
  if (part <= 0) return "0 %";
  if (part >= all) return "100 %";
  if (exact < 0.1) return "< 0.1 %";
  if (exact > 99.9) return "> 99.9 %";
  return (exact < 10 || exact > 90 ? short(exact) : exact.toFixed(0)) + " %";
};

const lasted = ms => {
  const s = Math.max(0, Math.round(ms / 1000));
  const [n, unit] = s < 60 ? [s, "s"] : s < 3600 ? [Math.floor(s / 60), "min"] : s < 86400 ? [Math.floor(s / 3600), "h"] : [Math.floor(s / 86400), "d"];
  return `${n} ${unit}`;
};
const ago = (now, then) => lasted(now - then) + " ago";

const day = second => new Date(second * 1000).toLocaleDateString([], { day: "numeric", month: "short" });
const clock = (second, exact) => new Date(second * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23", ...(exact && { second: "2-digit" }) });
// The day is named where it is not today.
const moment = second => (day(second) === day(Date.now() / 1000) ? "" : day(second) + ", ") + clock(second, true);

const make = (name, kind, ...content) => {
  const one = document.createElement(name);
  if (kind) one.className = kind;
  one.append(...content);
  return one;
};
const text = (words, kind) => make("span", kind, words);
const code = words => make("code", "", words);
const link = (to, words) => Object.assign(make("a", "", words), { href: to });
const listed = (nodes, between) => make("span", "", ...nodes.flatMap((node, n) => n ? [between, node] : [node]));

// What share was answered from the Jobs API, and what share failed.
function bar({ count: all, translated, failed }) {
  if (!all) return text("–", "soft");
  const part = (share, kind) => {
    const fill = make("i", kind);
    fill.style.width = 100 * share / all + "%";
    return share ? [fill] : [];
  };
  const track = make("span", "bar", ...part(translated), ...part(failed, "failed"));
  const fate = failed ? [text(failed === all ? " · all failed" : ` · ${count(failed)} failed`, "warn")] : [];
  return make("span", "share", track, percent(translated, all), ...fate);
}

// Rows of cells below a head of labels.
function cells(table, rows, labels) {
  const isNumber = label => ["Calls", "Clients", "Differ", "Lost"].includes(label);
  const row = (name, filled) => make("tr", "", ...labels.map((label, n) => {
    const cell = make(name, isNumber(label) ? "n" : "", filled[n] ?? "");
    cell.dataset.label = label;
    if (filled[n] === "1") cell.dataset.one = "";
    return cell;
  }));
  byId(table).tHead.replaceChildren(row("th", labels));
  byId(table).tBodies[0].replaceChildren(...rows.map(one => row("td", one)));
  const section = byId(table).closest("section");
  section.querySelector(".empty").hidden = rows.length > 0;
  section.querySelector(".scroll").hidden = rows.length === 0;
}
