/* One node: live, or any range of its history from the database. */

import { nodeAddress } from "./address.js";
import { Chart } from "./chart.js";
import { $, part, setText } from "./dom.js";
import { fetchHistory } from "./history.js";
import { showColumns, showPackets } from "./node-tables.js";
import { LIVE_SPANS_S } from "./range.js";
import { RangePicker } from "./range-picker.js";
import { estimateLine, everyPoint, extremes, indexAt, insert } from "./series.js";
import { showPresent, showSummary } from "./summary-panel.js";

/**
 * @typedef {import("./api.js").StreamEvent} StreamEvent
 * @typedef {import("./api.js").Summary} Summary
 * @typedef {import("./api.js").Totals} Totals
 * @typedef {import("./api.js").Quantity} Quantity
 * @typedef {import("./api.js").Points} Points
 * @typedef {import("./series.js").ChartData} ChartData
 * @typedef {import("./series.js").Value} Value
 * @typedef {import("./range.js").Range} Range
 */

const FRAME_MS = 100; // at most ten drawings a second
const LEAST_PERIODS = 10; // the narrowest time axis
const DESCRIBE_MS = 5000; // how often the description of a chart changes
const RELOAD_MS = 60000; // how often a long span up to now is read again
const BACKGROUND_S = 3600; // span of the stream while history is shown
const NEVER = Number.NEGATIVE_INFINITY;

/** @type {Quantity[]} */
const QUANTITIES = ["temp", "hum"];
const UNITS = { temp: " °C", hum: " %" };

