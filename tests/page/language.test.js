import assert from "node:assert/strict";
import { test } from "node:test";

import { LANGUAGES, localeOf, pick } from "../../src/aoii/web/static/language.js";

test("a locale has the messages and the format of its language", () => {
  assert.deepEqual(LANGUAGES, ["en", "ko"]);
  assert.equal(localeOf("ko").messages.language, "언어");
  assert.equal(localeOf("ko").span(3600), "1시간");
  assert.equal(localeOf("en").span(3600), "1 hour");
});

test("the first known language is chosen, else English", () => {
  assert.equal(pick(["", "fr-FR", "ko-KR", "en"]), "ko");
  assert.equal(pick(["kok", "en-GB"]), "en"); // Konkani is not Korean
  assert.equal(pick(["fr"]), "en");
  assert.equal(pick([]), "en");
});
