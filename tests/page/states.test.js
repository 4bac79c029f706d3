import assert from "node:assert/strict";
import { test } from "node:test";

import { countStates, isWanted, worstFirst } from "../../src/aoii/web/static/states.js";

/** @type {(node: string, ...states: import("../../src/aoii/web/static/api.js").NodeState[]) => import("../../src/aoii/web/static/api.js").Summary} */
const node = (name, ...states) => /** @type {any} */ ({ node: name, states });

test("the worst comes first, then nodes as a person counts", () => {
  const nodes = [node("10", "correct"), node("2", "correct"), node("3", "wrong", "battery"), node("roof", "silent")];

  assert.deepEqual(
    worstFirst(nodes).map((each) => each.node),
    ["roof", "3", "2", "10"],
  );
  assert.equal(nodes[0]?.node, "10"); // it sorts a list of its own
});

test("a node counts in each of its states", () => {
  const counts = countStates([node("1", "fault", "battery"), node("2", "battery")]);

  assert.deepEqual([counts.fault, counts.battery, counts.silent], [1, 2, 0]);
});

test("a node is looked for by a part of its name, in any case", () => {
  const roof = node("Roof 12", "correct");

  assert.ok(isWanted(roof, " roof ", new Set()));
  assert.ok(isWanted(roof, "12", new Set()));
  assert.ok(!isWanted(roof, "13", new Set()));
});

test("a node is shown when any of its states was chosen", () => {
  const low = node("1", "wrong", "battery");

  assert.ok(isWanted(low, "", new Set(["battery"])));
  assert.ok(!isWanted(low, "", new Set(["silent"])));
  assert.ok(!isWanted(low, "2", new Set(["battery"])));
});
