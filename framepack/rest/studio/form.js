// @ts-check
// The form of an operation or step, made from its fields.

import { control, noticesOf } from "./field.js";
import { h } from "./dom.js";

/** @typedef {import("./schema.js").Field} Field */
/** @typedef {import("./field.js").Control} Control */
/** @typedef {{element: HTMLElement, refresh: () => Promise<void>, values: () => Record<string, unknown>, set: (values: Record<string, unknown>) => void, setError: (name: string, message: string) => boolean, clearErrors: () => void}} Form */
/** @typedef {(listing: import("./schema.js").Listing) => Promise<Record<string, unknown>>} Listings */

const RETRY_MS = 5000;
/** Where the server lists the models that operations and their fields need. */
const NEEDED = { path: "/postprocess/models", member: "others" };

/**
 * A form. Only what was changed is sent.
 *
 * @param {string} operation whose fields they are
 * @param {Field[]} fields
 * @param {Listings} listings asks the server for the values of fields
 * @param {() => void} onChange
 * @returns {Promise<Form>}
 */
export async function form(operation, fields, listings, onChange) {
  const list = () => Promise.all(fields.map((each) => (each.listing ? listings(each.listing).catch(() => null) : null)));
  const listed = await list();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let retry;
  /** @type {Map<string, Control>} */
  const controls = new Map();
  const notices = noticesOf();
  let isMissingKnown = true;
  fields.forEach((field, index) => controls.set(field.name, controlOf(field, listed[index])));
  tellWhatIsMissing();

  /** Show what the server lacks for the operation, or for one of its fields. */
  async function tellWhatIsMissing() {
    const models = await listings(NEEDED).catch(() => null);
    isMissingKnown = models !== null;
    const needed = /** @type {{needed_for: string, notice: string | null}[]} */ (Object.values(models ?? {}));
    const of = (/** @type {string} */ what) => needed.filter((each) => each.needed_for === what).flatMap(({ notice }) => notice ?? []);
    notices.set(of(operation));
    controls.forEach((each, name) => each.setNotices(of(`${operation}.${name}`)));
    listAgainLater();
  }

  /** @param {Field} field @param {Record<string, unknown> | null} values that the server lists */
  function controlOf(field, values) {
    const change = () => {
      if (values) {
        follow(values[String(controls.get(field.name)?.value())]);
      }
      onChange();
    };
    return control(field, change, values);
  }

  /** Ask the server again for what it did not list. */
  function listAgainLater() {
    clearTimeout(retry);
    if (!isMissingKnown || fields.some((each, index) => each.listing && listed[index] === null)) {
      retry = setTimeout(refresh, RETRY_MS);
    }
  }

  /** List the values of fields anew, such as after a preset was saved. What is chosen stays. */
  async function refresh() {
    const newest = await list();
    fields.forEach((field, index) => {
      const [old, values] = [controls.get(field.name), newest[index]];
      if (old && values && JSON.stringify(values) !== JSON.stringify(listed[index])) {
        const own = controlOf(field, values);
        listed[index] = values;
        own.set(old.value());
        old.element.replaceWith(own.element);
        controls.set(field.name, own);
      }
    });
    tellWhatIsMissing();
  }

  /**
   * Show what a preset sets in the fields that it sets.
   *
   * @param {unknown} preset
   */
  function follow(preset) {
    const settings = new Map(Object.entries(preset && typeof preset === "object" ? preset : {}));
    for (const { name, presetName } of fields) {
      if (settings.has(presetName)) {
        controls.get(name)?.set(undefined);
      }
      controls.get(name)?.setBase(settings.get(presetName));
    }
  }

  const resetAll = h("button", { type: "button", class: "quiet", onclick: () => (set({}), onChange()) }, "Reset all");
  const listedFirst = [...fields].sort((a, b) => Number(Boolean(b.listing)) - Number(Boolean(a.listing)));
  const rows = listedFirst.map((each) => /** @type {Control} */ (controls.get(each.name)).element);
  const none = fields.length === 0 && h("p", { class: "help" }, "Nothing to set.");
  const element = h("div", { class: "form" }, notices.element, none, ...rows, fields.length > 2 && resetAll);

  /** @param {Record<string, unknown>} values */
  function set(values) {
    fields.forEach((field, index) => listed[index] && follow(listed[index][String(values[field.name])]));
    for (const [name, each] of controls) {
      each.set(values[name]);
    }
  }

  return {
    element,
    refresh,
    values: () => Object.fromEntries([...controls].map(([name, each]) => [name, each.value()]).filter(([, value]) => value !== undefined)),
    set,
    setError(name, message) {
      const found = controls.get(name);
      found?.setError(message);
      found?.element.scrollIntoView({ block: "nearest" });
      return found !== undefined;
    },
    clearErrors: () => controls.forEach((each) => each.setError(null)),
  };
}
