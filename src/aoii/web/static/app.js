/* The page: one view at a time follows its stream of events; what belongs to every view is shown here. */

import { read, write } from "./address.js";
import { DeliveryView } from "./delivery.js";
import { $, setText } from "./dom.js";
import { FleetView } from "./fleet.js";
import { NodeView } from "./node.js";
import { Stream } from "./stream.js";
import { firstLanguage, keepLanguage, speak } from "./words.js";

const app = {
  voice: speak(firstLanguage()),
  address: read(location.hash),
  nowMs: 0,
  connection: "connecting",
  databaseAway: null,
  brokerUp: true,
  moreNodes: false,
  delivery: null, // the worst of it, for the tab
  frame: null, // settings that do not change while the page is open; null before the first snapshot
  go,
  guarded,
};
const views = { fleet: new FleetView(app), node: new NodeView(app), delivery: new DeliveryView(app) };
const stream = new Stream((name, content) => guarded(() => hear(name, content)), () => connection("lost"));
let view = null; // the view that is followed
let shown = null; // the one that is seen: none before its first snapshot
let focusNext = false;

/* --- from the address to the view --- */

/** Go to another address; the browser's Back comes back. */
function go(change, { replace = false } = {}) {
  const hash = write({ ...app.address, ...change });
  if (replace) {
    history.replaceState(null, "", hash);
    follow();
  } else {
    location.hash = hash;
  }
}

function follow() {
  const before = app.address;
  app.address = read(location.hash);
  const name = app.address.view ?? "fleet";
  focusNext = Boolean(shown) && (before.view !== app.address.view || before.node !== app.address.node);
  if (view !== views[name]) view?.leave();
  view = views[name];
  stream.open({ view: name, ...view.wants() });
}

function hear(name, content) {
  if (name === "snapshot") {
    app.frame = content;
    if (content.view === "fleet" && app.address.view === null && content.nodes.length === 1) {
      go({ view: "node", node: content.nodes[0].node }, { replace: true }); // an overview of one is none
      return;
    }
  }
  told(content);
  if (name === "snapshot") {
    view.begin(content);
    show();
  } else view.take(content);
}

function told(content) {
  if (content.now_ms === undefined) return;
  app.nowMs = content.now_ms;
  app.databaseAway = content.database_away;
  app.brokerUp = content.broker_up;
  app.moreNodes = content.more_nodes;
  app.delivery = content.delivery;
  app.isEmpty = Object.keys(content.states).length === 0;
  connection(app.databaseAway || !app.brokerUp ? "partly" : "live");
  showNotices();
  showTabs();
  if (shown) show();
}

/* --- what every view has --- */

function show() {
  const name = app.isEmpty && view !== views.delivery ? "empty" : app.frame.view;
  const isNew = shown !== name;
  shown = name;
  for (const each of ["fleet", "node", "delivery", "empty"]) $(`${each}-view`).hidden = each !== name;
  $("loading").hidden = true;
  const title = name === "empty" ? "" : view.title();
  document.title = title ? `${title} · aoii` : "aoii";
  const chip = $("simulated");
  chip.hidden = !app.frame.simulated;
  setText(chip, app.voice.words.simulated(app.voice.whole(app.frame.speed)));
  if (isNew) view.seen?.();
  if (focusNext) {
    focusNext = false;
    scrollTo(0, 0);
    $(`${name}-title`).focus({ preventScroll: true });
  }
}

function connection(name) {
  app.connection = name;
  const chip = $("connection");
  const text = app.voice.words[name];
  if (chip.dataset.state === name && chip.textContent === text) return; // or it would be read out again
  chip.dataset.state = name;
  $("lost-notice").hidden = name !== "lost";
  chip.textContent = text;
}

function showNotices() {
  const { words } = app.voice;
  $("database-notice").hidden = !app.databaseAway || app.isEmpty; // the empty page tells it in its list
  if (app.databaseAway) setText($("database-notice").querySelector("span"), words.databaseAwayMore(app.databaseAway));
  $("broker-notice").hidden = app.brokerUp || app.isEmpty;
  setText($("empty-broker"), app.brokerUp ? words.yes : words.no());
  setText($("empty-database"), app.databaseAway ? words.no(app.databaseAway) : words.yes);
}

function showTabs() {
  for (const name of ["fleet", "delivery"]) {
    const isHere = view === views[name] || (name === "fleet" && view === views.node);
    if (isHere) $(`${name}-tab`).setAttribute("aria-current", view === views[name] ? "page" : "true");
    else $(`${name}-tab`).removeAttribute("aria-current");
  }
  const badge = $("delivery-badge");
  const state = app.delivery?.state ?? "unknown";
  badge.hidden = state === "ok" || state === "unknown";
  badge.dataset.hop = state;
  const names = (app.delivery?.hops ?? []).map((hop) => app.voice.words.hops[hop]).join(", ");
  setText(badge, `${names}: ${app.voice.words.hopStates[state]}`);
}

function showLanguage(name) {
  app.voice = speak(name);
  const { words } = app.voice;
  document.documentElement.lang = name;
  for (const element of document.querySelectorAll("[data-word]")) element.textContent = words[element.dataset.word];
  for (const element of document.querySelectorAll("[data-label]")) element.setAttribute("aria-label", words[element.dataset.label]);
  for (const element of document.querySelectorAll("[data-hint]")) element.placeholder = words[element.dataset.hint];
  for (const element of document.querySelectorAll("[data-title]")) element.title = words[element.dataset.title];
  for (const code of ["en", "ko"]) $(`lang-${code}`).setAttribute("aria-pressed", String(code === name));
  for (const each of Object.values(views)) each.translate();
  connection(app.connection);
  if (!shown) return;
  showNotices();
  showTabs();
  show();
}

/** A fault of this page is shown, not only written where nobody looks. */
function guarded(act) {
  try {
    return act();
  } catch (error) {
    $("bug-notice").hidden = false;
    $("bug-notice").querySelector("span").textContent = String(error);
    throw error;
  }
}

function start() {
  for (const code of ["en", "ko"]) {
    $(`lang-${code}`).addEventListener("click", () => {
      keepLanguage(code);
      guarded(() => showLanguage(code));
    });
  }
  $("skip").addEventListener("click", (event) => {
    event.preventDefault(); // the address is the view's
    $("main").focus();
  });
  window.addEventListener("hashchange", () => guarded(follow));
  showLanguage(app.voice.name);
  follow();
}

guarded(start);
