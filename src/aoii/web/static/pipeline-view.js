/* The health of the pipeline, hop by hop, the ledger, and the dead letters. */

import { $, copyOf, fillRows, make, part, renewChildren, setText, showState } from "./dom.js";
import { LedgerPanel } from "./ledger-panel.js";
import { presentReasons, verdict } from "./pipeline.js";
import { drawSpark } from "./spark.js";
import { SwitchPanel } from "./switch-panel.js";

/**
 * @typedef {import("./api.js").Pipeline} Pipeline
 * @typedef {import("./api.js").Hop} Hop
 * @typedef {import("./api.js").HopReport} HopReport
 * @typedef {import("./api.js").StreamEvent} StreamEvent
 */

const REPLAYED_BY_HAND = "bad_row"; // after a person has fixed the table

export class PipelineView {
  /** @param {import("./app.js").App} app */
  constructor(app) {
    this.app = app;
    /** @type {Pipeline | null} */
    this.pipeline = null;
    this.ledger = new LedgerPanel(app);
    this.switches = new SwitchPanel(app);
  }

  title() {
    return this.app.locale.messages.pipeline;
  }

  /** @param {StreamEvent} event */
  showSnapshot(event) {
    this.switches.refresh();
    this.showUpdate(event);
  }

  leave() {
    this.ledger.stop();
  }

  /** @param {StreamEvent} event */
  showUpdate({ pipeline, status }) {
    if (status) this.followLedger(status.database_away === null);
    if (!pipeline) return;
    this.pipeline = pipeline;
    this.show(pipeline);
  }

  /** @param {boolean} isThere whether the database can be read */
  followLedger(isThere) {
    if (isThere) this.ledger.start();
    else this.ledger.stop();
  }

  translate() {
    if (this.pipeline) this.show(this.pipeline);
    this.ledger.show();
    this.switches.show();
  }

  /** @param {Pipeline} pipeline */
  show({ hops, others, dead_letters: letters }) {
    renewChildren($("hops"), hops.map(({ reports }) => sources(reports)).join(), () => hops.map(newHop));
    renewChildren($("others"), sources(others), () => others.map(() => copyOf("new-report")));
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
   * @param {boolean} hasState whether to show its state; the only report of a hop has the state of the hop
   */
  fillReport(item, report, hasState) {
    const { locale } = this.app;
    const { messages } = locale;
    const by = report.by === "web" ? messages.byPage : messages.by(messages.stations[report.by]);
    setText(part(item, ".by"), report.address ? `${by} · ${report.address}` : by);
    part(item, ".report-state").hidden = !hasState;
    showState(part(item, ".report-state"), "hop", report.state, messages.hopStates);
    const counts = this.counts(report);
    renewChildren(part(item, ".counts"), String(counts), () => counts.map(newCount));
    setText(part(item, ".stale"), report.stale_s === null ? "" : `(${messages.stale(locale.ago(report.stale_s))})`);
    const drawing = part(item, "svg", SVGElement);
    drawing.toggleAttribute("hidden", report.track.length < 2 || Math.max(...report.track) === 0);
    drawSpark(drawing, report.track);
    const notes = report.notes.map(([code, values]) => messages.notes[code](this.written(values)));
    renewChildren(part(item, ".notes"), notes.join("\n"), () => notes.map((note) => make("li", {}, note)));
  }

  /**
   * The numbers in a report, each with its name.
   *
   * @param {HopReport} report
   * @returns {[name: string, value: string][]}
   */
  counts({ waiting, oldest_s: oldest, per_minute: rate, ahead_s: ahead, written_mb: written }) {
    const { messages, whole, tenth, duration } = this.app.locale;
    /** @type {[string, string][]} */
    const counts = [];
    if (waiting !== null) counts.push([messages.waiting, whole(waiting)]);
    if (waiting) counts.push([messages.oldest, duration(oldest ?? 0)]);
    if (rate !== null) counts.push([messages.rate, tenth(rate)]);
    for (const [name, seconds] of Object.entries(ahead))
      counts.push([messages.ahead[/** @type {keyof typeof ahead} */ (name)], duration(seconds)]);
    if (written !== null) counts.push([messages.written, `${whole(written)} MB`]);
    return counts;
  }

  /**
   * The values of a note as texts in the format of the language.
   *
   * @param {Record<string, string | number>} values
   */
  written(values) {
    const { messages, whole, duration } = this.app.locale;
    const stations = /** @type {Record<string, string>} */ (messages.stations);
    /** @type {Record<string, (value: any) => string>} */
    const write = {
      count: whole,
      seconds: duration,
      written: whole,
      budget: whole,
      station: (name) => stations[name] ?? name,
    };
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
    const meanings = /** @type {Record<string, string>} */ (messages.letterReasons);
    fillRows(
      $("letters-rows"),
      reasons.map((reason) => [
        code(reason),
        whole(counts?.[reason] ?? 0),
        meanings[reason] ?? "",
        this.advice(reason),
      ]),
    );
  }

  /**
   * What to do about dead letters with this reason.
   *
   * @param {string} reason
   */
  advice(reason) {
    const { messages } = this.app.locale;
    const advice = make("span", {}, `${messages.lookWith} `, code(`aoii dlq list --reason ${reason}`));
    if (reason === REPLAYED_BY_HAND)
      advice.append(` ${messages.thenWith} `, code(`aoii dlq replay --all --reason ${reason}`));
    return advice;
  }
}

/**
 * Who reports, as a key for `renewChildren`: the elements of the reports stay while it does.
 *
 * @param {HopReport[]} reports
 */
function sources(reports) {
  return JSON.stringify(reports.map(({ by, address }) => [by, address]));
}

/** @param {Hop} hop */
function newHop({ name, reports }) {
  const item = copyOf("new-hop");
  item.id = `hop-${name}`;
  part(item, ".reports").append(...reports.map(() => copyOf("new-report")));
  return item;
}

/** @param {[name: string, value: string]} count */
function newCount([name, value]) {
  return make("div", {}, make("dt", {}, name), make("dd", {}, value));
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
