/* Points to lines, pure. A point is an array that begins with its event time in Unix ms. */

const LOG_GAP_PERIODS = 3; // a longer hole in a node's log is shown as a hole
const HEARD_NEAR_PERIODS = 1.5; // an estimate this near makes the node's own account of the belief needless

/** Put a point into a list that is ordered by time. */
export function insert(points, point) {
  let place = points.length;
  while (place > 0 && points[place - 1][0] > point[0]) place -= 1;
  points.splice(place, 0, point);
}

/**
 * What the gateway believed over time: [ms, temperature, humidity], ordered; null for both where nobody knows.
 *
 * At a packet the belief jumps from what it was to the reading. Estimates say it every period. Where none was heard (before this
 * page's server listened), the node's log says what the node knew the gateway to believe. Over a silence of more than `silentMs`
 * no line is drawn.
 */
export function beliefLine(estimates, packets, samples, periodMs, silentMs) {
  const line = [];
  const heard = estimates.filter((estimate) => !saidBeforeArrival(estimate, packets, periodMs));
  for (const [ms, temp, hum] of heard) line.push([ms, temp, hum]);
  for (const [ms, temp, hum, predTemp, predHum] of packets) line.push([ms - 1, predTemp, predHum], [ms, temp, hum]);
  const near = HEARD_NEAR_PERIODS * periodMs;
  let next = 0;
  for (const [ms, , , predTemp, predHum] of samples) {
    while (next < estimates.length && estimates[next][0] < ms - near) next += 1;
    const covered = next < estimates.length && estimates[next][0] <= ms + near;
    if (!covered && !atPacket(ms, packets, periodMs)) line.push([ms, predTemp, predHum]);
  }
  line.sort((one, other) => one[0] - other[0]);
  return line.flatMap((point, place) => {
    const isCut = place > 0 && point[0] - line[place - 1][0] > silentMs;
    return isCut ? [[line[place - 1][0] + 1, null, null], point] : [point];
  });
}

/** The last index whose time is at or before `ms`; -1 when there is none. */
export function indexAt(points, ms) {
  let low = 0;
  let high = points.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (points[middle][0] <= ms) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/* A packet's time is that of its sample. An estimate that the gateway made while the packet was on its way has a later time and
   still tells the old belief; drawn as it came it would be a spike. */
function saidBeforeArrival(estimate, packets, periodMs) {
  const packet = packets[indexAt(packets, estimate[0])];
  if (!packet || estimate[0] - packet[0] >= periodMs) return false;
  const [, temp, hum, predTemp, predHum] = packet;
  return apart(estimate, predTemp, predHum) < apart(estimate, temp, hum);
}

function apart(estimate, temp, hum) {
  return Math.abs(estimate[1] - temp) + Math.abs(estimate[2] - hum);
}

/* The sample that a packet brought: the packet itself tells the belief before and after. */
function atPacket(ms, packets, periodMs) {
  const index = indexAt(packets, ms + periodMs / 2);
  return index >= 0 && packets[index][0] > ms - periodMs / 2;
}

const WIDTH = 11; // of a table for the chart

/**
 * One quantity as columns for the chart: seconds, measured, believed, upper and lower edge of the band, sent, heartbeats, and (of
 * a long range only) greatest and least measured, greatest and least that arrived.
 *
 * `undefined` is a moment of another column, `null` a hole.
 */
export function everyPoint(points, belief, column, beta, periodMs) {
  const { samples, packets } = points;
  const moments = new Moments();
  let before = null;
  for (const sample of samples) {
    if (before !== null && sample[0] - before > LOG_GAP_PERIODS * periodMs) moments.at(before + periodMs)[1] = null;
    moments.at(sample[0])[1] = sample[column];
    before = sample[0];
  }
  for (const point of belief) {
    const row = moments.at(point[0]);
    const value = point[column];
    row[2] = value;
    row[3] = value === null ? null : value + beta;
    row[4] = value === null ? null : value - beta;
  }
  for (const packet of packets) moments.at(packet[0])[packet[5] === "heartbeat" ? 6 : 5] = packet[column];
  return moments.table();
}

/** The same of a long range, whose points are `[ms, least and greatest temperature, least and greatest humidity]`. */
export function extremes(measured, arrived, column) {
  const moments = new Moments();
  const least = 2 * column - 1;
  for (const point of measured) {
    const row = moments.at(point[0]);
    row[7] = point[least + 1];
    row[8] = point[least];
  }
  for (const point of arrived) {
    const row = moments.at(point[0]);
    row[9] = point[least + 1];
    row[10] = point[least];
  }
  return moments.table();
}

class Moments {
  constructor() {
    this.rows = new Map();
  }

  at(ms) {
    if (!this.rows.has(ms)) this.rows.set(ms, []);
    return this.rows.get(ms);
  }

  table() {
    const times = [...this.rows.keys()].sort((one, other) => one - other);
    const table = [times.map((ms) => ms / 1000), ...Array.from({ length: WIDTH - 1 }, () => [])];
    for (const ms of times) {
      const row = this.rows.get(ms);
      for (let index = 1; index < WIDTH; index += 1) table[index].push(row[index]);
    }
    return table;
  }
}

/** A table without a moment. */
export function nothing() {
  return Array.from({ length: WIDTH }, () => []);
}
