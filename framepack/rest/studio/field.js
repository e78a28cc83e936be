// @ts-check
// One field of a form: what a person sets it with, its help, its default and its error.

import { h, prose, shown } from "./dom.js";

/** @typedef {import("./schema.js").Field} Field */
/**
 * @typedef {object} Control
 * @property {HTMLElement} element
 * @property {() => unknown} value what is set; undefined if it is as it was
 * @property {(value: unknown) => void} set undefined sets it to its default
 * @property {(base: unknown) => void} setBase the value that it has when nothing is sent; undefined is the default
 * @property {(message: string | null) => void} setError
 * @property {(notices: string[]) => void} setNotices what the server lacks for it
 */
/**
 * @typedef {object} Part an input, whatever it is made of
 * @property {(Node | string)[]} nodes
 * @property {HTMLElement[]} inputs
 * @property {() => unknown} read
 * @property {(value: any) => void} write
 * @property {boolean} [isGroup] whether its inputs have labels of their own
 */

const NONE = "none";
let count = 0;

/**
 * A field, ready to be put into a form.
 *
 * @param {Field} field
 * @param {() => void} onChange
 * @param {Record<string, unknown> | null} listed the values that the server lists, by name
 * @returns {Control}
 */
export function control(field, onChange, listed) {
  const id = `field${++count}`;
  const part = partOf(field, id, changed, listed);
  let base = field.initial;
  let isSet = false;
  const reset = h("button", { type: "button", class: "reset", hidden: true, "aria-label": `Reset ${field.title}`, onclick: clear }, "Reset");
  const help = h("p", { class: "help", id: `${id}-help` }, ...prose(field.help));
  const error = h("p", { class: "error", id: `${id}-error`, hidden: true });
  const label = part.isGroup ? h("legend", {}, field.title) : h("label", { for: id }, field.title);
  const notices = noticesOf();
  const parts = [h("span", { class: "row" }, label, reset), ...part.nodes, notices.element, error, help];
  const element = h(part.isGroup ? "fieldset" : "div", { class: `field ${field.kind}`, "data-field": field.name }, ...parts);
  for (const input of part.inputs) {
    input.setAttribute("aria-describedby", `${id}-help ${id}-error`);
  }
  part.write(base);

  function changed() {
    isSet = true;
    show();
    onChange();
  }
  function clear() {
    set(undefined);
    part.inputs.find((each) => each.tabIndex >= 0)?.focus();
    onChange();
  }
  /** @param {unknown} value */
  function set(value) {
    isSet = value !== undefined;
    part.write(isSet ? value : base);
    show();
  }
  function show() {
    reset.hidden = !isSet || part.read() === base;
    setError(null);
  }
  /** @param {string | null} message */
  function setError(message) {
    error.hidden = message === null;
    error.textContent = (message ?? "").replace(new RegExp(`^\\S*\\b${field.name}\\b`), field.title);
    element.classList.toggle("invalid", message !== null);
    part.inputs.forEach((each) => each.setAttribute("aria-invalid", String(message !== null)));
  }
  return {
    element,
    value: () => {
      const value = part.read();
      return !isSet || value === base || value === "" ? undefined : value;
    },
    set,
    setBase(value) {
      base = value ?? field.initial;
      if (!isSet) {
        part.write(base);
      }
      show();
    },
    setError,
    setNotices: notices.set,
  };
}

/** What the server lacks, as a list that may be empty. */
export function noticesOf() {
  const element = h("ul", { class: "warnings notices" });
  /** @param {string[]} texts */
  const set = (texts) => element.replaceChildren(...texts.map((each) => h("li", {}, ...prose(each))));
  return { element, set };
}

/**
 * @param {Field} field
 * @param {string} id
 * @param {() => void} changed
 * @param {Record<string, unknown> | null} listed
 * @returns {Part}
 */
function partOf(field, id, changed, listed) {
  if (field.kind === "number") {
    return field.min === undefined || field.max === undefined ? number(field, id, changed) : slider(field, id, changed);
  }
  if (field.kind === "boolean") {
    return checkbox(id, changed);
  }
  if (field.kind === "choice" && field.choices.length <= 4) {
    return radios(field, id, changed);
  }
  return field.kind === "choice" || listed ? select(field, id, changed, listed) : text(field, id, changed);
}

/** @param {Field} field @param {string} id @param {() => void} changed @returns {Part} */
function number(field, id, changed) {
  const { min, max } = field;
  const input = h("input", { id, type: "number", min, max, step: field.isWhole ? 1 : "any", oninput: changed });
  const read = () => (input.value === "" ? undefined : Number(input.value));
  return { nodes: [input], inputs: [input], read, write: (value) => (input.value = value === undefined ? "" : shown(value, 4)) };
}

