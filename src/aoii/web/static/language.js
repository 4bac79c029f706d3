/* The languages of the page: which one is chosen, its messages (messages/), and how it writes numbers and times. */

import { formatOf } from "./format.js";
import { en } from "./messages/en.js";
import { ko } from "./messages/ko.js";

/**
 * @typedef {"en" | "ko"} Language
 * @typedef {typeof en} Messages
 * @typedef {{ name: Language, messages: Messages } & import("./format.js").Format} Locale
 */

/** @type {Record<Language, Messages>} */
const MESSAGES = { en, ko };
export const LANGUAGES = /** @type {Language[]} */ (Object.keys(MESSAGES));
const STORAGE_KEY = "aoii-language";

/** The language that the user chose before; else the first of the browser's that the page has; else English. */
export function initialLanguage() {
  return pick([savedLanguage() ?? "", ...navigator.languages]);
}

/**
 * The first of these languages that the page has, else English.
 *
 * @param {string[]} wanted such as `ko-KR`
 */
export function pick(wanted) {
  const known = wanted.map((tag) => LANGUAGES.find((language) => tag.split("-")[0] === language));
  return known.find((language) => language !== undefined) ?? "en";
}

/**
 * Remember the choice, if the browser allows it.
 *
 * @param {Language} language
 */
export function saveLanguage(language) {
  try {
    localStorage.setItem(STORAGE_KEY, language);
  } catch {
    /* some browsers allow no storage in private mode */
  }
}

/**
 * The messages and the format of a language.
 *
 * @param {Language} name
 * @returns {Locale}
 */
export function localeOf(name) {
  return { name, messages: MESSAGES[name], ...formatOf(name) };
}

function savedLanguage() {
  try {
    return localStorage.getItem(STORAGE_KEY);
  } catch {
    return null;
  }
}
