/* The health of the pipeline, hop by hop, and the dead letters. */

import { $, fillRows, make, part, setText, showState } from "./dom.js";
import { presentReasons, verdict } from "./pipeline.js";
import { drawSpark, newSpark } from "./spark.js";

/**
 * @typedef {import("./api.js").Pipeline} Pipeline
 * @typedef {import("./api.js").Hop} Hop
 * @typedef {import("./api.js").HopReport} HopReport
 * @typedef {import("./api.js").StreamEvent} StreamEvent
 */

const REPLAYED = "bad_row"; // replayed by hand, after the table is fixed

export class PipelineView {
  /** @param {import("./app.js").App} app */
  constructor(app) {
    this.app = app;
    /** @type {Pipeline | null} */
    this.pipeline = null;
    this.built = ""; // the hops and reports that have elements
    this.lettersShown = "";
  }

  title() {
    return this.app.locale.messages.pipeline;
  }

  /** @param {StreamEvent} event */
  showSnapshot(event) {
    this.showUpdate(event);
  }

  /** @param {StreamEvent} event */
  showUpdate({ pipeline }) {
    if (!pipeline) return;
    this.pipeline = pipeline;
    this.show(pipeline);
  }

  translate() {
    if (this.pipeline) this.show(this.pipeline);
  }

  /** @param {Pipeline} pipeline */
  show({ hops, others, dead_letters: letters }) {
    const key = JSON.stringify([hops.map(({ name, reports }) => [name, reports.map(sourceOf)]), others.map(sourceOf)]);
    if (key !== this.built) {
      this.built = key;
      $("hops").replaceChildren(...hops.map(newHop));
      $("others").replaceChildren(...others.map(newReport));
    }
    for (const hop of hops) this.fillHop($(`hop-${hop.name}`), hop);
    for (const [place, report] of others.entries()) this.fillReport(child($("others"), place), report, true);
    this.showVerdict(hops);
    this.showLetters(letters);
  }

  /** @param {Hop[]} hops */
  showVerdict(hops) {
    const { messages } = this.app.locale;
    const { state, trouble, unknown } = verdict(hops);
    const named = trouble.map((hop) => `${messages.hops[hop.name]} (${messages.hopStates[hop.state]})`);
    const unseen = unknown.map((hop) => messages.hops[hop.name]);
    $("verdict").dataset.hop = state;
    const text = { ok: messages.allWell, unknown: messages.notSeen(unseen.join(", ")) };
    setText($("verdict"), state === "ok" || state === "unknown" ? text[state] : messages.trouble(named.join(", ")));
  }

  /**
   * @param {HTMLElement} item
   * @param {Hop} hop
   */
  fillHop(item, { name, state, reports }) {
    const { messages } = this.app.locale;
    item.dataset.hop = state;
    setText(part(item, "h2"), messages.hops[name]);
    showState(part(item, ".hop-state"), "hop", state, messages.hopStates);
    setText(part(item, ".hop-head p"), messages.hopHelp[name]);
    const list = part(item, ".reports");
    for (const [place, report] of reports.entries()) this.fillReport(child(list, place), report, reports.length > 1);
  }

  /**
   * @param {HTMLElement} item
   * @param {HopReport} report
   * @param {boolean} hasState whether to show its state; a single report has that of its hop
   */
  fillReport(item, report, hasState) {
    const { locale } = this.app;
    const { messages } = locale;
    const by = report.by === "web" ? messages.byPage : messages.by(messages.stations[report.by]);
    setText(part(item, ".by"), report.address ? `${by} · ${report.address}` : by);
    part(item, ".report-state").hidden = !hasState;
    showState(part(item, ".report-state"), "hop", report.state, messages.hopStates);
    fillCounts(part(item, ".counts"), this.counts(report));
    setText(part(item, ".stale"), report.stale_s === null ? "" : `(${messages.stale(locale.ago(report.stale_s))})`);
    const drawing = part(item, "svg", SVGElement);
    drawing.toggleAttribute("hidden", report.track.length < 2 || Math.max(...report.track) === 0);
    drawSpark(drawing, report.track);
    const notes = report.notes.map(([code, values]) => messages.notes[code](this.written(values)));
    const list = part(item, ".notes");
    if (list.dataset.shown === notes.join("\n")) return;
    list.dataset.shown = notes.join("\n");
    list.replaceChildren(...notes.map((textContent) => make("li", { textContent })));
  }

