/* A few words for the document. */

/**
 * The element with this id; it is a fault of the page when it is not there, or of another kind.
 *
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @param {new () => T} [kind]
 * @returns {T}
 */
export function $(id, kind) {
  const element = document.getElementById(id);
  if (!(element instanceof (kind ?? HTMLElement))) throw new Error(`the page has no ${id}`);
  return /** @type {T} */ (element);
}

/**
 * The first element inside another that fits; it is a fault of the page when there is none.
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
 * Change a text only when it is another one: a live region would read it out again.
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
 * A state as sign and word; which sign and colour, the style sheet knows.
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
 * Every state of a node, each with what it means; left alone while they are the same.
 *
 * @param {HTMLElement} list
 * @param {import("./api.js").NodeState[]} states
 * @param {import("./language.js").Locale} locale
 */
export function showNodeStates(list, states, { name, messages }) {
  const shown = `${name} ${states}`;
  if (list.dataset.shown === shown) return;
  list.dataset.shown = shown;
  list.replaceChildren(
    ...states.map((state) => {
      const element = make("span", { className: "state", title: messages.stateHelp[state] });
      showState(element, "state", state, messages.states);
      return element;
    }),
  );
}

/**
 * The rows of a table's body; the first cell heads its row.
 *
 * @param {Element} body
 * @param {(Node | string)[][]} rows
 */
export function fillRows(body, rows) {
  body.replaceChildren(
    ...rows.map((cells) =>
      make(
        "tr",
        {},
        ...cells.map((cell, place) => (place ? make("td", {}, cell) : make("th", { scope: "row" }, cell))),
      ),
    ),
  );
}
