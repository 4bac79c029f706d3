/* A few words for the document. */

export const $ = (id) => document.getElementById(id);

/** Change a text only when it is another one: a live region would read it out again. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A new element with properties and children. */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** A state as sign and word; which sign and colour, the style sheet knows. */
export function showState(element, kind, name, words) {
  element.dataset[kind] = name;
  setText(element, words[name]);
}

/** The rows of a table's body, each a list of texts; the first cell heads its row. */
export function fillRows(body, rows) {
  body.replaceChildren(
    ...rows.map((cells) =>
      make("tr", {}, ...cells.map((cell, place) => {
        const element = place ? make("td") : make("th", { scope: "row" });
        element.append(cell);
        return element;
      })),
    ),
  );
}
