import assert from "node:assert/strict";
import { test } from "node:test";

import { fetchHistory } from "../../src/aoii/web/static/history.js";

test("a history is requested in whole seconds, and an error has the server's reason", async (context) => {
  /** @type {string[]} */
  const asked = [];
  const answers = [
    Response.json({ exact: true, samples: [], packets: [], estimates: [], summary: null }),
    Response.json({ error: "the database is away" }, { status: 503 }),
  ];
  context.mock.method(globalThis, "fetch", async (/** @type {string} */ address) => {
    asked.push(address);
    return answers.shift();
  });
  const { signal } = new AbortController();

  const history = await fetchHistory("a&b", [1499, 60000], signal);

  assert.equal(history.exact, true);
  assert.deepEqual(asked, ["api/series?node=a%26b&start=1970-01-01T00%3A00%3A01Z&end=1970-01-01T00%3A01%3A00Z"]);
  await assert.rejects(fetchHistory("7", [0, 60000], signal), new Error("the database is away"));
});
