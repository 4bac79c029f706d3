import assert from "node:assert/strict";
import { test } from "node:test";

import { countStates, isMatch, worstFirst } from "../../src/aoii/web/static/states.js";

/** @type {(node: string, ...states: import("../../src/aoii/web/static/api.js").NodeState[]) => import("../../src/aoii/web/static/api.js").Summary} */
const node = (number, ...states) => /** @type {any} */ ({ node: number, name: null, place: null, states });

test("the worst node comes first, then natural order", () => {
  const nodes = [node("10", "correct"), node("2", "correct"), node("3", "wrong", "low_battery"), node("roof", "dead")];

  assert.deepEqual(
    worstFirst(nodes).map((each) => each.node),
    ["roof", "3", "2", "10"],
  );
  assert.equal(nodes[0]?.node, "10"); // the list itself is not sorted
});

test("a node counts in each of its states", () => {
  const counts = countStates([node("1", "sensor_fault", "low_battery"), node("2", "low_battery")]);

  assert.deepEqual([counts.sensor_fault, counts.low_battery, counts.dead], [1, 2, 0]);
});

test("a node matches a part of its name, in any case", () => {
  const roof = node("Roof 12", "correct");

  assert.ok(isMatch(roof, " roof ", new Set()));
  assert.ok(isMatch(roof, "12", new Set()));
  assert.ok(!isMatch(roof, "13", new Set()));
});

test("a node matches a part of what people call it and of where it is", () => {
  const barn = { ...node("7", "correct"), name: "온실", place: "Row 3" };

  assert.ok(["온", "row", "7"].every((text) => isMatch(barn, text, new Set())));
  assert.ok(!isMatch(barn, "shed", new Set()));
});

test("a node matches when any of its states is chosen", () => {
  const low = node("1", "wrong", "low_battery");

  assert.ok(isMatch(low, "", new Set(["low_battery"])));
  assert.ok(!isMatch(low, "", new Set(["dead"])));
  assert.ok(!isMatch(low, "2", new Set(["low_battery"])));
});
