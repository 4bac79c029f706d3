/* One node: live, or any range of its history from the database. */

import { nodeAddress } from "./address.js";
import { fetchHistory } from "./api.js";
import { $, part, setText } from "./dom.js";
import { NodeCharts, QUANTITIES, UNITS } from "./node-charts.js";
import { showColumns, showPackets } from "./node-tables.js";
import { LIVE_SPANS_S } from "./range.js";
import { RangePicker } from "./range-picker.js";
import { indexAt, insert } from "./series.js";
import { titleOf } from "./summary.js";
import { showPresent, showSummary } from "./summary-panel.js";

/**
 * @typedef {import("./api.js").StreamEvent} StreamEvent
 * @typedef {import("./api.js").Summary} Summary
 * @typedef {import("./api.js").PastSummary} PastSummary
 * @typedef {import("./api.js").Totals} Totals
 * @typedef {import("./api.js").Points} Points
 * @typedef {import("./range.js").Range} Range
 */

const FRAME_MS = 100; // between two drawings at least
const LEAST_PERIODS = 10; // sample periods that the time axis shows at least
const RELOAD_MS = 60000; // how often a long span that ends now is read again
const BACKGROUND_S = 3600; // span of the stream while history is shown: only its summary is used
const NEVER = Number.NEGATIVE_INFINITY;
/** @type {Totals} */
const NO_TOTALS = { start_ms: null, end_ms: null, packets: 0, periodic: 0, logged: false };

