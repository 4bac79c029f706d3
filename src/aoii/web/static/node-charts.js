/* The two charts of a node: drawn, described for screen readers, and with the values under the cursor as text. */

import { Chart } from "./chart.js";
import { $, setText } from "./dom.js";
import { estimateLine, everyPoint, extremes, indexAt, SERIES } from "./series.js";

/**
 * @typedef {import("./api.js").Quantity} Quantity
 * @typedef {import("./series.js").ChartData} ChartData
 * @typedef {import("./series.js").Value} Value
 * @typedef {import("./range.js").Range} Range
 *
 * @typedef {object} Shown the data of the range that is shown
 * @property {import("./api.js").Points} points of a live or short range; none of a long one
 * @property {import("./api.js").ColumnHistory | null} columns of a long range
 * @property {import("./api.js").Summary | import("./api.js").Totals | null} summary
 */

const DESCRIBE_MS = 5000; // between two descriptions of a chart at least
const NEVER = Number.NEGATIVE_INFINITY;
const MEASURED = SERIES.filter((name) => !["time", "estimate", "upper", "lower"].includes(name));

/** @type {Quantity[]} */
export const QUANTITIES = ["temp", "hum"];
export const UNITS = { temp: " °C", hum: " %" };

export class NodeCharts {
  /**
   * @param {import("./app.js").App} app
   * @param {(range: Range) => void} onZoom called with the range that was dragged across
   */
  constructor(app, onZoom) {
    this.app = app;
    /** @type {Shown} */
    this.shown = { points: { samples: [], estimates: [], packets: [] }, columns: null, summary: null };
    /** @type {import("./api.js").Estimate[]} */
    this.line = [];
    this.describedAt = NEVER;
    const newChart = (/** @type {Quantity} */ quantity) =>
      new Chart($(`${quantity}-chart`), app, (index, data) => this.showReadout(quantity, index, data), onZoom);
    this.charts = { temp: newChart("temp"), hum: newChart("hum") };
  }

  /** Make the charts again, in the present size, colours and language. */
  renew() {
    this.describedAt = NEVER;
    for (const quantity of QUANTITIES) this.charts[quantity].renew();
  }

  /**
   * Draw what is shown.
   *
   * @param {string} node
   * @param {Shown} shown
   * @param {Range} range
   * @param {import("./api.js").Settings} settings
   */
  draw(node, shown, range, settings) {
    this.shown = shown;
    const { points, columns, summary } = shown;
    const [periodMs, silentMs] = [settings.period_s * 1000, settings.silent_after_s * 1000];
    this.line = columns ? [] : estimateLine(points, periodMs, silentMs);
    const wrongSpans = summary && "wrong_spans" in summary ? summary.wrong_spans : [];
    const arrived = columns && !columns.summary.logged ? columns.arrived : [];
    for (const quantity of QUANTITIES) {
      const data = columns
        ? extremes(columns.measured, arrived, quantity)
        : everyPoint(points, this.line, quantity, settings[`beta_${quantity}`], periodMs);
      this.charts[quantity].draw(data, range, wrongSpans);
    }
    if (performance.now() - this.describedAt < DESCRIBE_MS) return;
    this.describedAt = performance.now();
    this.describe(node, range);
  }

  /**
   * Describe the charts in words, for screen readers.
   *
   * @param {string} node
   * @param {Range} range
   */
  describe(node, [from, to]) {
    const { locale, address } = this.app;
    const { messages, tenth, full, span, whole } = locale;
    const { columns, points } = this.shown;
    const range = address.from === null ? messages.lastSpan(span(address.span)) : messages.fromTo(full(from), full(to));
    const packets = whole(columns?.summary.packets ?? points.packets.length);
    for (const quantity of QUANTITIES) {
      const title = $(`${quantity}-title`).textContent ?? "";
      const { data } = this.charts[quantity];
      const values = MEASURED.flatMap((name) => data[name]).filter((value) => typeof value === "number");
      const text = values.length
        ? messages.chart(title, node, range, tenth(Math.min(...values)), tenth(Math.max(...values)), packets)
        : messages.chartEmpty(title, node);
      $(`${quantity}-chart`).setAttribute("aria-label", text);
    }
  }

  /**
   * Show the values at an index of the data; if the index is null, show none.
   *
   * @type {(quantity: Quantity, index: number | null, data: ChartData) => void}
   */
  showReadout(quantity, index, data) {
    const seconds = index === null ? undefined : data.time[index];
    const isEmpty = index === null || seconds === undefined;
    setText($(`${quantity}-readout`), isEmpty ? "" : this.readout(quantity, index, seconds * 1000, data));
  }

  /**
   * The values at an index of the data, whose time is `ms`, as text.
   *
   * @type {(quantity: Quantity, index: number, ms: number, data: ChartData) => string}
   */
  readout(quantity, index, ms, data) {
    const { messages, full, hundredth } = this.app.locale;
    const written = (/** @type {Value} */ value) =>
      value === undefined || value === null ? "–" : hundredth(value) + UNITS[quantity];
    if (this.shown.columns) {
      const low = data.min_measured[index] ?? data.min_arrived[index];
      const high = data.max_measured[index] ?? data.max_arrived[index];
      return messages.readoutExtremes(full(ms), written(low), written(high));
    }
    const { samples } = this.shown.points;
    const sample = samples[indexAt(samples, ms)];
    const isKnown = sample !== undefined && ms - sample.at_ms < 2000 * (this.app.settings?.period_s ?? 0);
    const estimate = this.line[indexAt(this.line, ms)];
    return messages.readout(full(ms), written(isKnown ? sample[quantity] : null), written(estimate?.[quantity]));
  }
}
