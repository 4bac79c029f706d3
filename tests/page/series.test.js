import assert from "node:assert/strict";
import { test } from "node:test";

import {
  estimateLine,
  everyPoint,
  extremes,
  indexAt,
  insert,
  nothing,
  SERIES,
} from "../../src/aoii/web/static/series.js";

const MINUTE = 60000;
const HOUR = 60 * MINUTE;

/** A packet that brings 20 °C where 19 °C was estimated. @param {number} at_ms */
const packet = (at_ms, kind = "event") => ({ at_ms, temp: 20, hum: 40, pred_temp: 19, pred_hum: 39, kind, qos: 1 });
/** @type {(at_ms: number, temp: number, pred_temp?: number) => import("../../src/aoii/web/static/api.js").Sample} */
const sample = (at_ms, temp, pred_temp = 0) => ({ at_ms, temp, hum: 50, pred_temp, pred_hum: 0 });
/** @type {(at_ms: number, temp: number, hum?: number) => import("../../src/aoii/web/static/api.js").Estimate} */
const estimate = (at_ms, temp, hum = 40) => ({ at_ms, temp, hum });

/** The temperatures of the line. @param {Partial<import("../../src/aoii/web/static/api.js").Points>} points */
function line(points) {
  const all = { samples: [], estimates: [], packets: [], ...points };
  return estimateLine(all, MINUTE, HOUR).map(({ at_ms, temp }) => [at_ms, temp]);
}

test("a point is put at its place, and behind those of the same time", () => {
  const points = [estimate(1, 10), estimate(3, 30)];

  for (const point of [estimate(2, 20), estimate(4, 40), estimate(0, 0), estimate(3, 31)]) insert(points, point);

  assert.deepEqual(
    points.map(({ temp }) => temp),
    [0, 10, 20, 30, 31, 40],
  );
});

test("the last point at or before an instant is found", () => {
  const points = [1, 3, 3, 5].map((at_ms) => ({ at_ms }));

  assert.deepEqual(
    [0, 1, 2, 3, 4, 5, 9].map((ms) => indexAt(points, ms)),
    [-1, 0, 0, 2, 2, 3, 3],
  );
  assert.equal(indexAt([], 1), -1);
});

test("at a packet the estimate jumps from what it was to the reading", () => {
  assert.deepEqual(line({ packets: [packet(MINUTE)] }), [
    [MINUTE - 1, 19],
    [MINUTE, 20],
  ]);
});

test("no estimate is drawn over a silence", () => {
  const packets = [packet(0), packet(HOUR), packet(3 * HOUR)];

  assert.deepEqual(line({ packets }), [
    [-1, 19],
    [0, 20],
    [HOUR - 1, 19],
    [HOUR, 20],
    [HOUR + 1, null],
    [3 * HOUR - 1, 19],
    [3 * HOUR, 20],
  ]);
});

test("an estimate that was made while the packet was on its way is left out", () => {
  const late = estimate(MINUTE + 500, 19, 39);
  const after = estimate(MINUTE + 600, 20.1, 40);

  assert.deepEqual(line({ packets: [packet(MINUTE)], estimates: [late, after] }).slice(2), [[MINUTE + 600, 20.1]]);
});

test("an estimate is compared by both quantities, as far as it has them", () => {
  const oldByHumidity = estimate(MINUTE + 500, 19.6, 39);
  const newByHumidity = estimate(MINUTE + 600, 19.4, 40);
  const ofTemperatureOnly = { at_ms: MINUTE + 700, temp: 19.1, hum: null };

  const estimates = [oldByHumidity, newByHumidity, ofTemperatureOnly];
  assert.deepEqual(line({ packets: [packet(MINUTE)], estimates }).slice(2), [[MINUTE + 600, 19.4]]);
});

test("an estimate that looks like the old one is drawn from a period after the packet on", () => {
  const old = estimate(2 * MINUTE, 19, 39);

  assert.deepEqual(line({ packets: [packet(MINUTE)], estimates: [old] }).slice(2), [[2 * MINUTE, 19]]);
});

test("the estimate in the node's log is used only where the gateway's own was not received", () => {
  const samples = [0, 1, 2, 3].map((minute) => sample(minute * MINUTE, 20, 17));

  const drawn = line({ samples, estimates: [estimate(3 * MINUTE, 18)] });

  assert.deepEqual(drawn, [
    [0, 17],
    [MINUTE, 17],
    [3 * MINUTE, 18],
  ]);
});

test("the sample of a packet adds no estimate of its own", () => {
  const samples = [0.4, 0.6, 1.4, 1.6].map((minutes) => sample(minutes * MINUTE, 20, 17));

  assert.deepEqual(line({ samples, packets: [packet(MINUTE)] }), [
    [0.4 * MINUTE, 17],
    [MINUTE - 1, 19],
    [MINUTE, 20],
    [1.6 * MINUTE, 17],
  ]);
});

test("every series of a chart is as long as its time, and in order", () => {
  const samples = [sample(MINUTE, 20), sample(2 * MINUTE, 21)];
  const packets = [packet(MINUTE), packet(1.5 * MINUTE, "heartbeat")];

  const data = everyPoint({ samples, packets, estimates: [] }, [estimate(MINUTE, 20)], "temp", 0.5, MINUTE);

  assert.deepEqual(Object.keys(data), [...SERIES]);
  assert.deepEqual(data.time, [60, 90, 120]);
  assert.deepEqual(data.measured, [20, undefined, 21]);
  assert.deepEqual(data.estimate, [20, undefined, undefined]);
  assert.deepEqual(data.upper, [20.5, undefined, undefined]);
  assert.deepEqual(data.lower, [19.5, undefined, undefined]);
  assert.deepEqual(data.sent, [20, undefined, undefined]);
  assert.deepEqual(data.heartbeat, [undefined, 20, undefined]);
});

test("a gap in the log of more than three periods is a gap in the line", () => {
  const at = [0, 3, 7].map((minute) => sample(minute * MINUTE, minute));

  const { time, measured } = everyPoint({ samples: at, packets: [], estimates: [] }, [], "temp", 1, MINUTE);

  assert.deepEqual(time, [0, 180, 240, 420]);
  assert.deepEqual(measured, [0, 3, null, 7]);
});

test("where the estimate is unknown there is no band either", () => {
  const unknown = { at_ms: 0, temp: null, hum: null };

  const {
    estimate: value,
    upper,
    lower,
  } = everyPoint({ samples: [], packets: [], estimates: [] }, [unknown], "hum", 3, 1);

  assert.deepEqual([value, upper, lower], [[null], [null], [null]]);
});

test("a long range has the extremes of its quantity", () => {
  const column = { at_ms: 1000, min_temp: 1, max_temp: 2, min_hum: 30, max_hum: 40 };
  const hole = { at_ms: 2000, min_temp: null, max_temp: null, min_hum: null, max_hum: null };

  const data = extremes([column, hole], [column], "hum");

  assert.deepEqual(
    [data.min_measured, data.max_measured],
    [
      [30, null],
      [40, null],
    ],
  );
  assert.deepEqual(
    [data.min_arrived, data.max_arrived],
    [
      [30, undefined],
      [40, undefined],
    ],
  );
});

test("an empty chart has every series, empty", () => {
  assert.deepEqual(
    Object.values(nothing()),
    SERIES.map(() => []),
  );
});
