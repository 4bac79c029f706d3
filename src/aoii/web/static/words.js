/* The page's languages: which one, its words (words/), and its way of writing numbers and times. */

import { en } from "./words/en.js";
import { ko } from "./words/ko.js";

const LANGUAGES = { en, ko };
const KEPT = "aoii-language";

/** The language that was chosen before, else the browser's if we speak it, else English. */
export function firstLanguage() {
  const wanted = [kept(), ...navigator.languages].filter(Boolean).map((name) => name.slice(0, 2));
  return wanted.find((name) => name in LANGUAGES) || "en";
}

/** Remember the choice; a browser that forbids it forgets it. */
export function keepLanguage(name) {
  try {
    localStorage.setItem(KEPT, name);
  } catch {
    /* private mode */
  }
}

function kept() {
  try {
    return localStorage.getItem(KEPT);
  } catch {
    return null;
  }
}

/** The words of a language, and its way of writing numbers and times. */
export function speak(name) {
  const number = (digits) => {
    const format = new Intl.NumberFormat(name, { minimumFractionDigits: digits, maximumFractionDigits: digits });
    return (value) => format.format(value).replace("-", "−");
  };
  const measure = (seconds, unitDisplay) => {
    const [unit, size] = sizeOf(seconds);
    return new Intl.NumberFormat(name, { style: "unit", unit, unitDisplay, maximumFractionDigits: 1 }).format(seconds / size);
  };
  const relative = new Intl.RelativeTimeFormat(name, { numeric: "always", style: "short" });
  const clock = new Intl.DateTimeFormat(name, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  const day = new Intl.DateTimeFormat(name, { day: "numeric", month: "short" });
  const full = new Intl.DateTimeFormat(name, { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" });
  return {
    name,
    words: LANGUAGES[name],
    whole: number(0),
    tenth: number(1),
    hundredth: number(2),
    clock: (ms) => clock.format(ms),
    day: (ms) => day.format(ms),
    full: (ms) => full.format(ms),
    duration: (seconds) => measure(seconds, "short"),
    span: (seconds) => measure(seconds, "long"),
    ago: (seconds) => {
      const [unit, size] = sizeOf(seconds);
      return relative.format(-Math.round(seconds / size), unit);
    },
  };
}

/* The unit in which a person would say it: 60 seconds, 90 minutes, 24 hours. */
function sizeOf(seconds) {
  if (seconds < 120) return ["second", 1];
  if (seconds < 7200 && seconds % 3600) return ["minute", 60];
  if (seconds < 172800) return ["hour", 3600];
  return ["day", 86400];
}