/** @param {Field} field @param {string} id @param {() => void} changed @returns {Part} */
function slider(field, id, changed) {
  const min = Number(field.min);
  const max = Number(field.max);
  const step = field.isWhole ? 1 : 10 ** Math.floor(Math.log10((max - min) / 100));
  const exact = number(field, id, () => {
    range.value = exact.read() === undefined ? range.value : String(exact.read());
    fill();
    changed();
  });
  const range = h("input", { type: "range", min, max, step, "aria-label": field.title, oninput: moved });
  const end = (/** @type {number} */ value) => h("span", { "aria-hidden": "true" }, shown(value));
  const origin = typeof field.initial === "number" ? field.initial : min;
  function moved() {
    exact.write(Number(range.value));
    fill();
    changed();
  }
  /** Color the track from the default to the value. */
  function fill() {
    const [low, high] = [origin, Number(range.value)].sort((a, b) => a - b).map((value) => `${(100 * (value - min)) / (max - min)}%`);
    range.style.setProperty("--low", low);
    range.style.setProperty("--high", high);
  }
  return {
    nodes: [...exact.nodes, h("div", { class: "slider" }, end(min), range, end(max))],
    inputs: [range, ...exact.inputs],
    read: exact.read,
    write(value) {
      exact.write(value);
      range.value = String(value ?? min);
      fill();
    },
  };
}

/** @param {string} id @param {() => void} changed @returns {Part} */
function checkbox(id, changed) {
  const input = h("input", { id, type: "checkbox", class: "switch", onchange: changed });
  return { nodes: [input], inputs: [input], read: () => input.checked, write: (value) => (input.checked = Boolean(value)) };
}

/** @param {Field} field @param {string} id @param {() => void} changed @returns {Part} */
function radios(field, id, changed) {
  const inputs = field.choices.map((_, index) => h("input", { id: `${id}-${index}`, type: "radio", name: id, onchange: changed }));
  const labels = field.choices.map((choice, index) => h("label", { for: `${id}-${index}` }, inputs[index], h("span", {}, choice)));
  return {
    nodes: [h("div", { class: "segments" }, ...labels)],
    inputs,
    read: () => field.choices[inputs.findIndex((each) => each.checked)],
    write: (value) => inputs.forEach((each, index) => (each.checked = field.choices[index] === value)),
    isGroup: true,
  };
}

/**
 * @param {Field} field
 * @param {string} id
 * @param {() => void} changed
 * @param {Record<string, unknown> | null} listed
 * @returns {Part}
 */
function select(field, id, changed, listed) {
  // A value called "none" beside no value at all would be the same twice.
  const choices = (listed ? Object.keys(listed) : field.choices).filter((each) => field.initial !== undefined || each !== NONE);
  const none = field.initial === undefined ? [undefined] : [];
  const values = [...none, ...choices];
  const describe = () => {
    const chosen = listed?.[String(values[input.selectedIndex])];
    note.textContent = textOf(chosen, "description");
    notices.set([textOf(chosen, "notice")].filter(Boolean));
  };
  const options = values.map((each) => h("option", {}, each === undefined ? (field.isRequired ? "Choose" : "None") : each));
  const note = h("p", { class: "note" });
  const notices = noticesOf();
  const input = h("select", { id, required: field.isRequired, onchange: () => (describe(), changed()) }, ...options);
  return {
    nodes: [input, note, notices.element],
    inputs: [input],
    read: () => values[input.selectedIndex],
    write(value) {
      input.selectedIndex = values.indexOf(field.initial === undefined && value === NONE ? undefined : value);
      describe();
    },
  };
}

/** What the server says of a listed value. @param {unknown} listed @param {"description" | "notice"} member */
function textOf(listed, member) {
  const text = listed && typeof listed === "object" ? /** @type {Record<string, unknown>} */ (listed)[member] : "";
  return typeof text === "string" ? text : "";
}

/** @param {Field} field @param {string} id @param {() => void} changed @returns {Part} */
function text(field, id, changed) {
  const { isRequired } = field;
  const input = isRequired
    ? h("textarea", { id, rows: 4, required: true, oninput: changed })
    : h("input", { id, type: "text", spellcheck: "false", autocomplete: "off", oninput: changed });
  return { nodes: [input], inputs: [input], read: () => input.value, write: (value) => (input.value = value ?? "") };
}
