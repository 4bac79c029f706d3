/* Short functions that find, make and fill elements of the document. */

import { sourceOf, valuesOf } from "./summary.js";

/** @type {WeakMap<Element, string>} the key of the children that an element has now, see `renewChildren` */
const keys = new WeakMap();

/**
 * The element with this id.
 *
 * Throws an error if there is none, or if it is not of this kind.
 *
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @param {new () => T} [kind]
 * @returns {T}
 */
export function $(id, kind) {
  return part(document, `#${id}`, kind);
}

/**
 * The first element inside another that matches the selector.
 *
 * Throws an error if there is none, or if it is not of this kind.
 *
 * @template {Element} [T=HTMLElement]
 * @param {ParentNode} parent
 * @param {string} selector
 * @param {new () => T} [kind]
 * @returns {T}
 */
export function part(parent, selector, kind) {
  const element = parent.querySelector(selector);
  if (!(element instanceof (kind ?? HTMLElement))) throw new Error(`the page has no ${selector}`);
  return /** @type {T} */ (element);
}

/**
 * Set a text, but only if it differs: a screen reader reads aloud again what is set again.
 *
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * A new element with properties and children.
 *
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Partial<HTMLElementTagNameMap[K]>} properties
 * @param {(Node | string)[]} children
 */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/**
 * A copy of the element in the template with this id in index.html.
 *
 * @param {string} id
 */
export function copyOf(id) {
  return /** @type {HTMLElement} */ ($(id, HTMLTemplateElement).content.firstElementChild?.cloneNode(true));
}

/**
 * Replace the children of an element, unless it already has those of this key: then selected text and the focus stay.
 *
 * @param {HTMLElement} parent
 * @param {string} key
 * @param {() => Node[]} newChildren
 */
export function renewChildren(parent, key, newChildren) {
  if (keys.get(parent) === key) return;
  keys.set(parent, key);
  parent.replaceChildren(...newChildren());
}

/**
 * Show a state in words; the style sheets add its sign and colour.
 *
 * @template {string} S
 * @param {HTMLElement} element
 * @param {"state" | "hop"} kind
 * @param {S} state
 * @param {Record<S, string>} texts
 */
export function showState(element, kind, state, texts) {
  element.dataset[kind] = state;
  setText(element, texts[state]);
}

/**
 * Show all states of a node, each with its meaning as title. Does nothing if they are shown already.
 *
 * @param {HTMLElement} list
 * @param {import("./api.js").NodeState[]} states
 * @param {import("./language.js").Locale} locale
 */
export function showNodeStates(list, states, { name, messages }) {
  const newState = (/** @type {import("./api.js").NodeState} */ state) => {
    const element = make("span", { className: "state", title: messages.stateHelp[state] });
    showState(element, "state", state, messages.states);
    return element;
  };
  renewChildren(list, `${name} ${states}`, () => states.map(newState));
}

/**
 * Show the latest values of a node, and beside them whether they were measured or estimated, and what they may be wrong by.
 *
 * @param {HTMLElement} values
 * @param {HTMLElement} source
 * @param {import("./api.js").Summary} summary
 * @param {import("./language.js").Locale} locale
 */
export function showValues(values, source, summary, locale) {
  setText(values, valuesOf(summary, locale));
  setText(source, sourceOf(summary, locale));
  source.title = summary.source === "estimated" && !summary.error_bound ? locale.messages.estimatedOnlyMore : "";
}

/**
 * Show these rows in a table's body; the first cell of a row is its header.
 *
 * @param {HTMLElement} body
 * @param {(Node | string)[][]} rows
 */
export function fillRows(body, rows) {
  const newCell = (/** @type {Node | string} */ content, /** @type {number} */ place) =>
    place ? make("td", {}, content) : make("th", { scope: "row" }, content);
  const texts = rows.map((cells) => cells.map((cell) => (typeof cell === "string" ? cell : cell.textContent)));
  renewChildren(body, JSON.stringify(texts), () => rows.map((cells) => make("tr", {}, ...cells.map(newCell))));
}
