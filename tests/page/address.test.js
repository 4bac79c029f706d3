import assert from "node:assert/strict";
import { test } from "node:test";

import { formatAddress, iso, nodeAddress, parseAddress } from "../../src/aoii/web/static/address.js";

const DAY = 86400;

test("an empty or unknown address names no view and has the default span", () => {
  const nothing = { view: null, node: null, span: DAY, from: null, to: null };

  for (const hash of ["", "#", "#nonsense", "#node=", "#span=3600", "#constructor"])
    assert.deepEqual(parseAddress(hash), nothing);
});

test("fleet and pipeline have addresses, and older bookmarks of the pipeline still work", () => {
  assert.equal(parseAddress("#fleet").view, "fleet");
  assert.equal(parseAddress("#pipeline").view, "pipeline");
  assert.equal(parseAddress("#delivery").view, "pipeline");
});

test("an address survives formatting and parsing, whatever the node is called", () => {
  const addresses = [
    { view: /** @type {const} */ ("fleet"), node: null, span: DAY, from: null, to: null },
    { view: /** @type {const} */ ("node"), node: "7", span: 3600, from: null, to: null },
    { view: /** @type {const} */ ("node"), node: "roof & <b>#1=2</b> 지붕", span: 604800, from: null, to: null },
    {
      view: /** @type {const} */ ("node"),
      node: "7",
      span: DAY,
      from: Date.UTC(2026, 0, 31),
      to: Date.UTC(2026, 1, 1),
    },
  ];

  for (const address of addresses) assert.deepEqual(parseAddress(formatAddress(address)), address);
});

test("a span that is not offered becomes the default", () => {
  assert.equal(parseAddress("#node=7&span=12").span, DAY);
  assert.equal(parseAddress("#node=7&span=x").span, DAY);
});

test("a range needs both ends, in order", () => {
  const to = "to=2026-01-01T00:00:00Z";

  for (const range of [to, `from=&${to}`, `from=yesterday&${to}`, `from=2026-01-01T00:00:00Z&${to}`]) {
    const { from, to: end } = parseAddress(`#node=7&${range}`);
    assert.deepEqual([from, end], [null, null], range);
  }
});

test("an instant is written in whole seconds", () => {
  assert.equal(iso(Date.UTC(2026, 0, 31, 12) + 499), "2026-01-31T12:00:00Z");
  assert.equal(iso(Date.UTC(2026, 0, 31, 12) + 500), "2026-01-31T12:00:01Z");
});

test("a link to a node shows its last day", () => {
  assert.equal(nodeAddress("a b"), "#node=a+b&span=86400");
});
