import assert from "node:assert/strict";
import { test } from "node:test";

import { byNeed, partsOf, sumOf } from "../../src/aoii/web/static/ledger.js";

/** @typedef {import("../../src/aoii/web/static/api.js").Account} Account */

/**
 * @param {string} node
 * @param {Partial<Account>} changes
 * @returns {Account}
 */
const account = (node, changes = {}) => ({
  node,
  epoch: 1,
  first: 1,
  last: 10,
  is_balanced: true,
  stored: 0,
  dead_letters: 0,
  void: 0,
  waiting: 0,
  open: 0,
  unknown: 0,
  lost: 0,
  retired: 0,
  ...changes,
});

test("the parts that need a look come first, the worst before the others, and empty ones not at all", () => {
  const { unsettled, accounted } = partsOf(account("7", { stored: 4, void: 1, waiting: 3, lost: 2 }));

  assert.deepEqual(unsettled, [
    ["lost", 2],
    ["waiting", 3],
  ]);
  assert.deepEqual(accounted, [
    ["stored", 4],
    ["void", 1],
  ]);
});

test("accounts are ordered by what they need", () => {
  const accounts = [
    account("1", { stored: 10 }),
    account("2", { waiting: 9 }),
    account("3", { lost: 1, waiting: 2 }),
    account("4", { is_balanced: false }),
    account("5", { retired: 10 }),
    account("6", { open: 1 }),
  ];

  assert.deepEqual(
    byNeed(accounts).map(({ node }) => node),
    ["4", "3", "6", "2", "1", "5"],
  );
});

test("the sum of all accounts says how many numbers are unsettled", () => {
  const accounts = [
    account("1", { stored: 10 }),
    account("2", { first: 0, last: 4, stored: 1, void: 2, waiting: 1, lost: 1 }),
  ];

  assert.deepEqual(sumOf(accounts), { readings: 13, unsettled: 2, unbalanced: 0 });
  assert.deepEqual(sumOf([account("1", { is_balanced: false })]), { readings: 10, unsettled: 0, unbalanced: 1 });
  assert.deepEqual(sumOf([]), { readings: 0, unsettled: 0, unbalanced: 0 });
});
