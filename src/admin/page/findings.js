"use strict";
// What comparisons found: fields that differ or are lost, and the last answers that differed, field by field.
const compared = one => ["same", "different", "lost", "noise"].reduce((all, word) => all + (one.compared[word] || 0), 0);
// What is noise says nothing of the translation.
const telling = one => compared(one) - (one.compared.noise || 0);
let answersShown = "";

function showFindings({ findings, now_ms }, shown) {
  const found = Object.entries(findings);
  const fields = found.flatMap(([route, one]) => Object.entries(one.fields).map(([name, field]) => ({ route, one, name, ...field })));
  const told = fields.filter(field => field.differences || field.losses);
  const of = (number, one) => number ? `${count(number)} of ${count(compared(one))}` : text("–", "soft");
  cells("differences", told.sort((a, b) => !a.differences - !b.differences || b.last_ms - a.last_ms).map(({ route, one, name, differences, losses, sample, last_ms }) =>
    [shown(route), code(name), of(differences, one), of(losses, one), code(sample.path), code(sample.forwarded), code(sample.translated), ago(now_ms, last_ms)]),
    ["Route", "Field", "Differ", "Lost", "For example at", "Legacy endpoint", "Translation", "Last"]);
  const [all, known] = [compared, telling].map(of => sum(found.map(([, one]) => of(one))));
  byId("no-differing").textContent = known ? `None found in ${count(known)} compared answers.`
    : all ? `In all ${count(all)} compared answers the legacy endpoint differs from itself: nobody knows whether translations do.` : found.length ? "No answer could be compared." : "Nothing has been compared: mode shadow compares, and so does a canary with compare.";
  byId("compared").textContent = found.map(([route, one]) =>
    `${shown(route)}: ${Object.entries(one.compared).map(([word, number]) => `${count(number)} ${word}`).join(", ")}`).join(" · ");
  const noisy = fields.filter(field => field.noise).map(field => `${shown(field.route)} ${field.name} (${count(field.noise)})`);
  byId("noise").textContent = noisy.length ? `No difference, as two reads of the legacy endpoint show it, too: ${noisy.join(", ")}.` : "";
}

// The last answers that differed. They stay as they are, opened or not, until there is another.
function showAnswers({ differing }, shown) {
  byId("answers").hidden = !differing.length;
  const these = JSON.stringify(differing.map(answer => [answer.at_ms, answer.request_id]));
  if (these === answersShown) return;
  answersShown = these;
  byId("answer-list").replaceChildren(...differing.map(answer => {
    const fields = answer.fields.length + answer.more;
    const head = make("summary", "", text(moment(answer.at_ms / 1000), "soft"), " ", make("b", "", shown(answer.route)), ` ${fields} field${fields === 1 ? "" : "s"} `,
      answer.request_id ? make("span", "soft", "request ", code(answer.request_id)) : "");
    const side = (label, words) => { const cell = make("td", "", code(words)); cell.dataset.label = label; return cell; };
    const rows = answer.fields.map(({ path, forwarded, translated }) => make("tr", "", side("Field", path), side("Legacy endpoint", forwarded), side("Translation", translated)));
    const table = make("table", "", make("thead", "", make("tr", "", make("th", "", "Field"), make("th", "", "Legacy endpoint"), make("th", "", "Translation"))), make("tbody", "", ...rows));
    const more = answer.more ? [make("p", "hint", `and ${answer.more} more`)] : [];
    return make("details", "", head, make("div", "scroll", table), ...more);
  }));
}
