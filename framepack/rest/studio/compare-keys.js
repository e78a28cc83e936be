// @ts-check
// What keys do while the comparison has the focus.

import { h } from "./dom.js";

/** What they do, for the list on the page. */
const KEYS = [
  ["← →", "Move the divider; with Page Up, Page Down, Home and End in larger steps"],
  ["Space", "Hold: show the original (on a button: press the button)"],
  ["K", "Play or pause"],
  [", .", "Previous or next frame"],
  ["+ − 0", "Zoom in, zoom out, show the whole frame"],
  ["1", "One pixel of the result is one of the screen"],
  ["Shift + arrows", "Move the enlarged frame"],
  ["L", "Hold: loupe"],
  ["S", "Side by side, or back to the divider"],
  ["M", "Audio of the result on or off"],
  ["F", "Full screen"],
  ["?", "Show or hide this list"],
];

export function keyHelp() {
  const rows = KEYS.flatMap(([keys, text]) => [
    h("dt", {}, ...keys.split(" ").map((key) => (key === "+" && keys.startsWith("Shift") ? "+" : h("kbd", {}, key)))),
    h("dd", {}, text),
  ]);
  return h("dl", { class: "compare-keys", hidden: true }, ...rows);
}

/**
 * @typedef {object} KeyActions
 * @property {() => void} togglePlay
 * @property {(count: number) => void} move
 * @property {(steps: number) => void} zoom
 * @property {() => void} fit
 * @property {() => void} toPixels
 * @property {(x: number, y: number) => void} pan
 * @property {(isHeld: boolean) => void} hold
 * @property {(isHeld: boolean) => void} loupe
 * @property {() => void} toggleSide
 * @property {() => void} toggleAudio
 * @property {() => void} toggleFullscreen
 * @property {() => void} toggleHelp
 * @property {(position: (now: number) => number) => void} moveDivider
 */

const PAN = 60;

/** @type {Record<string, (now: number) => number>} where keys of the divider move it, in percent */
const DIVIDER = {
  ArrowLeft: (now) => now - 1,
  ArrowDown: (now) => now - 1,
  ArrowRight: (now) => now + 1,
  ArrowUp: (now) => now + 1,
  PageDown: (now) => now - 10,
  PageUp: (now) => now + 10,
  Home: () => 0,
  End: () => 100,
};

/** @type {Record<string, [number, number]>} */
const PANS = { ArrowLeft: [PAN, 0], ArrowRight: [-PAN, 0], ArrowUp: [0, PAN], ArrowDown: [0, -PAN] };

/**
 * @param {HTMLElement} element
 * @param {HTMLElement} divider
 * @param {KeyActions} actions
 * @param {AbortSignal} signal ends it
 */
export function followKeys(element, divider, actions, signal) {
  /** @type {Record<string, () => void>} */
  const pressed = {
    k: actions.togglePlay,
    ",": () => actions.move(-1),
    ".": () => actions.move(1),
    "+": () => actions.zoom(2),
    "=": () => actions.zoom(2),
    "-": () => actions.zoom(-2),
    0: actions.fit,
    1: actions.toPixels,
    l: () => actions.loupe(true),
    s: actions.toggleSide,
    m: actions.toggleAudio,
    f: actions.toggleFullscreen,
    "?": actions.toggleHelp,
  };

  /** @param {KeyboardEvent} event @returns {(() => void) | undefined} */
  const actionOf = (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    if (event.ctrlKey || event.metaKey || event.altKey || target instanceof HTMLSelectElement) {
      return undefined;
    }
    if (event.shiftKey && event.key in PANS) {
      return () => actions.pan(...PANS[event.key]);
    }
    if (target === divider && event.key in DIVIDER) {
      return () => actions.moveDivider(DIVIDER[event.key]);
    }
    if (event.key === " ") {
      return target instanceof HTMLButtonElement ? undefined : () => actions.hold(true);
    }
    return event.repeat && !",.+-=".includes(event.key) ? undefined : pressed[event.key.toLowerCase()];
  };

  const down = (/** @type {KeyboardEvent} */ event) => {
    const action = event.defaultPrevented ? undefined : actionOf(event);
    if (action) {
      event.preventDefault();
      action();
    }
  };
  const up = (/** @type {KeyboardEvent} */ event) => {
    event.key === " " && actions.hold(false);
    event.key.toLowerCase() === "l" && actions.loupe(false);
  };
  const release = () => {
    actions.hold(false);
    actions.loupe(false);
  };
  element.addEventListener("keydown", down, { signal });
  window.addEventListener("keyup", up, { signal });
  window.addEventListener("blur", release, { signal });
}
