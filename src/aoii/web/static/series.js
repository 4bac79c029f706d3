/* Makes the series of a chart from points, pure. */

/**
 * @typedef {import("./api.js").Points} Points
 * @typedef {import("./api.js").Sample} Sample
 * @typedef {import("./api.js").Estimate} Estimate
 * @typedef {import("./api.js").Packet} Packet
 * @typedef {import("./api.js").Extremes} Extremes
 * @typedef {import("./api.js").Quantity} Quantity
 */

const LOG_GAP_PERIODS = 3; // a longer gap in a node's log is a gap in the line
const NEAR_PERIODS = 1.5; // where the gateway's own estimate is this near, the one in the node's log is not used

/**
 * The series of a chart, in the order in which they are drawn: the time in seconds; the measured values; the estimate and
 * the edges of its band; packets and heartbeats. A long range has only the last four: the extremes of what was measured
 * and of what arrived.
 */
export const SERIES = /** @type {const} */ ([
  "time",
  "measured",
  "estimate",
  "upper",
  "lower",
  "sent",
  "heartbeat",
  "max_measured",
  "min_measured",
  "max_arrived",
  "min_arrived",
]);

/**
 * @typedef {(typeof SERIES)[number]} SeriesName
 * @typedef {number | null | undefined} Value undefined: this series has no value at this instant; null: its line has a gap
 * @typedef {Record<SeriesName, Value[]> & { time: number[] }} ChartData series of equal length
 */

/**
 * Insert a point into a list in order of time.
 *
 * @template {{ at_ms: number }} P
 * @param {P[]} points
 * @param {P} point
 */
export function insert(points, point) {
  points.splice(indexAt(points, point.at_ms) + 1, 0, point);
}

/**
 * The last index whose time is at or before `ms`; -1 when there is none.
 *
 * @param {{ at_ms: number }[]} points
 * @param {number} ms
 */
export function indexAt(points, ms) {
  let low = 0;
  let high = points.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (/** @type {{ at_ms: number }} */ (points[middle]).at_ms <= ms) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/**
 * The gateway's estimate over time, in order; null where it is unknown.
 *
 * At a packet the estimate jumps to the reading. Between packets the gateway publishes it every period. For times before
 * the page was started, the estimate that the node knew of is taken from the node's log. Where nothing is known for more
 * than `silentMs`, the line has a gap.
 *
 * @param {Points} points
 * @param {number} periodMs
 * @param {number} silentMs
 * @returns {Estimate[]}
 */
export function estimateLine({ estimates, packets, samples }, periodMs, silentMs) {
  const line = estimates.filter((estimate) => !isOutdated(estimate, packets, periodMs));
  for (const { at_ms, temp, hum, pred_temp, pred_hum } of packets) {
    line.push({ at_ms: at_ms - 1, temp: pred_temp, hum: pred_hum }, { at_ms, temp, hum });
  }
  for (const { at_ms, pred_temp, pred_hum } of samples) {
    // a sample that was sent needs no point: its packet gives the estimate before and after
    const isKnown = isNear(estimates, at_ms, NEAR_PERIODS * periodMs) || isNear(packets, at_ms, periodMs / 2);
    if (!isKnown) line.push({ at_ms, temp: pred_temp, hum: pred_hum });
  }
  line.sort((one, other) => one.at_ms - other.at_ms);
  return line.flatMap((point, place) => {
    const before = line[place - 1];
    const isCut = before !== undefined && point.at_ms - before.at_ms > silentMs;
    return isCut ? [{ at_ms: before.at_ms + 1, temp: null, hum: null }, point] : [point];
  });
}

/**
 * The series of one quantity over a short range, with every point.
 *
 * @param {Points} points
 * @param {Estimate[]} line as `estimateLine` returns it
 * @param {Quantity} quantity
 * @param {number} beta half the width of the band
 * @param {number} periodMs
 * @returns {ChartData}
 */
export function everyPoint({ samples, packets }, line, quantity, beta, periodMs) {
  const instants = new Instants();
  let before = Number.POSITIVE_INFINITY;
  for (const sample of samples) {
    if (sample.at_ms - before > LOG_GAP_PERIODS * periodMs) instants.at(before + periodMs).measured = null;
    instants.at(sample.at_ms).measured = sample[quantity];
    before = sample.at_ms;
  }
  for (const point of line) {
    const value = point[quantity];
    const [upper, lower] = value === null ? [null, null] : [value + beta, value - beta];
    Object.assign(instants.at(point.at_ms), { estimate: value, upper, lower });
  }
  for (const packet of packets) {
    instants.at(packet.at_ms)[packet.kind === "heartbeat" ? "heartbeat" : "sent"] = packet[quantity];
  }
  return instants.series();
}

/**
 * The series of one quantity over a long range: its extremes.
 *
 * @param {Extremes[]} measured
 * @param {Extremes[]} arrived
 * @param {Quantity} quantity
 * @returns {ChartData}
 */
export function extremes(measured, arrived, quantity) {
  const instants = new Instants();
  for (const [kind, columns] of Object.entries({ measured, arrived })) {
    for (const column of columns) {
      const [low, high] = [column[`min_${quantity}`], column[`max_${quantity}`]];
      Object.assign(instants.at(column.at_ms), { [`min_${kind}`]: low, [`max_${kind}`]: high });
    }
  }
  return instants.series();
}

/** The series of a chart without data. */
export function nothing() {
  return new Instants().series();
}

/* Whether an estimate is older than the packet before it. A packet has the time of its sample. An estimate that was made
   while the packet was on its way has a later time but still the old value, and would be a spike in the line. */
/** @type {(estimate: Estimate, packets: Packet[], periodMs: number) => boolean} */
function isOutdated(estimate, packets, periodMs) {
  const packet = packets[indexAt(packets, estimate.at_ms)];
  if (!packet || estimate.at_ms - packet.at_ms >= periodMs) return false;
  const { temp, hum, pred_temp, pred_hum } = packet;
  return distance(estimate, pred_temp, pred_hum) < distance(estimate, temp, hum);
}

/** @type {(estimate: Estimate, temp: number, hum: number) => number} */
function distance(estimate, temp, hum) {
  return Math.abs((estimate.temp ?? temp) - temp) + Math.abs((estimate.hum ?? hum) - hum);
}

/** @type {(points: { at_ms: number }[], ms: number, reachMs: number) => boolean} */
function isNear(points, ms, reachMs) {
  const latest = points[indexAt(points, ms + reachMs)];
  return latest !== undefined && latest.at_ms >= ms - reachMs;
}

/** The values of all series by instant, from which the series get equal lengths. */
class Instants {
  constructor() {
    /** @type {Map<number, Partial<Record<SeriesName, Value>>>} */
    this.rows = new Map();
  }

  /**
   * The row of an instant, to be filled in.
   *
   * @param {number} ms
   */
  at(ms) {
    const row = this.rows.get(ms) ?? {};
    this.rows.set(ms, row);
    return row;
  }

  /** @returns {ChartData} */
  series() {
    const rows = [...this.rows].sort(([one], [other]) => one - other);
    const data = Object.fromEntries(SERIES.map((name) => [name, rows.map(([, row]) => row[name])]));
    return /** @type {ChartData} */ ({ ...data, time: rows.map(([ms]) => ms / 1000) });
  }
}
