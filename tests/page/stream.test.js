import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { Stream } from "../../src/aoii/web/static/stream.js";

/* A fake browser: sources that are opened, a page that can be hidden, and a mocked clock. */

class FakeSource extends EventTarget {
  static CLOSED = 2;
  /** @type {FakeSource[]} */
  static opened = [];

  /** @param {string} address */
  constructor(address) {
    super();
    this.address = address;
    this.readyState = 1;
    /** @type {(() => void) | null} */
    this.onerror = null;
    FakeSource.opened.push(this);
  }

  close() {
    this.readyState = FakeSource.CLOSED;
  }

  /** @param {string} name */
  send(name, content = {}) {
    this.dispatchEvent(Object.assign(new Event(name), { data: JSON.stringify(content) }));
  }

  /** @param {{ forEver: boolean }} how whether the browser tries again by itself */
  fail({ forEver }) {
    if (forEver) this.close();
    this.onerror?.();
  }
}

class FakeDocument extends EventTarget {
  hidden = false;

  /** @param {boolean} hidden */
  hide(hidden) {
    this.hidden = hidden;
    this.dispatchEvent(new Event("visibilitychange"));
  }
}

/** @type {FakeDocument} */
let page;
/** @type {string[]} */
let received;
/** @type {string[]} */
let visited;
let status = 200;

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setInterval", "setTimeout", "Date"] });
  page = new FakeDocument();
  received = [];
  visited = [];
  status = 200;
  FakeSource.opened = [];
  Object.assign(globalThis, {
    EventSource: FakeSource,
    document: page,
    location: { assign: (/** @type {string} */ address) => visited.push(address) },
    fetch: async () => ({ status }),
  });
});

/** A stream that is open, and its first source. */
function opened() {
  const stream = new Stream(
    (name, event) => received.push(`${name} ${event.node}`),
    () => received.push("lost"),
  );
  stream.open("events?view=fleet");
  return { stream, source: latest() };
}

function latest() {
  const source = FakeSource.opened.at(-1);
  assert.ok(source);
  return source;
}

test("events arrive in order", () => {
  const { source } = opened();

  source.send("snapshot", { node: "7" });
  source.send("update");

  assert.deepEqual(received, ["snapshot 7", "update null"]);
});

test("after another view is opened, events of the one before are ignored", () => {
  const { stream, source } = opened();

  stream.open("events?view=pipeline");
  source.send("snapshot");
  source.fail({ forEver: true });

  assert.deepEqual(received, []);
  assert.equal(source.readyState, FakeSource.CLOSED);
  assert.equal(latest().address, "events?view=pipeline");
});

test("a stream without an event for ten seconds is lost and opened again", () => {
  const { source } = opened();
  mock.timers.tick(9000);
  source.send("update");
  mock.timers.tick(9000);
  assert.equal(FakeSource.opened.length, 1);

  mock.timers.tick(1000);

  assert.deepEqual(received, ["update null", "lost"]);
  assert.equal(FakeSource.opened.length, 2);
});

test("a stream that the browser reconnects by itself is not opened again", () => {
  const { source } = opened();

  source.fail({ forEver: false });
  mock.timers.tick(5000);

  assert.deepEqual(received, ["lost"]);
  assert.equal(FakeSource.opened.length, 1);
});

test("a stream that was refused is opened again after three seconds", () => {
  const { source } = opened();

  source.fail({ forEver: true });
  mock.timers.tick(2999);
  assert.equal(FakeSource.opened.length, 1);
  mock.timers.tick(1);

  assert.equal(FakeSource.opened.length, 2);
  assert.equal(latest().address, source.address);
});

test("a page whose session has ended goes to the login form", async () => {
  const { source } = opened();
  status = 401;

  source.fail({ forEver: true });
  await new Promise(setImmediate);

  assert.deepEqual(visited, ["login"]);
});

test("a hidden page closes its stream after half a minute, and opens it again when it is visible", () => {
  const { source } = opened();

  page.hide(true);
  for (let second = 0; second < 29; second += 1) {
    mock.timers.tick(1000);
    source.send("update");
  }
  assert.equal(source.readyState, 1);
  mock.timers.tick(1000);
  assert.equal(source.readyState, FakeSource.CLOSED);
  page.hide(false);

  assert.equal(FakeSource.opened.length, 2);
});

test("a page that is visible again in time keeps its stream", () => {
  const { source } = opened();

  page.hide(true);
  mock.timers.tick(5000);
  page.hide(false);
  for (let second = 0; second < 40; second += 1) {
    mock.timers.tick(1000);
    source.send("update");
  }

  assert.equal(FakeSource.opened.length, 1);
  assert.equal(source.readyState, 1);
});
