import assert from "node:assert/strict";
import { test } from "node:test";

import { accuracyPercent, coveredSeconds, savedPercent } from "../../src/aoii/web/static/summary.js";

test("the estimate is called 100 % accurate only when no sample was wrong", () => {
  assert.equal(accuracyPercent({ wrong: 0, instants: 1440 }), 100);
  assert.equal(accuracyPercent({ wrong: 1, instants: 1000000 }), 99.99);
  assert.equal(accuracyPercent({ wrong: 4, instants: 400 }), 99);
  assert.equal(accuracyPercent({ wrong: 0, instants: 0 }), 100);
});

test("savings are relative to periodic sending", () => {
  assert.equal(savedPercent({ packets: 115, periodic: 1440 }), -92);
  assert.equal(savedPercent({ packets: 30, periodic: 20 }), 50);
  assert.equal(savedPercent({ packets: 0, periodic: 0 }), null);
});

test("the covered time is in whole minutes", () => {
  assert.equal(coveredSeconds({ start_ms: 4 * 86400000 + 1000, end_ms: 5 * 86400000 + 999 }), 86400);
  assert.equal(coveredSeconds({ start_ms: null, end_ms: null }), 0);
});
