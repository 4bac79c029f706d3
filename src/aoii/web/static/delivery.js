/* The way of a reading, hop by hop, as the stations tell it; and the dead letters. */

import { $, fillRows, make, setText, showState } from "./dom.js";
import { drawSpark } from "./fleet.js";

const REASONS = ["bad_row", "mismatch", "corrupt", "malformed", "database_away"]; // the first need a person most
const REPLAYED = ["bad_row"]; // by hand, once the table is mended
const WORSE = ["warn", "unreachable", "down"];

export class DeliveryView {
  constructor(app) {
    this.app = app;
    this.content = null;
    this.built = ""; // which accounts the page has elements for
  }

  wants() {
    return {};
  }

  leave() {}

  title() {
    return this.app.voice.words.delivery;
  }

  begin(content) {
    this.take(content);
  }

  take(content) {
    if (!content.hops) return;
    this.content = content;
    this.show();
  }

  translate() {
    this.built = "";
    if (this.content) this.show();
  }

  show() {
    const { hops, beside, letters } = this.content;
    const key = JSON.stringify([...hops.map((hop) => [hop.hop, hop.accounts.map(nameOf)]), beside.map(nameOf)]);
    if (key !== this.built) {
      this.built = key;
      $("hops").replaceChildren(...hops.map((hop) => this.newHop(hop)));
      $("beside").replaceChildren(...beside.map(() => make("li", { className: "account" }, ...accountParts())));
    }
    hops.forEach((hop, place) => this.fillHop($("hops").children[place], hop));
    beside.forEach((account, place) => this.fillAccount($("beside").children[place], account, true));
    this.headline(hops);
    this.showLetters(letters);
  }

  headline(hops) {
    const { words } = this.app.voice;
    const bad = hops.filter((hop) => WORSE.includes(hop.state)).sort((one, other) => WORSE.indexOf(other.state) - WORSE.indexOf(one.state));
    const told = bad.map((hop) => `${words.hops[hop.hop]} (${words.hopStates[hop.state]})`).join(", ");
    const unseen = hops.filter((hop) => hop.state === "unknown").map((hop) => words.hops[hop.hop]).join(", ");
    const verdict = $("verdict");
    verdict.dataset.hop = bad.length ? bad[0].state : unseen ? "unknown" : "ok";
    setText(verdict, bad.length ? words.trouble(told) : unseen ? words.notSeen(unseen) : words.allWell);
  }

  newHop(hop) {
    const head = make("div", { className: "hop-head" });
    head.append(make("h2"), make("span", { className: "hop-state" }), make("p", { className: "muted" }));
    const accounts = make("ul", { className: "accounts" });
    accounts.append(...hop.accounts.map(() => make("li", { className: "account" }, ...accountParts())));
    const item = make("li", { className: "hop panel", id: `hop-${hop.hop}` }, head, accounts);
    return item;
  }

  fillHop(item, hop) {
    const { words } = this.app.voice;
    item.dataset.hop = hop.state;
    setText(item.querySelector("h2"), words.hops[hop.hop]);
    showState(item.querySelector(".hop-state"), "hop", hop.state, words.hopStates);
    setText(item.querySelector(".hop-head p"), words.hopHelp[hop.hop]);
    hop.accounts.forEach((account, place) => {
      const isAlone = hop.accounts.length === 1;
      this.fillAccount(item.querySelector(".accounts").children[place], account, !isAlone);
    });
  }

  fillAccount(item, account, withState) {
    const { voice } = this.app;
    const { words } = voice;
    const part = (name) => item.querySelector(`.${name}`);
    const by = account.by === "web" ? words.byPage : words.by(words.stations[account.by]);
    setText(part("by"), account.address ? `${by} · ${account.address}` : by);
    part("account-state").hidden = !withState;
    showState(part("account-state"), "hop", account.state, words.hopStates);
    const figures = [
      [words.waiting, account.waiting === null ? null : voice.whole(account.waiting)],
      [words.oldest, account.waiting ? voice.duration(account.oldest_s ?? 0) : null],
      [words.rate, account.per_minute === null ? null : voice.tenth(account.per_minute)],
    ].filter(([, value]) => value !== null);
    const list = part("figures");
    if (list.children.length !== figures.length) list.replaceChildren(...figures.map(() => make("div", {}, make("dt"), make("dd"))));
    figures.forEach(([name, value], place) => {
      setText(list.children[place].children[0], name);
      setText(list.children[place].children[1], value);
    });
    setText(part("stale"), account.stale_s === null ? "" : `(${words.stale(voice.ago(account.stale_s))})`);
    const drawing = item.querySelector("svg");
    drawing.toggleAttribute("hidden", account.track.length < 2 || Math.max(...account.track) === 0);
    drawSpark(drawing.firstElementChild, account.track);
    const notes = account.notes.map(([code, values]) => words.notes[code](this.written(values)));
    const told = part("notes");
    if (told.dataset.told !== notes.join("\n")) {
      told.dataset.told = notes.join("\n");
      told.replaceChildren(...notes.map((note) => make("li", { textContent: note })));
    }
  }

  /** Values of a note as the language writes them. */
  written(values) {
    const { voice } = this.app;
    const write = {
      count: (count) => voice.whole(count),
      seconds: (seconds) => voice.duration(seconds),
      station: (station) => voice.words.stations[station],
    };
    return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, write[name] ? write[name](value) : value]));
  }

  showLetters({ counts, stale_s: staleS, dropped }) {
    const { voice } = this.app;
    const { words } = voice;
    const known = Object.keys(counts ?? {}).sort((one, other) => REASONS.indexOf(one) - REASONS.indexOf(other));
    const present = known.filter((reason) => counts[reason]);
    const told = counts === null ? words.lettersUnknown : present.length ? "" : words.lettersNone;
    setText($("letters-told"), staleS === null ? told : `${told} (${words.stale(voice.ago(staleS))})`.trim());
    $("letters-table").hidden = !present.length;
    setText($("letters-dropped"), dropped ? words.lettersDropped(voice.whole(dropped)) : "");
    const key = JSON.stringify([voice.name, present, counts]);
    if ($("letters-rows").dataset.told === key) return;
    $("letters-rows").dataset.told = key;
    const code = (text) => make("code", { textContent: text });
    const act = (reason) => make("span", {}, `${words.lookWith} `, code(`aoii dlq list --reason ${reason}`),
      ...(REPLAYED.includes(reason) ? [` ${words.thenWith} `, code(`aoii dlq replay --all --reason ${reason}`)] : []));
    fillRows($("letters-rows"), present.map((reason) => [
      code(reason), voice.whole(counts[reason]), words.letterReasons[reason] ?? "", act(reason),
    ]));
  }
}

function nameOf(account) {
  return [account.by, account.address];
}

function accountParts() {
  const drawing = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  drawing.setAttribute("viewBox", "0 0 100 26");
  drawing.setAttribute("preserveAspectRatio", "none");
  drawing.setAttribute("aria-hidden", "true");
  drawing.append(document.createElementNS("http://www.w3.org/2000/svg", "polyline"));
  return [
    make("p", { className: "who" },
      make("span", { className: "by" }), " ", make("span", { className: "account-state" }), " ", make("span", { className: "stale" })),
    make("dl", { className: "figures" }),
    drawing,
    make("ul", { className: "notes" }),
  ];
}
