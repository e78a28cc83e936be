// @ts-check
// The API key: asked once, kept in this tab for all pages of this server.

import { ApiError } from "./api.js";

const KEPT = "framepack.key";
const PRINTABLE = /^[\x21-\x7e]+$/;
const NOT_VALID = "This API key is not valid.";

/** The key after `#key=` in the address, which is removed from there; empty without one. */
function keyInAddress() {
  const rest = new URLSearchParams(location.hash.slice(1));
  const given = rest.get("key");
  if (given !== null) {
    rest.delete("key");
    history.replaceState(null, "", location.pathname + location.search + (rest.size ? `#${rest}` : ""));
  }
  return given?.trim() ?? "";
}

/**
 * Take keys that are entered in the address of the page while it is open. What it showed stays, unless the address names
 * something else beside the key. Later listeners do not hear of an address with a key alone.
 *
 * @param {HTMLFormElement} form which takes the key itself while it asks
 * @param {(key: string) => void} take
 */
export function followAddress(form, take) {
  window.addEventListener("hashchange", (event) => {
    const key = form.hidden && keyInAddress();
    if (!key) {
      return;
    }
    if (location.hash === "") {
      history.replaceState(null, "", event.oldURL);
      event.stopImmediatePropagation();
    }
    sessionStorage.setItem(KEPT, key);
    take(key);
  });
}

/** Forget the key in this tab. */
export function forgetKey() {
  sessionStorage.removeItem(KEPT);
}

/**
 * The answer of the server to a key that it accepts. The form asks for one unless the address or this tab has it, and
 * again while it is refused. It has a field named `key` and an element with the role `alert`.
 *
 * @template Answer
 * @param {HTMLFormElement} form hidden unless it asks
 * @param {(key: string) => Promise<Answer>} open asks the server for something that needs the key
 * @param {string} [reason] why a key that was accepted before is asked for
 * @returns {Promise<{key: string, answer: Answer}>}
 */
export async function signIn(form, open, reason = "") {
  let key = keyInAddress() || sessionStorage.getItem(KEPT);
  let message = reason;
  for (;;) {
    if (!key) {
      key = await ask(form, message);
    }
    try {
      const answer = await accepted(key, open);
      sessionStorage.setItem(KEPT, key);
      form.hidden = true;
      return { key, answer };
    } catch (error) {
      message = error instanceof Error ? error.message : String(error);
      if (message === NOT_VALID) {
        forgetKey();
      } else {
        fieldOf(form).value = key; // so that trying again is one click
      }
      key = null;
    }
  }
}

/**
 * @template Answer
 * @param {string} key
 * @param {(key: string) => Promise<Answer>} open
 */
async function accepted(key, open) {
  if (!PRINTABLE.test(key)) {
    throw new Error(NOT_VALID);
  }
  try {
    return await open(key);
  } catch (error) {
    throw error instanceof ApiError && error.status === 401 ? new Error(NOT_VALID) : error;
  }
}

/**
 * @param {HTMLFormElement} form
 * @param {string} message
 * @returns {Promise<string>}
 */
function ask(form, message) {
  const field = fieldOf(form);
  const alert = form.querySelector("[role=alert]");
  form.hidden = false;
  if (alert) {
    alert.textContent = message;
  }
  field.setAttribute("aria-invalid", String(message === NOT_VALID));
  field.focus();
  return new Promise((resolve) => {
    /** @param {string} key */
    const take = (key) => {
      window.removeEventListener("hashchange", takeFromAddress);
      if (alert) {
        alert.textContent = "";
      }
      resolve(key);
    };
    const takeFromAddress = () => {
      const key = keyInAddress();
      if (key) {
        take(key);
      }
    };
    window.addEventListener("hashchange", takeFromAddress);
    form.onsubmit = (event) => {
      event.preventDefault();
      take(field.value.trim());
    };
  });
}

/** @param {HTMLFormElement} form */
function fieldOf(form) {
  return /** @type {HTMLInputElement} */ (form.elements.namedItem("key"));
}
