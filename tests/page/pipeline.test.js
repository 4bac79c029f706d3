import assert from "node:assert/strict";
import { test } from "node:test";

import { presentReasons, verdict } from "../../src/aoii/web/static/pipeline.js";

/** @typedef {import("../../src/aoii/web/static/api.js").StageState} StageState */

/** @param {StageState[]} states */
const stages = (...states) => states.map((state) => ({ state }));

test("a pipeline is healthy when every stage is", () => {
  assert.deepEqual(verdict(stages("ok", "ok")), { state: "ok", trouble: [], unknown: [] });
});

test("what nobody can see is never called healthy", () => {
  assert.deepEqual(verdict(stages("ok", "unknown")), { state: "unknown", trouble: [], unknown: stages("unknown") });
  assert.equal(verdict([]).state, "ok");
});

test("the worst trouble comes first and gives its name to the whole", () => {
  const { state, trouble } = verdict(stages("warn", "unknown", "down", "ok", "unreachable"));

  assert.equal(state, "down");
  assert.deepEqual(trouble, stages("down", "unreachable", "warn"));
});

test("the dead letters that need a person most come first, and a reason that we do not know last", () => {
  const counts = { novel: 1, database_away: 3, bad_row: 2, corrupt: 0, malformed: 1 };

  assert.deepEqual(presentReasons(counts), ["bad_row", "malformed", "database_away", "novel"]);
  assert.deepEqual(presentReasons({}), []);
});
