// @ts-check
// Makes elements, the only way this page does: text is always text, never HTML.

/** @typedef {string | number | Node | null | undefined | false} Child */

/**
 * An element. Functions among the attributes become listeners (`onclick`); what is false, null or undefined is left out.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, unknown>} [attributes]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") {
      element.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    } else if (value === true) {
      element.setAttribute(name, "");
    } else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, String(value));
    }
  }
  element.append(...children.filter(isShown).map((child) => (typeof child === "number" ? String(child) : child)));
  return element;
}

/** @param {Child} child @returns {child is string | number | Node} */
function isShown(child) {
  return child !== null && child !== undefined && child !== false;
}

/**
 * A text of the API as nodes: parts between backticks are code.
 *
 * @param {string} text
 */
export function prose(text) {
  return text.split("`").map((part, index) => (index % 2 ? h("code", {}, part) : part));
}

/**
 * An error of the API for people: steps are counted from 1, and a single one is not named.
 *
 * @param {string} message
 * @param {boolean} [isOnly] whether there is one step
 */
export function errorProse(message, isOnly = false) {
  return prose(message.replace(/^operations\[(\d+)] \(([^)]*)\): /, (_, index, type) => (isOnly ? "" : `Step ${Number(index) + 1} (${type}): `)));
}

/**
 * The element of the page with this id.
 *
 * @param {string} id
 */
export function byId(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id));
}

/**
 * A number as text, with the decimals that it needs.
 *
 * @param {number} value
 * @param {number} [decimals] at most
 */
export function shown(value, decimals = 2) {
  return String(Number(value.toFixed(decimals)));
}

/** Whether this element, or one in it, has the focus. @param {Element} element */
export function hasFocus(element) {
  return element.contains(document.activeElement);
}

/**
 * Keep the focus in a part of the page: if what had it was removed, hidden or disabled just now, something else of the
 * part gets it, and keyboards do not begin at the top of the page again.
 *
 * @param {boolean} hadFocus whether the part had it before
 * @param {HTMLElement} next
 */
export function keepFocus(hadFocus, next) {
  const present = document.activeElement;
  const isLost = !present || present === document.body || present.matches(":disabled") || present.getClientRects().length === 0;
  if (hadFocus && isLost) {
    next.focus();
  }
}
