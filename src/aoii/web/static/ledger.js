/* The ledger, pure: which nodes need a look, and in how many numbers each part is. */

/**
 * @typedef {import("./api.js").Account} Account
 * @typedef {import("./api.js").LedgerPart} LedgerPart
 */

/** The parts that are not the end of the matter, or not a good one; the worst first. @type {LedgerPart[]} */
const UNSETTLED = ["lost", "open", "unknown", "waiting"];
/** The parts that account for a number. @type {LedgerPart[]} */
const ACCOUNTED = ["stored", "dead_letters", "void", "retired"];

/**
 * The parts of an account that are not empty, each with its numbers.
 *
 * @param {Account} account
 * @param {LedgerPart[]} parts
 * @returns {[part: LedgerPart, numbers: number][]}
 */
const present = (account, parts) =>
  parts.flatMap((part) => (account[part] ? [/** @type {[LedgerPart, number]} */ ([part, account[part]])] : []));

/**
 * What is not accounted for, and how the rest is.
 *
 * @param {Account} account
 */
export function partsOf(account) {
  return { unsettled: present(account, UNSETTLED), accounted: present(account, ACCOUNTED) };
}

/**
 * The accounts by what they need: first those that do not balance, then those with lost, open, unknown and waiting
 * numbers; accounts that need nothing keep their order.
 *
 * @param {Account[]} accounts
 */
export function byNeed(accounts) {
  const rank = (/** @type {Account} */ account) => {
    const worst = UNSETTLED.findIndex((part) => account[part]);
    return account.is_balanced ? (worst < 0 ? UNSETTLED.length : worst) : -1;
  };
  return [...accounts].sort((one, other) => rank(one) - rank(other));
}

/**
 * How many readings an account has: its numbers without those with which no reading was ever acknowledged.
 *
 * @param {Account} account
 */
export const readingsOf = (account) => account.last - account.first + 1 - account.void;

/**
 * How many readings there are, how many of them are unsettled, and how many accounts do not balance.
 *
 * @param {Account[]} accounts
 */
export function sumOf(accounts) {
  const sum = (/** @type {(account: Account) => number} */ of) =>
    accounts.reduce((total, account) => total + of(account), 0);
  return {
    readings: sum(readingsOf),
    unsettled: sum((account) => present(account, UNSETTLED).reduce((total, [, numbers]) => total + numbers, 0)),
    unbalanced: sum(({ is_balanced: isBalanced }) => (isBalanced ? 0 : 1)),
  };
}
