/* The page's languages: which one, its messages (messages/) and its format of numbers and times. */

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
const KEPT = "aoii-language";

/** The language that was chosen before, else the browser's if we speak it, else English. */
export function firstLanguage() {
  return pick([kept() ?? "", ...navigator.languages]);
}

/**
 * The first of these languages that we speak, else English.
 *
 * @param {string[]} wanted such as `ko-KR`
 */
export function pick(wanted) {
  const known = wanted.map((tag) => LANGUAGES.find((language) => tag.split("-")[0] === language));
  return known.find((language) => language !== undefined) ?? "en";
}

/**
 * Remember the choice; a browser that forbids it forgets it.
 *
 * @param {Language} language
 */
export function keepLanguage(language) {
  try {
    localStorage.setItem(KEPT, language);
  } catch {
    /* private mode */
  }
}

/**
 * All that a language says and how it says it.
 *
 * @param {Language} name
 * @returns {Locale}
 */
export function localeOf(name) {
  return { name, messages: MESSAGES[name], ...formatOf(name) };
}

function kept() {
  try {
    return localStorage.getItem(KEPT);
  } catch {
    return null;
  }
}
