// @ts-check
// The operations as cards, of which one is chosen.

import { h } from "./dom.js";
import { icon } from "./icons.js";

/** @typedef {import("./schema.js").Operation} Operation */

/**
 * The cards.
 *
 * @param {Operation[]} operations
 * @param {(operation: Operation) => void} onSelect
 */
export function operationCards(operations, onSelect) {
  const inputs = operations.map((each) => h("input", { type: "radio", name: "operation", value: each.name, onchange: () => onSelect(each) }));
  const cards = operations.map((each, index) =>
    h("label", { class: "card", title: each.summary }, inputs[index], icon(each.name), h("span", { class: "title" }, each.title)),
  );
  const element = h("fieldset", { class: "cards" }, h("legend", { class: "visually-hidden" }, "Operation"), ...cards);
  return {
    element,
    /** Mark a card as the chosen one. @param {Operation} operation */
    mark(operation) {
      inputs[operations.indexOf(operation)].checked = true;
    },
  };
}
