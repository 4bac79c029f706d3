import assert from "node:assert/strict";
import { test } from "node:test";

import { presentReasons, verdict } from "../../src/aoii/web/static/pipeline.js";

/** @typedef {import("../../src/aoii/web/static/api.js").HopState} HopState */

/** @param {HopState[]} states */
const hops = (...states) => states.map((state) => ({ state }));

test("a pipeline is healthy when every hop is", () => {
  assert.deepEqual(verdict(hops("ok", "ok")), { state: "ok", trouble: [], unknown: [] });
});

test("an unknown hop is never called healthy", () => {
  assert.deepEqual(verdict(hops("ok", "unknown")), { state: "unknown", trouble: [], unknown: hops("unknown") });
  assert.equal(verdict([]).state, "ok");
});

test("the worst hop comes first, and its state is that of the pipeline", () => {
  const { state, trouble } = verdict(hops("warn", "unknown", "down", "ok", "unreachable"));

  assert.equal(state, "down");
  assert.deepEqual(trouble, hops("down", "unreachable", "warn"));
});

test("the dead letters that need a person most come first, and unknown reasons last", () => {
  const counts = { novel: 1, database_away: 3, bad_row: 2, corrupt: 0, malformed: 1 };

  assert.deepEqual(presentReasons(counts), ["bad_row", "malformed", "database_away", "novel"]);
  assert.deepEqual(presentReasons({}), []);
});
