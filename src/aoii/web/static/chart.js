/* A chart of one quantity over event time: the measured line, the estimate with its band, and the packets; or the extremes
   of a long range. Dragging across the chart zooms in. */

import { nothing, SERIES } from "./series.js";

/**
 * @typedef {import("./series.js").ChartData} ChartData
 * @typedef {import("./series.js").SeriesName} SeriesName
 * @typedef {import("./range.js").Range} Range
 */

const { uPlot } = window;
const AXIS_FONT_PX = 12;
const DRAG_PX = 8; // a shorter drag is a click
const [DOT_LEAST_PX, DOT_MOST_PX] = [3, 8]; // many dots are small, so as not to hide the lines
const DOTS = /** @type {const} */ (["sent", "heartbeat", "max_arrived", "min_arrived"]);

export class Chart {
  /**
   * @param {HTMLElement} host the element in which it is drawn
   * @param {import("./app.js").App} app
   * @param {(index: number | null, data: ChartData) => void} onPoint called with the index of the data under the
   *   cursor; null if there is none
   * @param {(range: Range) => void} onZoom called with the range that was dragged across
   */
  constructor(host, app, onPoint, onZoom) {
    this.host = host;
    this.app = app;
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

  /** The series as uPlot takes them: one array each, in the order of `SERIES`. */
  aligned() {
    return /** @type {import("uplot").AlignedData} */ (SERIES.map((name) => this.data[name]));
  }

  /** Make the dots smaller where there are many. */
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
    const styles = seriesStyles();
    const axis = axisStyle();
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

  /**
   * Zoom to the range that was dragged across.
   *
   * @param {import("uplot")} plot
   */
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

  /**
   * The labels of the time axis; the day stands only where it changes.
   *
   * @param {number[]} splits Unix seconds
   */
  times(splits) {
    const { clock, day } = this.app.locale;
    let shown = "";
    return splits.map((seconds) => {
      const date = day(seconds * 1000);
      const text = date === shown ? clock(seconds * 1000) : `${clock(seconds * 1000)}\n${date}`;
      shown = date;
      return text;
    });
  }

  /**
   * The labels of the value axis, all with the same number of digits.
   *
   * @param {number[]} splits
   */
  numbers(splits) {
    const { tenth, whole } = this.app.locale;
    return splits.map(splits.some((value) => value % 1) ? tenth : whole);
  }
}

/**
 * The range of the value axis: that of the values, and some room.
 *
 * @type {(low: number | null, high: number | null) => [number, number]}
 */
function padded(low, high) {
  if (low === null || high === null) return [0, 1];
  const room = Math.max((high - low) * 0.06, 0.1);
  return [low - room, high + room];
}

/**
 * A colour, as it is in the present colour scheme.
 *
 * @param {string} name of its variable in the style sheet
 */
function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** How each series is drawn, in the present colours. @returns {Record<SeriesName, import("uplot").Series>} */
function seriesStyles() {
  const [edge, extreme] = [line("estimate", 0), line("measured", 1.5)];
  return {
    time: {},
    measured: line("measured", 3.5),
    estimate: line("estimate", 1.75),
    upper: edge,
    lower: edge,
    sent: dots("sent"),
    heartbeat: dots("panel"),
    max_measured: extreme,
    min_measured: extreme,
    max_arrived: dots("sent"),
    min_arrived: dots("sent"),
  };
}

/** @type {(name: string, width: number) => import("uplot").Series} */
function line(name, width) {
  return { stroke: colour(name), width, points: { show: false } };
}

/** @param {string} fill */
function dots(fill) {
  const stroke = colour("sent");
  return { stroke, paths: () => null, points: { show: true, width: 2, stroke, fill: colour(fill) } };
}

/**
 * The area between a series and the one after it.
 *
 * @param {SeriesName} upper
 * @param {string} fill
 */
function band(upper, fill) {
  const place = SERIES.indexOf(upper);
  return { series: /** @type {[number, number]} */ ([place, place + 1]), fill: colour(fill) };
}

function axisStyle() {
  const font = `${AXIS_FONT_PX}px ${getComputedStyle(document.body).fontFamily}`;
  return { stroke: colour("muted"), font, ticks: { show: false }, grid: { stroke: colour("line"), width: 1 } };
}
