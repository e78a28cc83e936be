// @ts-check
// One frame of a folder in full, in a dialog, with its neighbors a key away.

import { h } from "./dom.js";

/** @typedef {import("./frames-grid.js").Thumbnail} Thumbnail */

/**
 * @param {object} listeners
 * @param {(index: number) => void} listeners.onMove called with the frame that is shown
 * @param {(url: string) => void} listeners.onBroken the link of the frame does not give an image
 */
export function frameViewer({ onMove, onBroken }) {
  const title = h("h4", { id: "frames-viewer-title", "aria-live": "polite" });
  const image = h("img", { alt: "", onerror: () => element.open && onBroken(thumbnails[index].url ?? "") });
  const place = h("span", { class: "frames-muted" });
  const previous = h("button", { type: "button", "aria-label": "Previous frame", onclick: () => move(-1) }, "‹");
  const next = h("button", { type: "button", "aria-label": "Next frame", onclick: () => move(1) }, "›");
  const element = h(
    "dialog",
    { class: "frames-viewer", "aria-labelledby": "frames-viewer-title", onkeydown: pressed, onclose: () => image.removeAttribute("src") },
    h("div", { class: "frames-row" }, title, h("button", { type: "button", onclick: () => element.close() }, "Close")),
    h("div", { class: "frames-viewer-image" }, image),
    h("div", { class: "frames-row frames-viewer-steps" }, previous, place, next),
  );
  /** @type {Thumbnail[]} */
  let thumbnails = [];
  let index = 0;

  function show() {
    const { filename, url } = thumbnails[index];
    title.textContent = filename;
    image.alt = filename;
    image.src = url ?? "";
    place.textContent = `${index + 1} of ${thumbnails.length}`;
    previous.disabled = index === 0;
    next.disabled = index === thumbnails.length - 1;
  }

  /** @param {number} step */
  function move(step) {
    const target = Math.max(0, Math.min(thumbnails.length - 1, index + step));
    if (target !== index) {
      index = target;
      show();
      onMove(index);
    }
  }

  /** @param {KeyboardEvent} event */
  function pressed(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) {
      event.preventDefault();
      move(step);
    }
  }

  return {
    element,
    /** @param {Thumbnail[]} frames @param {number} at index of the frame to show */
    open(frames, at) {
      [thumbnails, index] = [frames, at];
      show();
      element.showModal();
    },
    /** Show the same frame by a new link, if it is shown. @param {Thumbnail[]} frames */
    renew(frames) {
      const place = frames.findIndex(({ filename }) => filename === thumbnails[index]?.filename);
      if (element.open && place >= 0) {
        [thumbnails, index] = [frames, place];
        show();
      }
    },
  };
}