export class NodeView {
  /** @param {import("./app.js").App} app */
  constructor(app) {
    this.app = app;
    this.picker = new RangePicker(app, () => this.range);
    this.isDrawing = false;
    this.reset();
    this.charts = { temp: this.newChart("temp"), hum: this.newChart("hum") };
    $("table-panel").addEventListener("toggle", () => this.showTable());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.renewCharts());
    document.addEventListener("visibilitychange", () => this.draw());
  }

  reset() {
    /** @type {AbortController | null} */
    this.request = null;
    /** @type {string | null} */
    this.node = null;
    /** @type {Summary | null} of the live span */
    this.liveSummary = null;
    /** @type {import("./api.js").History | null} history of the range that is shown */
    this.history = null;
    /** @type {Points} */
    this.points = noPoints();
    /** @type {number} of the live points */
    this.spanS = 0;
    /** @type {StreamEvent["neighbours"]} */
    this.neighbours = null;
    /** @type {import("./api.js").Estimate[]} */
    this.line = [];
    /** @type {Range} */
    this.range = [0, 1000];
    /** @type {number} */
    this.drawnAt = NEVER;
    /** @type {number} */
    this.describedAt = NEVER;
    /** @type {number} */
    this.loadedAt = NEVER;
    this.isZooming = false;
  }

  /** @param {Quantity} quantity */
  newChart(quantity) {
    return new Chart(
      $(`${quantity}-chart`),
      () => this.app.locale,
      (index, data) => this.showReadout(quantity, index, data),
      (range) => this.zoomTo(range),
    );
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
    return `${this.app.locale.messages.node} ${this.node ?? ""}`;
  }

  /** Whether the range that is shown is updated live. */
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
    this.setStatus(event);
    this.translate();
    if (!this.isLive()) this.loadHistory(this.node);
  }

  /** @param {StreamEvent} event */
  showUpdate(event) {
    const { samples, estimates, packets } = event.points;
    for (const sample of samples) insert(this.points.samples, sample);
    for (const estimate of estimates) insert(this.points.estimates, estimate);
    for (const packet of packets) insert(this.points.packets, packet);
    this.setStatus(event);
    const hasMoved = samples.length + estimates.length + packets.length > 0 || event.summary !== null;
    if (hasMoved && this.isLive()) this.draw();
    const isOld = performance.now() - this.loadedAt > RELOAD_MS;
    if (this.node !== null && !this.isLive() && this.app.address.from === null && isOld) this.loadHistory(this.node);
  }

  /** A chart has a size only when the view is visible. */
  onShown() {
    this.renewCharts();
    this.draw();
  }

  /** @param {StreamEvent} event */
  setStatus({ summary, neighbours, status }) {
    if (summary) this.liveSummary = summary;
    if (neighbours) this.neighbours = neighbours;
    if (neighbours) this.showNeighbours();
    if (!this.liveSummary || (!summary && !status)) return;
    showPresent(this.app.locale, this.liveSummary, this.app.nowMs);
    if (this.isLive()) this.showSummary(this.liveSummary);
  }

  translate() {
    this.picker.show();
    const { locale, settings } = this.app;
    if (this.node === null || !settings) return;
    this.describedAt = NEVER;
    setText($("node-name"), this.node);
    const betas = QUANTITIES.map((quantity) => `±${settings[`beta_${quantity}`]}${UNITS[quantity]}`);
    setText($("band"), locale.messages.band(betas.join(" / ")));
    this.renewCharts();
    if (this.liveSummary) showPresent(locale, this.liveSummary, this.app.nowMs);
    this.showNeighbours();
    if (this.isLive() && this.liveSummary) this.showSummary(this.liveSummary);
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

  renewCharts() {
    for (const quantity of QUANTITIES) this.charts[quantity].renew();
  }

  /* --- history --- */

  /** @param {Range} range */
  zoomTo(range) {
    if (this.isZooming) return; // the other chart reports the same drag
    this.isZooming = true;
    this.picker.go(range);
  }

  /** @param {string} node */
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
    $("nothing-there").hidden = history.summary !== null;
    if (history.summary === null) {
      setText($("range-note"), "");
      this.showSummary({ start_ms: null, end_ms: null, packets: 0, periodic: 0, logged: false });
      return;
    }
    const note = history.exact
      ? messages.everyPoint(whole(history.points.samples.length), whole(history.points.packets.length))
      : messages.everyColumn(whole(history.summary.samples), whole(history.summary.packets), span(history.width_s));
    setText($("range-note"), note);
    this.showSummary(history.summary);
  }

  /** The history in columns if a long range is shown, else null. */
  get columns() {
    return !this.isLive() && this.history && !this.history.exact ? this.history : null;
  }

  /** The points of the live or short range that is shown; none if it is a long one. */
  get shownPoints() {
    if (this.isLive()) return this.points;
    return this.history?.exact ? this.history.points : noPoints();
  }

  /* --- drawing --- */

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
    this.drawShown(settings);
    this.describe();
    this.showTable();
  }

  /**
   * End the range at the latest point, and drop the points before its start.
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

  /** @param {import("./api.js").Settings} settings */
  drawShown(settings) {
    const { columns, shownPoints: points } = this;
    const [periodMs, silentMs] = [settings.period_s * 1000, settings.silent_after_s * 1000];
    this.line = columns ? [] : estimateLine(points, periodMs, silentMs);
    const summary = this.isLive() ? this.liveSummary : this.history?.summary;
    const wrongSpans = summary && "wrong_spans" in summary ? summary.wrong_spans : [];
    const arrived = columns && !columns.summary.logged ? columns.arrived : [];
    for (const quantity of QUANTITIES) {
      const data = columns
        ? extremes(columns.measured, arrived, quantity)
        : everyPoint(points, this.line, quantity, settings[`beta_${quantity}`], periodMs);
      this.charts[quantity].draw(data, this.range, wrongSpans);
    }
  }

  /* --- texts --- */

  /**
   * Show the summary and the legend of the range that is shown.
   *
   * @param {Summary | Totals} summary
   */
  showSummary(summary) {
    const { locale, settings } = this.app;
    const { messages } = locale;
    const { columns } = this;
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

  /** Describe the charts in words for screen readers, and not more often than every few seconds. */
  describe() {
    if (performance.now() - this.describedAt < DESCRIBE_MS) return;
    this.describedAt = performance.now();
    const { locale, address } = this.app;
    const { messages, tenth, full } = locale;
    const [from, to] = this.range;
    const range =
      address.from === null ? messages.lastSpan(locale.span(address.span)) : messages.fromTo(full(from), full(to));
    const packets = locale.whole(this.columns?.summary.packets ?? this.shownPoints.packets.length);
    for (const quantity of QUANTITIES) {
      const title = $(`${quantity}-title`).textContent ?? "";
      const { low, high } = this.shownExtremes(quantity);
      const text = Number.isFinite(low)
        ? messages.chart(title, this.node ?? "", range, tenth(low), tenth(high), packets)
        : messages.chartEmpty(title, this.node ?? "");
      $(`${quantity}-chart`).setAttribute("aria-label", text);
    }
  }

  /**
   * The lowest and the highest value shown; infinite if there is none.
   *
   * @param {Quantity} quantity
   */
  shownExtremes(quantity) {
    const { columns, shownPoints: points } = this;
    const known = columns?.measured.length ? columns.measured : columns?.arrived;
    const pairs =
      known?.map((column) => [column[`min_${quantity}`], column[`max_${quantity}`]]) ??
      (points.samples.length ? points.samples : points.packets).map((point) => [point[quantity]]);
    let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    for (const value of pairs.flat()) {
      if (value === null || value === undefined) continue;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
    return { low, high };
  }

  /** @type {(quantity: Quantity, index: number | null, data: ChartData) => void} */
  showReadout(quantity, index, data) {
    const { locale, settings } = this.app;
    const { messages, full, hundredth } = locale;
    const readout = $(`${quantity}-readout`);
    const seconds = index === null ? undefined : data.time[index];
    if (index === null || seconds === undefined || !settings) {
      setText(readout, "");
      return;
    }
    const ms = seconds * 1000;
    const written = (/** @type {Value} */ value) =>
      value === undefined || value === null ? "–" : hundredth(value) + UNITS[quantity];
    if (this.columns) {
      const low = data.min_measured[index] ?? data.min_arrived[index];
      const high = data.max_measured[index] ?? data.max_arrived[index];
      setText(readout, messages.readoutExtremes(full(ms), written(low), written(high)));
      return;
    }
    const { samples } = this.shownPoints;
    const sample = samples[indexAt(samples, ms)];
    const isKnown = sample !== undefined && ms - sample.at_ms < 2 * settings.period_s * 1000;
    const estimate = this.line[indexAt(this.line, ms)];
    const measured = isKnown ? sample[quantity] : null;
    setText(readout, messages.readout(full(ms), written(measured), written(estimate?.[quantity])));
  }

  showTable() {
    const { locale } = this.app;
    const { columns } = this;
    $("packet-table").hidden = columns !== null;
    $("column-table").hidden = columns === null;
    setText($("table-name"), columns ? locale.messages.columnsAsTable : locale.messages.asTable);
    if (!$("table-panel", HTMLDetailsElement).open) return;
    if (columns) showColumns(locale, columns.summary.logged ? columns.measured : columns.arrived);
    else showPackets(locale, this.shownPoints.packets);
  }
}

/** @returns {Points} */
function noPoints() {
  return { samples: [], estimates: [], packets: [] };
}
