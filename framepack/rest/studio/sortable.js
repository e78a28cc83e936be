// @ts-check
// A list whose items a person puts in order: by dragging, or with buttons.

import { h, hasFocus, keepFocus } from "./dom.js";
import { icon } from "./icons.js";

/** @typedef {{element: HTMLLIElement, title: string}} Item */

/**
 * The row of buttons of an item.
 *
 * @param {string} title of the item
 * @param {{move: (by: number) => void, remove: () => void}} actions
 */
function buttons(title, { move, remove }) {
  const button = (/** @type {string} */ what, /** @type {string} */ name, /** @type {() => void} */ act) =>
    h("button", { type: "button", class: `icon ${name}`, "aria-label": `${what} ${title}`, title: what, onclick: act }, icon(name));
  return h("span", { class: "actions" }, button("Move up", "up", () => move(-1)), button("Move down", "down", () => move(1)), button("Remove", "remove", remove));
}

/**
 * A list in an order that can be changed.
 *
 * @template {{title: string, body?: Node}} Entry
 * @param {string} label
 * @param {(entries: Entry[]) => void} onChange
 */
export function sortable(label, onChange) {
  const list = h("ol", { class: "sortable", "aria-label": label });
  const status = h("p", { class: "visually-hidden", role: "status" });
  const whole = h("div", { tabindex: -1 }, list, status);
  /** @type {{entry: Entry, element: HTMLLIElement}[]} */
  let items = [];
  /** @type {HTMLLIElement | null} */
  let dragged = null;

  const changed = () => {
    items.forEach(({ element }, index) => {
      const [up, down] = element.querySelectorAll("button");
      up.disabled = index === 0;
      down.disabled = index === items.length - 1;
    });
    onChange(items.map(({ entry }) => entry));
  };

  /** @param {HTMLLIElement} element @param {number} to */
  function place(element, to) {
    const from = items.findIndex((each) => each.element === element);
    if (to < 0 || to >= items.length || to === from) {
      return;
    }
    const [item] = items.splice(from, 1);
    items.splice(to, 0, item);
    list.insertBefore(element, list.children[to > from ? to + 1 : to] ?? null);
    status.textContent = `${item.entry.title} is number ${to + 1} of ${items.length}.`;
    changed();
  }

  /** @param {Entry} entry @param {number} [at] its place, by default the last one */
  function add(entry, at = items.length) {
    const position = () => items.findIndex((each) => each.element === element);
    const move = (/** @type {number} */ by) => {
      const focused = document.activeElement;
      place(element, position() + by);
      if (focused instanceof HTMLElement && element.contains(focused)) {
        const other = element.querySelector("button:enabled");
        focused.focus();
        keepFocus(true, other instanceof HTMLElement ? other : whole);
      }
    };
    const remove = () => {
      const [hadFocus, at] = [hasFocus(element), position()];
      items = items.filter((each) => each.element !== element);
      element.remove();
      status.textContent = `${entry.title} was removed.`;
      changed();
      const neighbor = items[Math.min(at, items.length - 1)]?.element.querySelector("button.remove");
      keepFocus(hadFocus, neighbor instanceof HTMLElement ? neighbor : whole);
    };
    const handle = h("span", { class: "handle", draggable: "true", "aria-hidden": "true", title: "Drag to reorder" }, icon("handle"));
    const head = h("span", { class: "head" }, handle, h("strong", {}, entry.title), buttons(entry.title, { move, remove }));
    const element = h("li", {}, head, entry.body);
    handle.addEventListener("dragstart", (event) => {
      dragged = element;
      event.dataTransfer?.setDragImage(element, 20, 20);
      event.dataTransfer?.setData("text/plain", entry.title); // without data, Firefox does not drag
      element.classList.add("dragged");
      setTimeout(() => list.classList.add("sorting")); // a change at this moment would end the drag
    });
    handle.addEventListener("dragend", () => {
      element.classList.remove("dragged");
      list.classList.remove("sorting");
      dragged = null;
    });
    element.addEventListener("dragover", (event) => {
      if (dragged && dragged !== element) {
        event.preventDefault();
        place(dragged, position());
      }
    });
    element.addEventListener("drop", (event) => event.preventDefault());
    list.insertBefore(element, list.children[at] ?? null);
    items.splice(at, 0, { entry, element });
    changed();
  }

  return {
    element: whole,
    add,
    entries: () => items.map(({ entry }) => entry),
    clear() {
      items = [];
      list.replaceChildren();
      changed();
    },
  };
}
