// @ts-check
// Text that other programs read: arguments of a shell, and values in JSON and Python.

/**
 * How a language writes values.
 *
 * @typedef {object} Style
 * @property {string} null
 * @property {string} true
 * @property {string} false
 * @property {string} comma after the last of several lines
 * @property {string} step more indentation of each level
 */

/** @type {Style} */
export const JSON_STYLE = { null: "null", true: "true", false: "false", comma: "", step: "  " };

/** @type {Style} */
export const PYTHON_STYLE = { null: "None", true: "True", false: "False", comma: ",", step: "    " };

const WIDTH = 80;

/** An expression that stands in the place of a value. */
export class Expression {
  /** @param {string} text */
  constructor(text) {
    this.text = text;
  }
}

/**
 * An argument of a POSIX shell, in quotes if it needs them.
 *
 * @param {string} text
 */
export function quoted(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/**
 * A value in JSON or Python: in one line if it is short, else each element in a line of its own.
 *
 * @param {unknown} value of JSON, which may have expressions in it
 * @param {Style} style
 * @param {string} [indent] of the line that it begins in
 * @returns {string}
 */
export function literal(value, style, indent = "") {
  const line = inOneLine(value, style);
  const parts = line.length + indent.length > WIDTH ? partsOf(value) : null;
  if (parts === null || parts.elements.length === 0) {
    return line;
  }
  const inner = indent + style.step;
  const lines = parts.elements.map(([name, each]) => inner + name + literal(each, style, inner));
  return `${parts.open}\n${lines.join(",\n")}${style.comma}\n${indent}${parts.close}`;
}

/**
 * @param {unknown} value
 * @param {Style} style
 * @returns {string}
 */
function inOneLine(value, style) {
  if (value instanceof Expression) {
    return value.text;
  }
  if (value === null || typeof value === "boolean") {
    return style[/** @type {"null" | "true" | "false"} */ (String(value))];
  }
  const parts = partsOf(value);
  if (parts === null) {
    return JSON.stringify(value); // numbers and strings are the same in Python
  }
  return parts.open + parts.elements.map(([name, each]) => name + inOneLine(each, style)).join(", ") + parts.close;
}

/**
 * The elements of an array or object, each with the text before it; null for other values.
 *
 * @param {unknown} value
 * @returns {{open: string, close: string, elements: [string, unknown][]} | null}
 */
function partsOf(value) {
  if (Array.isArray(value)) {
    return { open: "[", close: "]", elements: value.map((each) => ["", each]) };
  }
  if (typeof value !== "object" || value === null || value instanceof Expression) {
    return null;
  }
  const given = Object.entries(value).filter(([, each]) => each !== undefined);
  return { open: "{", close: "}", elements: given.map(([name, each]) => [`${JSON.stringify(name)}: `, each]) };
}
