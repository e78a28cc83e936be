// @ts-check
// A grid of thumbnails of which only those in sight are elements, so that it may have thousands.

import { h } from "./dom.js";
import { selectionOf } from "./frames-selection.js";

/** @typedef {{filename: string, url: string | null, label: string}} Thumbnail  url: null if the store has no links */

const GAP = 8;
const CAPTION = 22;
const SPARE_ROWS = 2;

/**
 * A listbox in which several options can be selected.
 *
 * @param {object} listeners
 * @param {() => void} listeners.onSelect the selection has changed
 * @param {() => void} listeners.onDelete the Delete key was pressed
 * @param {(index: number) => void} listeners.onOpen a frame was double-clicked, or Enter was pressed on it
 * @param {(index: number, file: File) => void} listeners.onDrop a file was dropped on a frame
 * @param {(url: string) => void} listeners.onBroken the link of a thumbnail does not give an image
 */
export function frameGrid({ onSelect, onDelete, onOpen, onDrop, onBroken }) {
  const space = h("div", { class: "frames-space", role: "presentation" });
  const element = h("div", {
    class: "frames-grid", role: "listbox", tabindex: 0, "aria-label": "Frames", "aria-multiselectable": "true",
    onscroll: draw, onkeydown: pressed, onclick: clicked, ondblclick: opened,
    ondragover: draggedOver, ondragleave: () => markDrop(null), ondrop: dropped,
  }, space);
  /** @type {Thumbnail[]} */
  let thumbnails = [];
  /** @type {Map<number, HTMLElement>} */
  const cells = new Map();
  let selection = selectionOf(0);
  let ratio = 9 / 16;
  let minWidth = 132;
  let columns = 1;
  let rowHeight = 1;
  new ResizeObserver(layOut).observe(element);

  function layOut() {
    const width = space.clientWidth;
    columns = Math.max(1, Math.floor((width + GAP) / (Math.min(minWidth, width) + GAP)));
    const cellWidth = (width - GAP * (columns - 1)) / columns;
    rowHeight = Math.round(cellWidth * ratio) + CAPTION + GAP;
    element.style.setProperty("--columns", String(columns));
    element.style.setProperty("--cell-height", `${rowHeight - GAP}px`);
    space.style.height = `${Math.max(0, Math.ceil(thumbnails.length / columns) * rowHeight - GAP)}px`;
    cells.forEach(place);
    draw();
  }

  /** Make the elements in sight, and remove the others, which also stops loading their images. */
  function draw() {
    const first = (Math.floor(element.scrollTop / rowHeight) - SPARE_ROWS) * columns;
    const last = (Math.ceil((element.scrollTop + element.clientHeight) / rowHeight) + SPARE_ROWS) * columns;
    for (const [index, cell] of cells) {
      if ((index < first || index >= last) && index !== selection.active) {
        cell.querySelector("img")?.removeAttribute("src");
        cell.remove();
        cells.delete(index);
      }
    }
    for (let index = Math.max(0, first); index < Math.min(last, thumbnails.length); index++) {
      cell(index);
    }
    mark();
  }

  /** The element of a frame, made if it is not there. @param {number} index */
  function cell(index) {
    const found = cells.get(index);
    if (found) {
      return found;
    }
    const made = cellOf(thumbnails[index], index, thumbnails.length, onBroken);
    cells.set(index, made);
    place(made, index);
    // In order, so that screen readers read them in order.
    const next = [...cells.keys()].filter((each) => each > index).reduce((least, each) => Math.min(least, each), Infinity);
    space.insertBefore(made, cells.get(next) ?? null);
    return made;
  }

  /** @param {HTMLElement} element @param {number} index */
  function place(element, index) {
    element.style.top = `${Math.floor(index / columns) * rowHeight}px`;
    element.style.setProperty("--column", String(index % columns));
  }

  /** Show what is selected and active. */
  function mark() {
    for (const [index, cell] of cells) {
      cell.setAttribute("aria-selected", String(selection.has(index)));
      cell.classList.toggle("active", index === selection.active);
    }
    const active = cells.get(selection.active);
    if (active) {
      element.setAttribute("aria-activedescendant", active.id);
    } else {
      element.removeAttribute("aria-activedescendant");
    }
  }

  /** Scroll the active frame into sight. */
  function reveal() {
    if (thumbnails.length === 0) {
      return;
    }
    const top = Math.floor(selection.active / columns) * rowHeight;
    const room = element.clientHeight - rowHeight;
    element.scrollTop = Math.max(top - room, Math.min(element.scrollTop, top));
    cell(selection.active);
    draw();
  }

  /** @param {KeyboardEvent} event */
  function pressed(event) {
    const page = Math.max(1, Math.floor(element.clientHeight / rowHeight)) * columns;
    /** @type {Record<string, number>} */
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, PageUp: -page, PageDown: page, Home: -Infinity, End: Infinity };
    const isCommand = event.ctrlKey || event.metaKey;
    if (event.key in steps && !event.altKey) {
      const target = selection.active + steps[event.key];
      moved(Math.max(0, Math.min(thumbnails.length - 1, target)), event.shiftKey, isCommand);
    } else if (event.key === " ") {
      selection.toggle(selection.active);
    } else if (event.key.toLowerCase() === "a" && isCommand) {
      selection.all();
    } else if (event.key === "Escape" && selection.size > 0) {
      selection.clear();
    } else if (event.key === "Delete" || event.key === "Backspace") {
      onDelete();
    } else if (event.key === "Enter" && thumbnails.length > 0) {
      onOpen(selection.active);
    } else {
      return;
    }
    event.preventDefault();
    changed();
  }

  /** @param {number} index @param {boolean} extends_ @param {boolean} keeps whether the selection stays as it is */
  function moved(index, extends_, keeps) {
    if (extends_) {
      selection.extendTo(index);
    } else if (keeps) {
      selection.moveTo(index);
    } else {
      selection.only(index);
    }
    reveal();
  }

  /** The frame that an event is about; -1 if none. @param {Event} event */
  function indexOf(event) {
    const cell = event.target instanceof Element ? event.target.closest("[role=option]") : null;
    return cell === null ? -1 : Number(cell.getAttribute("aria-posinset")) - 1;
  }

  /** @param {MouseEvent} event */
  function clicked(event) {
    const index = indexOf(event);
    if (index < 0) {
      return;
    }
    if (event.shiftKey) {
      selection.extendTo(index);
    } else if (event.ctrlKey || event.metaKey || /** @type {PointerEvent} */ (event).pointerType === "touch") {
      selection.toggle(index); // a finger has no Ctrl key
    } else {
      selection.only(index);
    }
    changed();
  }

  /** @param {MouseEvent} event */
  function opened(event) {
    const index = indexOf(event);
    if (index >= 0) {
      onOpen(index);
    }
  }

  /** @param {DragEvent} event */
  function draggedOver(event) {
    const index = indexOf(event);
    markDrop(index);
    if (index >= 0) {
      event.preventDefault();
    }
  }

  /** @param {number | null} index */
  function markDrop(index) {
    cells.forEach((cell, each) => cell.classList.toggle("drop", each === index));
  }

  /** @param {DragEvent} event */
  function dropped(event) {
    const [index, file] = [indexOf(event), event.dataTransfer?.files[0]];
    event.preventDefault();
    markDrop(null);
    if (index >= 0 && file) {
      onDrop(index, file);
    }
  }

  function changed() {
    mark();
    onSelect();
  }

  return {
    element,
    get selection() {
      return selection;
    },
    changed,
    reveal,
    /**
     * Show other frames, or the same ones after a change.
     *
     * @param {Thumbnail[]} frames
     * @param {{ratio: number, active: number}} shape ratio: height by width of a frame; active: index
     */
    show(frames, shape) {
      thumbnails = frames;
      ratio = Math.max(0.25, Math.min(1.5, shape.ratio));
      selection = selectionOf(frames.length);
      selection.moveTo(shape.active);
      cells.forEach((cell) => cell.remove());
      cells.clear();
      layOut();
      changed();
    },
    /** Show larger or smaller thumbnails. @param {number} pixels their least width */
    resize(pixels) {
      minWidth = pixels;
      layOut();
      reveal();
    },
  };
}

let lastId = 0;

/**
 * @param {Thumbnail} thumbnail
 * @param {number} index
 * @param {number} count
 * @param {(url: string) => void} onBroken
 */
function cellOf({ filename, url, label }, index, count, onBroken) {
  const missing = h("span", { class: "frames-missing", hidden: url !== null }, "No image");
  const failed = () => {
    missing.hidden = false;
    onBroken(url ?? "");
  };
  const image = url === null ? null : h("img", { src: url, alt: "", decoding: "async", draggable: "false", onerror: failed });
  return h(
    "div",
    { role: "option", id: `frame-option-${++lastId}`, class: "frames-cell", title: filename, "aria-label": label, "aria-posinset": index + 1, "aria-setsize": count, "aria-selected": "false" },
    h("span", { class: "frames-image" }, image, missing),
    h("span", { class: "frames-caption" }, filename.replace(/\.\w+$/, "")),
  );
}
