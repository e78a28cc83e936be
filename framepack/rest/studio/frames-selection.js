// @ts-check
// Which items of a list are selected, as in the file managers of systems.

/** @typedef {ReturnType<typeof selectionOf>} Selection */

/**
 * The selection in a list of `count` items, and the active one, which has the keyboard's focus.
 *
 * @param {number} count
 */
export function selectionOf(count) {
  /** @type {Set<number>} */
  let chosen = new Set();
  let active = 0;
  let anchor = 0;

  /** @param {number} index */
  const inList = (index) => Math.max(0, Math.min(count - 1, index));

  return {
    get count() {
      return count;
    },
    get active() {
      return active;
    },
    /** The indexes in ascending order. */
    get indexes() {
      return [...chosen].sort((a, b) => a - b);
    },
    get size() {
      return chosen.size;
    },
    /** @param {number} index */
    has: (index) => chosen.has(index),
    /** @param {number} index */
    moveTo(index) {
      active = inList(index);
    },
    /** Select one item only. @param {number} index */
    only(index) {
      active = anchor = inList(index);
      chosen = new Set(count > 0 ? [active] : []);
    },
    /** @param {number} index */
    toggle(index) {
      active = anchor = inList(index);
      if (!chosen.delete(active)) {
        chosen.add(active);
      }
    },
    /** Select from the item that was selected before to this one. @param {number} index */
    extendTo(index) {
      active = inList(index);
      this.range(Math.min(anchor, active), Math.max(anchor, active));
    },
    /** @param {number} first @param {number} last */
    range(first, last) {
      chosen = new Set(Array.from({ length: Math.max(0, inList(last) - inList(first) + 1) }, (_, index) => inList(first) + index));
    },
    all() {
      this.range(0, count - 1);
    },
    /** Select these, and leave the active item as it is. @param {number[]} indexes */
    choose(indexes) {
      chosen = new Set(indexes);
    },
    clear() {
      chosen = new Set();
    },
  };
}
