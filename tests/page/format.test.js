import assert from "node:assert/strict";
import { test } from "node:test";

import { formatOf } from "../../src/aoii/web/static/format.js";

const en = formatOf("en");
const ko = formatOf("ko");

test("numbers have the requested digits, and a minus as wide as a plus", () => {
  assert.equal(en.whole(1234.5), "1,235");
  assert.equal(en.tenth(2), "2.0");
  assert.equal(en.hundredth(-0.126), "−0.13");
});

test("a duration has the natural unit", () => {
  const texts = [59, 119, 120, 3600, 5400, 7200, 86400, 172800].map(en.duration);

  assert.deepEqual(texts, ["59 sec", "119 sec", "2 min", "1 hr", "90 min", "2 hr", "24 hr", "2 days"]);
});

test("a span is written out in the language", () => {
  assert.equal(en.span(21600), "6 hours");
  assert.equal(ko.span(604800), "7일");
});

test("how long ago something was is a whole number", () => {
  assert.equal(en.ago(150), "3 min. ago");
  assert.equal(en.ago(0), "0 sec. ago");
  assert.equal(ko.ago(7200), "2시간 전");
});

test("midnight begins the day", () => {
  assert.equal(en.clock(new Date(2026, 0, 31, 0, 5).getTime()), "00:05");
  assert.equal(en.day(new Date(2026, 0, 31).getTime()), "Jan 31");
});
