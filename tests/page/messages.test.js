import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";

import { LANGUAGES, localeOf } from "../../src/aoii/web/static/language.js";

const STATIC = new URL("../../src/aoii/web/static/", import.meta.url);
const html = readFileSync(new URL("index.html", STATIC), "utf8");
const en = localeOf("en").messages;

/**
 * Every message of a language by its path, and how many values it takes.
 *
 * @param {object} messages
 * @returns {[path: string, takes: number | null][]}
 */
function shape(messages, before = "") {
  return Object.entries(messages).flatMap(([key, message]) =>
    typeof message === "object"
      ? shape(message, `${before}${key}.`)
      : [
          /** @type {[string, number | null]} */ ([
            before + key,
            typeof message === "function" ? message.length : null,
          ]),
        ],
  );
}

/**
 * Every text of a language, each value being a 1.
 *
 * @param {object} messages
 * @returns {string[]}
 */
function texts(messages) {
  const values = {
    budget: "1",
    check: "1",
    count: "1",
    outcome: "1",
    port: "1",
    reason: "1",
    result: "1",
    seconds: "1",
    station: "1",
    written: "1",
  };
  return Object.entries(messages).flatMap(([key, message]) => {
    if (typeof message === "object") return texts(message);
    if (typeof message === "string") return [message];
    return [key in en.notes ? message({ ...values, status: "1" }) : message(..."1".repeat(message.length))];
  });
}

test("every language has the same messages, which take the same values", () => {
  for (const language of LANGUAGES) assert.deepEqual(shape(localeOf(language).messages), shape(en), language);
});

test("no message is empty or has a hole", () => {
  for (const language of LANGUAGES) {
    for (const text of texts(localeOf(language).messages)) assert.doesNotMatch(text, /^\s*$|undefined|\[object/);
  }
});

test("Korean messages are Korean, but for signs, units and names", () => {
  const foreign = texts(localeOf("ko").messages).filter((text) => !/[가-힣]/.test(text));

  assert.deepEqual(foreign, ["≥ 1", "QoS 1 / QoS 0", "SNR 1 dB", "1 V", "1 dBm", "1 · 1 ~ 1", "1 ~ 1"]);
});

test("English counts one thing and many things", () => {
  assert.equal(en.nodeCount("1"), "1 node");
  assert.equal(en.nodeCount("0"), "0 nodes");
  assert.equal(en.nodeCount("500+"), "500+ nodes");
});

test("every message that the page's HTML names is there, and stands in it as it is in English or not at all", () => {
  const named = [...html.matchAll(/ data-(text|label|title|placeholder)="(\w+)"([^>]*)>([^<]*)/g)];
  const texts = /** @type {Record<string, unknown>} */ (en);

  assert.ok(named.length > 50);
  for (const [, kind, key = "", attributes = "", text] of named) {
    assert.equal(typeof texts[key], "string", key);
    const written = kind === "text" ? text?.trim() : (/aria-label="([^"]*)"/.exec(attributes)?.[1] ?? "");
    assert.ok(written === "" || written === texts[key], `${key}: ${written}`);
  }
});

test("every message is used", () => {
  const scripts = readdirSync(STATIC).filter((name) => name.endsWith(".js"));
  const code = scripts.map((name) => readFileSync(new URL(name, STATIC), "utf8")).join("\n") + html;

  const unused = Object.keys(en).filter((key) => !new RegExp(`(messages\\.|["'])${key}\\b`).test(code));
  assert.deepEqual(unused, []);
});