  /**
   * The numbers of a report, by name.
   *
   * @param {HopReport} report
   * @returns {[name: string, value: string][]}
   */
  counts({ waiting, oldest_s: oldest, per_minute: rate }) {
    const { messages, whole, tenth, duration } = this.app.locale;
    /** @type {[string, string][]} */
    const counts = [];
    if (waiting !== null) counts.push([messages.waiting, whole(waiting)]);
    if (waiting) counts.push([messages.oldest, duration(oldest ?? 0)]);
    if (rate !== null) counts.push([messages.rate, tenth(rate)]);
    return counts;
  }

  /**
   * The values of a note in the format of the language.
   *
   * @param {Record<string, string | number>} values
   */
  written(values) {
    const { messages, whole, duration } = this.app.locale;
    const stations = /** @type {Record<string, string>} */ (messages.stations);
    /** @type {Record<string, (value: any) => string>} */
    const write = { count: whole, seconds: duration, station: (name) => stations[name] ?? name };
    const written = Object.entries(values).map(([name, value]) => [name, write[name]?.(value) ?? String(value)]);
    return /** @type {import("./messages/en.js").NoteValues} */ (Object.fromEntries(written));
  }

  /** @param {Pipeline["dead_letters"]} letters */
  showLetters({ counts, stale_s: stale, dropped }) {
    const { locale } = this.app;
    const { messages, whole } = locale;
    const reasons = presentReasons(counts ?? {});
    const note = counts === null ? messages.lettersUnknown : reasons.length ? "" : messages.lettersNone;
    const age = stale === null ? "" : `(${messages.stale(locale.ago(stale))})`;
    setText($("letters-note"), `${note} ${age}`.trim());
    $("letters-table").hidden = !reasons.length;
    setText($("letters-dropped"), dropped ? messages.lettersDropped(whole(dropped)) : "");
    const key = JSON.stringify([locale.name, counts]);
    if (this.lettersShown === key) return;
    this.lettersShown = key;
    const meanings = /** @type {Record<string, string>} */ (messages.letterReasons);
    fillRows(
      $("letters-rows"),
      reasons.map((reason) => [code(reason), whole(counts?.[reason] ?? 0), meanings[reason] ?? "", this.act(reason)]),
    );
  }

  /**
   * What to do about dead letters with this reason.
   *
   * @param {string} reason
   */
  act(reason) {
    const { messages } = this.app.locale;
    const act = make("span", {}, `${messages.lookWith} `, code(`aoii dlq list --reason ${reason}`));
    if (reason === REPLAYED) act.append(` ${messages.thenWith} `, code(`aoii dlq replay --all --reason ${reason}`));
    return act;
  }
}

/** @param {HopReport} report */
function sourceOf({ by, address }) {
  return [by, address];
}

/** @param {Hop} hop */
function newHop({ name, reports }) {
  const head = make("div", { className: "hop-head" });
  head.append(make("h2"), make("span", { className: "hop-state" }), make("p", { className: "muted" }));
  const list = make("ul", { className: "reports" }, ...reports.map(newReport));
  return make("li", { className: "hop panel", id: `hop-${name}` }, head, list);
}

function newReport() {
  const [by, state, stale] = ["by", "report-state", "stale"].map((className) => make("span", { className }));
  const who = make("p", { className: "who" }, by ?? "", " ", state ?? "", " ", stale ?? "");
  const [counts, notes] = [make("dl", { className: "counts" }), make("ul", { className: "notes" })];
  return make("li", { className: "report" }, who, counts, newSpark(), notes);
}

/**
 * @param {HTMLElement} list
 * @param {[name: string, value: string][]} counts
 */
function fillCounts(list, counts) {
  if (list.children.length !== counts.length) {
    list.replaceChildren(...counts.map(() => make("div", {}, make("dt"), make("dd"))));
  }
  for (const [place, [name, value]] of counts.entries()) {
    setText(part(child(list, place), "dt"), name);
    setText(part(child(list, place), "dd"), value);
  }
}

/**
 * @param {HTMLElement} list
 * @param {number} place
 */
function child(list, place) {
  return /** @type {HTMLElement} */ (list.children[place]);
}

/** @param {string} textContent */
function code(textContent) {
  return make("code", { textContent });
}
