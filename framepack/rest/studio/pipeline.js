// @ts-check
// A pipeline: steps that are added, set and put in order.

import { h } from "./dom.js";
import { form } from "./form.js";
import { icon } from "./icons.js";
import { latestOnly } from "./latest.js";
import { sortable } from "./sortable.js";

/** @typedef {import("./schema.js").StepType} StepType */
/** @typedef {{type: string, params: Record<string, unknown>}} Step */
/** @typedef {{title: string, body: Node, type: string, form: import("./form.js").Form}} Entry */

/**
 * The steps of a pipeline.
 *
 * @param {StepType[]} types
 * @param {import("./form.js").Listings} listings
 * @param {() => void} onChange
 */
export function pipeline(types, listings, onChange) {
  const lists = latestOnly();
  let appended = Promise.resolve();
  const list = /** @type {ReturnType<typeof sortable<Entry>>} */ (sortable("Steps, in order", onChange));
  const chips = types.map((each) => h("button", { type: "button", class: "chip", onclick: () => append(each, {}) }, icon("plus"), each.title));
  const error = h("p", { class: "error", hidden: true });
  const element = h(
    "div",
    { class: "pipeline" },
    list.element,
    error,
    h("div", { class: "chips", role: "group", "aria-label": "Add a step" }, h("span", { class: "muted" }, "Add"), ...chips),
  );

  /**
   * Add a step after all others, also after those whose forms take longer.
   *
   * @param {StepType} type
   * @param {Record<string, unknown>} params
   */
  function append(type, params) {
    const signal = lists.present();
    const before = appended;
    appended = form(type.name, type.fields, listings, onChange).then(async (own) => {
      await before;
      if (!signal.aborted) {
        add(type, own, params);
      }
    });
  }

  /** @param {StepType} type @param {import("./form.js").Form} own @param {Record<string, unknown>} params */
  function add(type, own, params) {
    own.set(params);
    error.hidden = true;
    list.add({ title: type.title, body: h("details", { open: true }, h("summary", {}, "Settings"), own.element), type: type.name, form: own });
  }

  return {
    element,
    /** @returns {Step[]} */
    steps: () => list.entries().map((each) => ({ type: each.type, params: each.form.values() })),
    /** @param {Step[]} steps */
    async set(steps) {
      lists.begin();
      list.clear();
      for (const step of steps) {
        const type = types.find((each) => each.name === step.type);
        if (type) {
          append(type, step.params ?? {});
        }
      }
      await appended;
    },
    /**
     * Show an error at the field of a step.
     *
     * @param {string} field such as `operations[0].params.brightness`, or `operations`
     * @param {string} message
     */
    setError(field, message) {
      const [, index, name] = /^operations\[(\d+)](?:\.params)?\.?(\w*)/.exec(field) ?? [];
      if (index !== undefined && list.entries()[Number(index)]?.form.setError(name, message)) {
        return true;
      }
      error.hidden = !field.startsWith("operations");
      error.textContent = message;
      return field.startsWith("operations");
    },
    refresh: () => list.entries().forEach((each) => each.form.refresh()),
    clearErrors() {
      error.hidden = true;
      list.entries().forEach((each) => each.form.clearErrors());
    },
  };
}
