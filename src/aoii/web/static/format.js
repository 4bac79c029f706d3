/* How a language writes numbers and times, pure. */

/**
 * @typedef {object} Format
 * @property {(digits: number) => (value: number) => string} number with so many decimals
 * @property {(value: number) => string} whole
 * @property {(value: number) => string} tenth
 * @property {(value: number) => string} hundredth
 * @property {(ms: number) => string} clock hours and minutes of Unix ms
 * @property {(ms: number) => string} day day and month of Unix ms
 * @property {(ms: number) => string} full date and time of Unix ms
 * @property {(seconds: number) => string} duration in short, such as "5 min"
 * @property {(seconds: number) => string} span in words, such as "5 minutes"
 * @property {(seconds: number) => string} ago how long ago, such as "5 min. ago"
 *
 * @typedef {"second" | "minute" | "hour" | "day"} Unit
 */

/**
 * The format of a language, in the time zone of the browser.
 *
 * @param {string} language
 * @returns {Format}
 */
export function formatOf(language) {
  /** @param {number} digits */
  const number = (digits) => {
    const format = new Intl.NumberFormat(language, { minimumFractionDigits: digits, maximumFractionDigits: digits });
    return (/** @type {number} */ value) => format.format(value).replace("-", "−");
  };
  /** @type {(seconds: number, unitDisplay: "short" | "long") => string} */
  const measure = (seconds, unitDisplay) => {
    const [unit, size] = unitOf(seconds);
    const style = /** @type {const} */ ({ style: "unit", unit, unitDisplay, maximumFractionDigits: 1 });
    return new Intl.NumberFormat(language, style).format(seconds / size);
  };
  const relative = new Intl.RelativeTimeFormat(language, { numeric: "always", style: "short" });
  /** @param {Intl.DateTimeFormatOptions} options */
  const time = (options) => new Intl.DateTimeFormat(language, { hourCycle: "h23", ...options }).format;
  return {
    number,
    whole: number(0),
    tenth: number(1),
    hundredth: number(2),
    clock: time({ hour: "2-digit", minute: "2-digit" }),
    day: time({ day: "numeric", month: "short" }),
    full: time({ dateStyle: "medium", timeStyle: "medium" }),
    duration: (seconds) => measure(seconds, "short"),
    span: (seconds) => measure(seconds, "long"),
    ago: (seconds) => {
      const [unit, size] = unitOf(seconds);
      return relative.format(-Math.round(seconds / size), unit);
    },
  };
}

/**
 * The natural unit of a duration, and the length of that unit in seconds: 60 seconds, 90 minutes, 24 hours.
 *
 * @param {number} seconds
 * @returns {[unit: Unit, size: number]}
 */
function unitOf(seconds) {
  if (seconds < 120) return ["second", 1];
  if (seconds < 7200 && seconds % 3600) return ["minute", 60];
  if (seconds < 172800) return ["hour", 3600];
  return ["day", 86400];
}
