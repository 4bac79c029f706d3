import assert from "node:assert/strict";
import { test } from "node:test";

import { formatOf } from "../../src/aoii/web/static/format.js";
import { en } from "../../src/aoii/web/static/messages/en.js";
import { ko } from "../../src/aoii/web/static/messages/ko.js";
import {
  accuracyPercent,
  coveredSeconds,
  nameOf,
  savedPercent,
  sourceOf,
  titleOf,
  valuesOf,
} from "../../src/aoii/web/static/summary.js";

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

test("a node has its name with the number beside it, or its number", () => {
  const named = { node: "7", name: "온실" };
  const bare = { node: "7", name: null };

  assert.deepEqual([nameOf(named), nameOf(bare)], ["온실 · 7", "7"]);
  assert.deepEqual([titleOf(named, ko), titleOf(bare, ko)], ["온실 · 7", `${ko.node} 7`]);
});

test("values say where they come from and what they may be wrong by", () => {
  const bound = { temperature: 0.5, humidity: 3 };
  const locales = Object.entries({ en, ko }).map(([name, messages]) => ({ name, messages, ...formatOf(name) }));
  const said = locales.map((/** @type {any} */ locale) => [
    valuesOf({ temp: -1.25, hum: 40.4 }, locale),
    valuesOf({ temp: null, hum: null }, locale),
    sourceOf({ source: null, error_bound: null }, locale),
    sourceOf({ source: "measured", error_bound: { temperature: 0, humidity: 0 } }, locale),
    sourceOf({ source: "estimated", error_bound: bound }, locale),
    sourceOf({ source: "estimated", error_bound: null }, locale),
  ]);

  const values = ["−1.3 °C · 40 %", "–", ""];
  assert.deepEqual(said, [
    [...values, "measured", "estimated, ±0.5 °C, ±3.0 %", "estimated, unconfirmed"],
    [...values, "측정", "추정, ±0.5 °C, ±3.0 %", "추정, 확인 불가"],
  ]);
});
