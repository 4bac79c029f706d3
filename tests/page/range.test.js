import assert from "node:assert/strict";
import { test } from "node:test";

import { bounded, localInput, STEPS } from "../../src/aoii/web/static/range.js";

process.env.TZ = "Asia/Seoul"; // another one than UTC
const HOUR = 3600000;
const NOW = 1000000 * HOUR;

test("moving goes half a width and comes back", () => {
  assert.deepEqual(STEPS.earlier([8 * HOUR, 16 * HOUR]), [4 * HOUR, 12 * HOUR]);
  assert.deepEqual(STEPS.later(STEPS.earlier([8 * HOUR, 16 * HOUR])), [8 * HOUR, 16 * HOUR]);
});

test("zooming halves or doubles the width around the middle", () => {
  assert.deepEqual(STEPS.in([8 * HOUR, 16 * HOUR]), [10 * HOUR, 14 * HOUR]);
  assert.deepEqual(STEPS.out([10 * HOUR, 14 * HOUR]), [8 * HOUR, 16 * HOUR]);
});

test("a range that fits is shown as it is", () => {
  assert.deepEqual(bounded([NOW - 2 * HOUR, NOW - HOUR], NOW), [NOW - 2 * HOUR, NOW - HOUR]);
});

test("a range that would reach beyond now ends now and keeps its width", () => {
  assert.deepEqual(bounded([NOW - HOUR, NOW + 3 * HOUR], NOW), [NOW - 4 * HOUR, NOW]);
});

test("a range is at least ten minutes wide around its middle, and at most ten years", () => {
  assert.deepEqual(bounded([HOUR, HOUR], NOW), [HOUR - 300000, HOUR + 300000]);

  const [from, to] = bounded([0, 1e15], NOW);
  assert.equal(to, NOW);
  assert.equal(to - from, 10 * 366 * 24 * HOUR);
});

test("an input of local time gets the clock on the wall", () => {
  assert.equal(localInput(Date.UTC(2026, 6, 31, 14, 59, 59)), "2026-07-31T23:59");
});
