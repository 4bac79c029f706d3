import assert from "node:assert/strict";
import { test } from "node:test";

import { decodeEvent, decodeHistory, fetchHistory, streamAddress } from "../../src/aoii/web/static/api.js";

const STATUS = {
  now_ms: 9,
  database_away: null,
  broker_up: true,
  more_nodes: false,
  states: { correct: 1 },
  pipeline: { state: "warn", hops: ["outbox"] },
};
const SETTINGS = {
  beta_temp: 0.5,
  beta_hum: 3,
  period_s: 60,
  silent_after_s: 4200,
  simulated: true,
  speed: 60,
  coarse: false,
};

test("a snapshot of a node has settings, status and points with names", () => {
  const event = decodeEvent({
    view: "node",
    node: "7",
    span_s: 3600,
    ...SETTINGS,
    ...STATUS,
    previous: null,
    next: "8",
    summary: { node: "7", packets: 3, states: ["low_battery", "correct"], health: { rssi_dbm: -90 } },
    samples: [[1, 20, 50, 19, 49]],
    estimates: [[2, 20.5, 51]],
    packets: [[3, 21, 52, 20, 50, "event", 1]],
  });

  assert.equal(event.view, "node");
  assert.deepEqual(event.settings, SETTINGS);
  assert.deepEqual(event.status?.pipeline, { state: "warn", hops: ["outbox"] });
  assert.equal(event.status?.has_nodes, true);
  assert.deepEqual([event.node, event.span_s], ["7", 3600]);
  assert.deepEqual(event.neighbours, { previous: null, next: "8" });
  const health = { rssi_dbm: -90 };
  assert.deepEqual(event.summary, { node: "7", packets: 3, states: ["low_battery", "correct"], health });
  assert.deepEqual(event.points, {
    samples: [{ at_ms: 1, temp: 20, hum: 50, pred_temp: 19, pred_hum: 49 }],
    estimates: [{ at_ms: 2, temp: 20.5, hum: 51 }],
    packets: [{ at_ms: 3, temp: 21, hum: 52, pred_temp: 20, pred_hum: 50, kind: "event", qos: 1 }],
  });
});

test("an empty update is null in every part and has no points", () => {
  const { points, ...parts } = decodeEvent({});

  assert.deepEqual(points, { samples: [], estimates: [], packets: [] });
  assert.deepEqual(new Set(Object.values(parts)), new Set([null]));
});

test("a system without nodes has a status that says so", () => {
  assert.equal(decodeEvent({ ...STATUS, states: {} }).status?.has_nodes, false);
});

test("nodes of the fleet have their states and their health", () => {
  const [node] = decodeEvent({ nodes: [{ node: "1", states: ["ok"], health: null }] }).nodes ?? [];

  assert.deepEqual(node, { node: "1", states: ["ok"], health: null });
});

test("the pipeline has hops with reports", () => {
  const report = { by: "web", state: "ok" };
  const letters = { counts: null, stale_s: null, dropped: 0 };

  const event = decodeEvent({
    view: "pipeline",
    hops: [{ name: "broker", state: "ok", reports: [report] }],
    others: [report],
    dead_letters: letters,
  });

  assert.equal(event.view, "pipeline");
  assert.deepEqual(event.pipeline, {
    hops: [{ name: "broker", state: "ok", reports: [report] }],
    others: [report],
    dead_letters: letters,
  });
});

test("a short history has every point, a long one columns", () => {
  const short = decodeHistory({ exact: true, samples: [[1, 2, 3, 4, 5]], estimates: [], packets: [], summary: null });
  const summary = { packets: 1 };
  const long = decodeHistory({
    exact: false,
    width_s: 60,
    measured: [
      [1, 2, 3, 4, 5],
      [2, null, null, null, null],
    ],
    arrived: [[1, 2, 3, 4, 5]],
    summary,
  });

  assert.ok(short.exact);
  assert.equal(short.points.samples[0]?.pred_hum, 5);
  assert.ok(!long.exact);
  assert.deepEqual(long.arrived, [{ at_ms: 1, min_temp: 2, max_temp: 3, min_hum: 4, max_hum: 5 }]);
  assert.equal(long.measured[1]?.max_hum, null);
  assert.equal(long.summary, summary);
});

test("a stream's address has its view and options", () => {
  assert.equal(streamAddress("pipeline"), "events?view=pipeline");
  assert.equal(streamAddress("node", { node: "a&b", span: 3600 }), "events?view=node&node=a%26b&span=3600");
  assert.equal(streamAddress("node", { node: null, span: 3600 }), "events?view=node&span=3600");
});

test("a history is requested in whole seconds, and an error has the server's reason", async (context) => {
  /** @type {string[]} */
  const asked = [];
  const answers = [
    Response.json({ exact: true, samples: [], packets: [], estimates: [], summary: null }),
    Response.json({ error: "the database is away" }, { status: 503 }),
  ];
  context.mock.method(globalThis, "fetch", async (/** @type {string} */ address) => {
    asked.push(address);
    return answers.shift();
  });
  const { signal } = new AbortController();

  const history = await fetchHistory("a&b", [1499, 60000], signal);

  assert.equal(history.exact, true);
  assert.deepEqual(asked, ["api/series?node=a%26b&start=1970-01-01T00%3A00%3A01Z&end=1970-01-01T00%3A01%3A00Z"]);
  await assert.rejects(fetchHistory("7", [0, 60000], signal), new Error("the database is away"));
});
