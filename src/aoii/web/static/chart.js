/* A chart of one quantity over event time: the measured line, the estimate with its band, and the packets; for a long range
   the extremes. Dragging across it zooms in. */

import { nothing, SERIES } from "./series.js";

/**
 * @typedef {import("./series.js").ChartData} ChartData
 * @typedef {import("./range.js").Range} Range
 */

const { uPlot } = window;
const AXIS_FONT_PX = 12;
const DRAG_PX = 8; // shorter ones are clicks
const [DOT_LEAST_PX, DOT_MOST_PX] = [3, 8]; // many dots are small, so as not to hide the lines
const DOTS = /** @type {const} */ (["sent", "heartbeat", "max_arrived", "min_arrived"]);

/** @param {string} name of a variable in the style sheet */
function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function font() {
  return `${AXIS_FONT_PX}px ${getComputedStyle(document.body).fontFamily}`;
}

export class Chart {
  /**
   * @param {HTMLElement} host where it is drawn
   * @param {() => import("./language.js").Locale} locale the present language
   * @param {(index: number | null, data: ChartData) => void} onPoint called with the index of the data under the cursor
   * @param {(range: Range) => void} onZoom called with the range that was dragged across
   */
  constructor(host, locale, onPoint, onZoom) {
    this.host = host;
    this.locale = locale;
    this.onPoint = onPoint;
    this.onZoom = onZoom;
    /** @type {Range[]} */
    this.wrongSpans = [];
    /** @type {Range} */
    this.range = [0, 1000];
    this.data = nothing();
    this.plot = this.newPlot();
    new ResizeObserver(() => host.clientWidth && this.plot.setSize(this.size())).observe(host);
  }

  /**
   * Draw these series over a range.
   *
   * @param {ChartData} data
   * @param {Range} range
   * @param {Range[]} wrongSpans in which the estimate was wrong
   */
  draw(data, range, wrongSpans) {
    this.data = data;
    this.range = range;
    this.wrongSpans = wrongSpans;
    this.sizeDots();
    this.plot.setData(this.aligned());
  }

  /** Make the chart again, in the present colours and language. */
  renew() {
    this.plot.destroy();
    this.plot = this.newPlot();
    this.sizeDots();
  }

  newPlot() {
    return new uPlot(this.options(), this.aligned(), this.host);
  }

  aligned() {
    return /** @type {import("uplot").AlignedData} */ (SERIES.map((name) => this.data[name]));
  }

  sizeDots() {
    const count = (/** @type {(typeof DOTS)[number]} */ name) =>
      this.data[name].filter((value) => value !== undefined).length;
    const dots = 1 + (count("max_arrived") || count("sent"));
    const size = Math.min(DOT_MOST_PX, Math.max(DOT_LEAST_PX, (0.65 * this.host.clientWidth) / dots));
    for (const name of DOTS) {
      const { points } = this.plot.series[SERIES.indexOf(name)] ?? {};
      if (points) points.size = size;
    }
  }

  size() {
    return { width: Math.max(this.host.clientWidth, 120), height: Math.max(this.host.clientHeight, 120) };
  }

  /** @returns {import("uplot").Options} */
  options() {
    const line = (/** @type {string} */ name, /** @type {number} */ width) => ({
      stroke: colour(name),
      width,
      points: { show: false },
    });
    const edge = line("estimate", 0);
    const dot = (/** @type {string} */ fill) => ({
      stroke: colour("sent"),
      paths: () => null,
      points: { show: true, width: 2, stroke: colour("sent"), fill: colour(fill) },
    });
    /** @type {Record<import("./series.js").SeriesName, import("uplot").Series>} */
    const styles = {
      time: {},
      measured: line("measured", 3.5),
      estimate: line("estimate", 1.75),
      upper: edge,
      lower: edge,
      sent: dot("sent"),
      heartbeat: dot("panel"),
      max_measured: line("measured", 1.5),
      min_measured: line("measured", 1.5),
      max_arrived: dot("sent"),
      min_arrived: dot("sent"),
    };
    const band = (/** @type {"upper" | "max_measured"} */ upper, /** @type {string} */ fill) => ({
      series: /** @type {[number, number]} */ ([SERIES.indexOf(upper), SERIES.indexOf(upper) + 1]),
      fill: colour(fill),
    });
    const axis = {
      stroke: colour("muted"),
      font: font(),
      ticks: { show: false },
      grid: { stroke: colour("line"), width: 1 },
    };
    return {
      ...this.size(),
      padding: [8, 22, 0, 0],
      legend: { show: false },
      cursor: {
        y: false,
        drag: { x: true, y: false, setScale: false, dist: DRAG_PX },
        points: { show: false },
        sync: { key: "aoii" },
      },
      scales: {
        x: { range: () => [this.range[0] / 1000, this.range[1] / 1000] },
        y: { range: (_plot, low, high) => padded(low, high) },
      },
      axes: [
        { ...axis, size: 42, space: 72, grid: { show: false }, values: (_plot, splits) => this.times(splits) },
        { ...axis, size: 52, space: 30, values: (_plot, splits) => this.numbers(splits) },
      ],
      series: SERIES.map((name) => styles[name]),
      bands: [band("upper", "band"), band("max_measured", "extremes")],
      hooks: {
        drawAxes: [(plot) => this.drawWrong(plot)],
        setSelect: [(plot) => this.dragged(plot)],
        setCursor: [(plot) => this.onPoint(plot.cursor.idx ?? null, this.data)],
      },
    };
  }

  /** @param {import("uplot")} plot */
  dragged(plot) {
    const { left, width } = plot.select;
    if (width < DRAG_PX) return;
    const at = (/** @type {number} */ px) => plot.posToVal(px, "x") * 1000;
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.onZoom([at(left), at(left + width)]);
  }

  /**
   * Draw a strip along the lower edge where the estimate was wrong.
   *
   * @param {import("uplot")} plot
   */
  drawWrong({ ctx, bbox, valToPos }) {
    const height = 6 * devicePixelRatio;
    ctx.save();
    ctx.fillStyle = colour("wrong");
    for (const [from, to] of this.wrongSpans) {
      const left = Math.max(valToPos(from / 1000, "x", true), bbox.left);
      const right = Math.min(valToPos(to / 1000, "x", true), bbox.left + bbox.width);
      if (right > left) ctx.fillRect(left, bbox.top + bbox.height - height, Math.max(right - left, 2), height);
    }
    ctx.restore();
  }

  /** @param {number[]} splits seconds */
  times(splits) {
    const { clock, day } = this.locale();
    let shown = "";
    return splits.map((seconds) => {
      const date = day(seconds * 1000);
      const text = date === shown ? clock(seconds * 1000) : `${clock(seconds * 1000)}\n${date}`;
      shown = date;
      return text;
    });
  }

  /** @param {number[]} splits */
  numbers(splits) {
    const { tenth, whole } = this.locale();
    return splits.map(splits.some((value) => value % 1) ? tenth : whole);
  }
}

/** @type {(low: number | null, high: number | null) => [number, number]} */
function padded(low, high) {
  if (low === null || high === null) return [0, 1];
  const room = Math.max((high - low) * 0.06, 0.1);
  return [low - room, high + room];
}