export class NodeView {
  /** @param {import("./app.js").App} app */
  constructor(app) {
    this.app = app;
    this.picker = new RangePicker(app, () => this.range);
    this.isDrawing = false;
    this.reset();
    this.charts = new NodeCharts(app, (range) => this.zoomTo(range));
    $("table-panel").addEventListener("toggle", () => this.showTable());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.charts.renew());
    document.addEventListener("visibilitychange", () => this.draw());
  }

  reset() {
    /** @type {AbortController | null} */
    this.request = null;
    /** @type {string | null} */
    this.node = null;
    /** @type {Summary | null} the summary of the span of the stream */
    this.liveSummary = null;
    /** @type {import("./api.js").History | null} the history of the range that is shown; null before it has arrived */
    this.history = null;
    /** @type {Points} */
    this.points = noPoints();
    /** @type {number} the span of the stream, seconds */
    this.spanS = 0;
    /** @type {StreamEvent["neighbours"]} */
    this.neighbours = null;
    /** @type {Range} */
    this.range = [0, 1000];
    /** @type {number} */
    this.drawnAt = NEVER;
    /** @type {number} */
    this.loadedAt = NEVER;
    this.isZooming = false;
  }

  /* --- the view --- */

  streamOptions() {
    const { node, span } = this.app.address;
    return { node, span: this.isLive() ? span : BACKGROUND_S };
  }

  leave() {
    this.request?.abort();
    this.reset();
  }

  title() {
    const { messages } = this.app.locale;
    const summary = this.liveSummary;
    return summary?.node === this.node ? titleOf(summary, messages) : `${messages.node} ${this.node ?? ""}`;
  }

  /** Whether the stream updates the range that is shown; if not, the range is history. */
  isLive() {
    const { from, span } = this.app.address;
    return from === null && LIVE_SPANS_S.includes(span);
  }

  /** @param {StreamEvent} event */
  showSnapshot(event) {
    this.leave();
    this.node = event.node;
    this.points = event.points;
    this.spanS = event.span_s ?? 0;
    $("history-notice").hidden = true;
    $("nothing-there").hidden = true;
    setText($("range-note"), "");
    if (this.node === null) return;
    this.takeStatus(event);
    this.translate();
    if (!this.isLive()) this.loadHistory(this.node);
  }

  /** @param {StreamEvent} event */
  showUpdate(event) {
    const { samples, estimates, packets } = event.points;
    for (const sample of samples) insert(this.points.samples, sample);
    for (const estimate of estimates) insert(this.points.estimates, estimate);
    for (const packet of packets) insert(this.points.packets, packet);
    this.takeStatus(event);
    const isNew = samples.length + estimates.length + packets.length > 0 || event.summary !== null;
    if (isNew && this.isLive()) this.draw();
    const isOld = performance.now() - this.loadedAt > RELOAD_MS;
    if (this.node !== null && !this.isLive() && this.app.address.from === null && isOld) this.loadHistory(this.node);
  }

  /** Make the charts again: a chart has a size only when the view is visible. */
  onShown() {
    this.charts.renew();
    this.draw();
  }

  /**
   * Keep and show the summary and the neighbours in an event, if it has them.
   *
   * @param {StreamEvent} event
   */
  takeStatus({ summary, neighbours, status }) {
    if (summary) this.liveSummary = summary;
    if (neighbours) {
      this.neighbours = neighbours;
      this.showNeighbours();
    }
    if (summary || status) this.showLiveSummary();
  }

  /** Show the present state of the node; if the range is live, also its summary. */
  showLiveSummary() {
    if (!this.liveSummary) return;
    showPresent(this.app.locale, this.liveSummary, this.app.nowMs);
    if (this.isLive()) this.showSummary(this.liveSummary);
  }

  translate() {
    this.picker.show();
    const { locale, settings } = this.app;
    if (this.node === null || !settings) return;
    setText($("node-name"), this.node);
    const betas = QUANTITIES.map((quantity) => `±${settings[`beta_${quantity}`]}${UNITS[quantity]}`);
    setText($("band"), locale.messages.band(betas.join(" / ")));
    this.charts.renew();
    this.showNeighbours();
    this.showLiveSummary();
    if (this.history) this.showHistory(this.history);
    this.draw();
  }

  showNeighbours() {
    const { messages } = this.app.locale;
    for (const name of /** @type {const} */ (["previous", "next"])) {
      const link = $(`node-${name}`, HTMLAnchorElement);
      const node = this.neighbours?.[name] ?? null;
      link.hidden = node === null;
      if (node === null) continue;
      link.href = nodeAddress(node);
      link.title = messages[name](node);
      link.setAttribute("aria-label", link.title);
    }
  }

  /* --- history --- */

  /** @param {Range} range */
  zoomTo(range) {
    if (this.isZooming) return; // both charts report the same drag
    this.isZooming = true;
    this.picker.go(range);
  }

  /**
   * Read the range that the address names from the database, and show it.
   *
   * @param {string} node
   */
  async loadHistory(node) {
    const { address, locale, nowMs } = this.app;
    const { from, to, span } = address;
    this.range = from === null || to === null ? [nowMs - span * 1000, nowMs] : [from, to];
    this.loadedAt = performance.now();
    this.request?.abort();
    const request = new AbortController();
    this.request = request;
    $("charts").setAttribute("aria-busy", "true");
    if (!this.history) setText($("range-note"), locale.messages.loading);
    const answer = await fetchHistory(node, this.range, request.signal).catch((/** @type {Error} */ error) => error);
    if (request !== this.request) return;
    $("charts").removeAttribute("aria-busy");
    this.app.guarded(() => this.setHistory(answer));
  }

  /** @param {import("./api.js").History | Error} answer */
  setHistory(answer) {
    const isFailure = answer instanceof Error;
    $("history-notice").hidden = !isFailure;
    if (isFailure) {
      setText($("history-notice"), this.app.locale.messages.historyFailed(answer.message));
      if (!this.history) setText($("range-note"), "");
      return;
    }
    this.history = answer;
    this.showHistory(answer);
    this.draw();
  }

  /** @param {import("./api.js").History} history */
  showHistory(history) {
    const { messages, whole, span } = this.app.locale;
    const isEmpty = history.summary === null;
    $("nothing-there").hidden = !isEmpty;
    const note = history.exact
      ? messages.everyPoint(whole(history.points.samples.length), whole(history.points.packets.length))
      : messages.everyColumn(whole(history.summary.samples), whole(history.summary.packets), span(history.width_s));
    setText($("range-note"), isEmpty ? "" : note);
    this.showSummary(history.summary ?? NO_TOTALS);
  }

  /** The data of the range that is shown: of the stream, or of the history. @returns {import("./node-charts.js").Shown} */
  get shown() {
    if (this.isLive()) return { points: this.points, columns: null, summary: this.liveSummary };
    const { history } = this;
    if (history === null || history.exact) {
      return { points: history?.points ?? noPoints(), columns: null, summary: history?.summary ?? null };
    }
    return { points: noPoints(), columns: history, summary: history.summary };
  }

  /* --- drawing --- */

  /** Draw soon, at most once in `FRAME_MS`; not while the page is hidden. */
  draw() {
    if (this.isDrawing || document.hidden) return;
    this.isDrawing = true;
    const wait = Math.max(0, this.drawnAt + FRAME_MS - performance.now());
    setTimeout(() => requestAnimationFrame(() => this.app.guarded(() => this.drawNow())), wait);
  }

  drawNow() {
    this.isDrawing = false;
    this.drawnAt = performance.now();
    const { settings } = this.app;
    if (!settings || this.node === null) return;
    if (this.isLive()) this.followPoints(settings);
    this.charts.draw(this.node, this.shown, this.range, settings);
    this.showTable();
  }

  /**
   * Move the range so that it ends at the latest point, and drop the points before the span of the stream.
   *
   * @param {import("./api.js").Settings} settings
   */
  followPoints(settings) {
    const lists = Object.values(this.points);
    const endMs = Math.max(...lists.map((list) => list.at(-1)?.at_ms ?? NEVER));
    if (!Number.isFinite(endMs)) return;
    for (const list of lists) list.splice(0, indexAt(list, endMs - this.spanS * 1000 - 1) + 1);
    const startMs = Math.min(...lists.map((list) => list[0]?.at_ms ?? endMs));
    this.range = [Math.min(startMs, endMs - LEAST_PERIODS * settings.period_s * 1000), endMs];
  }

  /* --- texts --- */

  /**
   * Show the summary and the legend of the range that is shown.
   *
   * @param {PastSummary | Totals} summary
   */
  showSummary(summary) {
    const { locale, settings } = this.app;
    const { messages } = locale;
    const { columns } = this.shown;
    if (!settings) return;
    showSummary(locale, summary, settings);
    const coarse = settings.coarse && summary.logged && !columns ? ` ${messages.coarse}` : "";
    const source = summary.logged ? messages.fromLog : messages.fromPackets;
    setText($("source-note"), columns ? messages.fromColumns(locale.span(columns.width_s)) : source + coarse);
    const has = {
      measured: summary.logged && !columns,
      extremes: summary.logged && columns,
      estimate: !columns,
      band: !columns,
      sent: !columns,
      heartbeat: !columns,
      arrived: !summary.logged && columns,
      wrong: "wrong_spans" in summary && summary.wrong_spans.length > 0,
    };
    for (const [name, isThere] of Object.entries(has)) part($("legend"), `.${name}`).hidden = !isThere;
  }

  showTable() {
    const { locale } = this.app;
    const { columns, points } = this.shown;
    $("packet-table").hidden = columns !== null;
    $("column-table").hidden = columns === null;
    setText($("table-name"), columns ? locale.messages.columnsAsTable : locale.messages.asTable);
    if (!$("table-panel", HTMLDetailsElement).open) return;
    if (columns) showColumns(locale, columns.summary.logged ? columns.measured : columns.arrived);
    else showPackets(locale, points.packets);
  }
}

/** @returns {Points} */
function noPoints() {
  return { samples: [], estimates: [], packets: [] };
}
