import assert from "node:assert/strict";
import { test } from "node:test";

import { corners } from "../../src/aoii/web/static/spark.js";

test("the line goes over the whole width, from the least value below to the greatest above", () => {
  assert.equal(corners([10, 30, 20]), "0.0,23.0 50.0,3.0 100.0,13.0");
});

test("values that are all the same lie at the bottom, and one value at the left", () => {
  assert.equal(corners([5, 5]), "0.0,23.0 100.0,23.0");
  assert.equal(corners([5]), "0.0,23.0");
});

test("no values are no line", () => {
  assert.equal(corners([]), "");
});
