"use strict";
// Asks every few seconds where the grid is, and changes on the page what has changed.
const PERIOD = 2000;
const at = (id) => document.getElementById(id);
let chosen = null; // the view that the reader asked for
let shown = 0; // the number of the report that is shown
let touched = false; // whether the reader has used the report: then it stays until they ask for the newer one
let latest = null;

function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function element(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

// Rows are kept and their cells filled anew, so that nothing jumps.
function fill(body, rows) {
  rows.forEach((cells, place) => {
    const row = body.rows[place] ?? body.insertRow();
    const text = JSON.stringify(cells);
    if (row.dataset.text === text) return;
    row.dataset.text = text;
    row.replaceChildren(...cells.map((cell) => {
      const made = element(cell.heading ? "th" : "td", cell.text, cell.kind);
      if (cell.share !== undefined) {
        const track = element("span", undefined, "track");
        track.append(element("span", undefined, "running"));
        track.firstChild.style.width = `${100 * cell.share}%`;
        made.prepend(track);
      }
      if (cell.small) made.append(element("small", cell.small));
      return made;
    }));
  });
  while (body.rows.length > rows.length) body.deleteRow(-1);
}

const number = (value, digits) => (value === null ? "" : value.toFixed(digits));

function show(state) {
  const { counts, total } = state;
  const words = { finished: "finished", running: "running", failed: "failed", others: counts.running ? "to go" : "not running: waiting, or stopped" };
  for (const name of ["finished", "running", "failed"]) at("bar").querySelector(`.${name}`).style.width = `${total ? (100 * counts[name]) / total : 0}%`;
  at("bar").setAttribute("aria-label", `${counts.finished} of ${total} finished`);
  const list = Object.keys(words).filter((name) => counts[name] > 0 || name === "finished");
  at("counts").replaceChildren(...list.map((name) => {
    const item = element("li");
    item.append(element("span", undefined, `key ${name}`), name === "finished" ? `${counts.finished} of ${total} finished` : `${counts[name]} ${words[name]}`);
    return item;
  }));
  document.title = total ? `${counts.finished}/${total} · ${state.runs}` : state.runs;
  put(at("note"), state.note);
  at("note").classList.remove("lost");
  at("running-section").hidden = !state.running.length;
  fill(at("running"), state.running.map((one) => [
    { text: one.name }, one.total ? { text: `${one.done}/${one.total}${one.unit === "step" ? "" : ` ${one.unit}s`}`, share: one.done / one.total } : { text: "starting" },
    { text: number(one.loss, 3), kind: "number" }, { text: one.rate === null ? "" : one.rate.toPrecision(3), kind: "number" },
    { text: one.left, kind: "number" }, { text: one.host },
  ]));
  at("failed-section").hidden = !state.failed.length;
  fill(at("failed"), state.failed.map((one) => [{ text: String(one.count), kind: "number" }, { text: one.cause, kind: "words" }, { text: one.first }]));
  at("scores-section").hidden = !state.scores.rows.length;
  put(at("score"), state.scores.label);
  fill(at("methods"), state.scores.rows.length ? [[{ text: "", heading: true }, ...state.scores.methods.map((text) => ({ text, heading: true, kind: "number" }))]] : []);
  fill(at("scores"), state.scores.rows.map((row) => [
    { text: row.model, heading: true }, ...row.cells.map((cell) => (cell === null ? { text: "" } : { text: cell.score === null ? "–" : cell.score.toFixed(1), small: `${cell.finished}/${cell.of}`, kind: "number" })),
  ]));
  at("nothing").hidden = total > 0;
  at("show-report").disabled = !state.report;
  if (state.report > shown) {
    if (touched) at("newer").hidden = false;
    else load(state.report);
  }
  // what was asked for; else the report once it is that of the end
  view(chosen ?? (state.ended && state.report && state.current ? "report" : "progress"));
}

function view(name) {
  const report = name === "report";
  at("progress-view").hidden = report;
  at("report-view").hidden = !report;
  document.body.classList.toggle("reading", report);
  at("show-report").setAttribute("aria-pressed", String(report));
  at("show-progress").setAttribute("aria-pressed", String(!report));
}

// A newer report is loaded beside the one that is shown, and takes its place, scrolled as far, once it is there.
function load(version) {
  shown = version;
  touched = false;
  at("newer").hidden = true;
  const before = at("report-view").querySelector("iframe:not(.coming)");
  at("report-view").querySelectorAll("iframe.coming").forEach((one) => one.remove());
  const frame = element("iframe");
  frame.title = "Report";
  if (before) frame.className = "coming";
  frame.addEventListener("load", () => {
    if (before) {
      const y = before.contentWindow.scrollY;
      before.remove();
      frame.className = "";
      frame.contentWindow.scrollTo(0, y);
    }
    for (const kind of ["pointerdown", "keydown"]) frame.contentWindow.addEventListener(kind, () => { touched = true; });
  });
  frame.src = `/report.html?${version}`;
  at("report-view").append(frame);
}

async function ask() {
  try {
    const answer = await fetch("/state.json", { cache: "no-store" });
    const text = await answer.text();
    if (!answer.ok) throw new Error(text);
    if (text !== latest) {
      show(JSON.parse(text));
      latest = text;
    }
  } catch {
    put(at("note"), "The server no longer answers. The page shows its last state.");
    at("note").classList.add("lost");
    latest = null;
  }
  setTimeout(ask, document.hidden ? 5 * PERIOD : PERIOD);
}

for (const name of ["progress", "report"]) at(`show-${name}`).addEventListener("click", () => { chosen = name; view(name); });
at("newer").addEventListener("click", () => { const state = latest && JSON.parse(latest); if (state) load(state.report); });
ask();
