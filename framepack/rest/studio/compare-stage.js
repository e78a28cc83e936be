// @ts-check
// The stage: both sides at the same displayed size, with the divider between them.

import { h } from "./dom.js";

/** @typedef {import("./compare-clip.js").Clip} Clip */
/** @typedef {import("./compare-clip.js").Side} Side */
/** @typedef {import("./compare-controls.js").Mode} Mode */
/** @typedef {import("./compare-zoom.js").Zoom} Zoom */
/** @typedef {{x: number, y: number}} Point */

/** Two sides whose ratios differ by less, because sizes are whole or even numbers, get the same place. */
const SAME_RATIO = 0.02;
/** Types that may be transparent, and are shown on a checkerboard. */
const OPAQUE = /jpe?g$|mp4$|quicktime$/;

/** One side's part of the stage. */
function paneOf(/** @type {string} */ name) {
  const content = h("div", { class: "compare-content" });
  const tag = h("span", { class: "compare-tag" });
  const problem = h("p", { class: "compare-problem", role: "status" });
  const element = h("div", { class: "compare-pane", "data-side": name }, content, tag, problem);
  return { element, content, tag, problem };
}

/** @typedef {ReturnType<typeof stageOf>} Stage */

export function stageOf() {
  const panes = [paneOf("before"), paneOf("after")];
  const divider = h(
    "div",
    {
      class: "compare-divider",
      role: "slider",
      tabindex: 0,
      "aria-label": "Divider between before and after",
      "aria-valuemin": 0,
      "aria-valuemax": 100,
    },
    h("span", { class: "compare-handle" }),
  );
  const loading = h("p", { class: "compare-loading", role: "status" });
  const element = h("div", { class: "compare-stage" }, ...panes.map((pane) => pane.element), divider, loading);
  let ratio = 16 / 9;
  let box = { left: 0, top: 0, width: 0, height: 0 };
  /** @type {(Clip | null)[]} */
  let clips = [null, null];

  /** Take the place that two sides will need, and show nothing yet. @param {(Side | null)[]} sides */
  const expect = (sides) => {
    const known = [...sides].reverse().find((side) => side?.width && side.height);
    ratio = known?.width && known.height ? known.width / known.height : ratio;
    panes.forEach((pane, index) => {
      pane.content.replaceChildren();
      pane.tag.textContent = sides[index]?.label ?? "";
      pane.problem.textContent = "";
    });
    clips = [null, null];
    loading.textContent = sides.length ? "Loading …" : "";
    element.hidden = sides.length === 0;
  };

  /**
   * @param {(Side | null)[]} sides
   * @param {(Clip | null)[]} loaded
   * @param {string[]} problems
   */
  const show = (sides, loaded, problems) => {
    clips = loaded;
    loading.textContent = "";
    element.hidden = false;
    const main = clips[1] ?? clips[0];
    ratio = main ? main.width / main.height : ratio;
    panes.forEach((pane, index) => {
      pane.tag.textContent = sides[index]?.label ?? "";
      pane.problem.textContent = problems[index];
      const clip = clips[index];
      pane.content.replaceChildren(...(clip ? [clip.element] : []));
      pane.content.classList.toggle("is-translucent", clip !== null && !OPAQUE.test(sides[index]?.mime ?? ""));
      if (clip) {
        fill(clip.element, clip.width / clip.height / ratio);
      }
    });
  };

  /** @param {number} index of the side @param {string} problem */
  const setProblem = (index, problem) => {
    panes[index].problem.textContent = problem;
  };

  /** Lay out anew for the stage's size. @param {Zoom} zoom */
  const fit = (zoom) => {
    const isSide = element.dataset.mode === "side";
    const isStacked = isSide && ratio > 1 && (element.parentElement?.clientWidth ?? 0) < 700;
    element.classList.toggle("is-stacked", isStacked);
    element.style.setProperty("--compare-ratio", String(isSide ? (isStacked ? ratio / 2 : ratio * 2) : ratio));
    const { width, height } = panes[1].element.getBoundingClientRect(); // which need not be whole numbers
    const shown = Math.min(width, height * ratio);
    box = { left: (width - shown) / 2, top: (height - shown / ratio) / 2, width: shown, height: shown / ratio };
    const main = clips[1] ?? clips[0];
    zoom.resize(box.width, box.height, main ? (box.width * window.devicePixelRatio) / main.width : 1);
  };

  /** @param {Zoom} zoom */
  const place = (zoom) => {
    const { x, y } = zoom.offset();
    const isLarge = zoom.scale() > 1.001 && zoom.scale() > zoom.atPixels() * 1.001;
    for (const { content } of panes) {
      content.style.left = `${box.left + x}px`;
      content.style.top = `${box.top + y}px`;
      content.style.width = `${box.width * zoom.scale()}px`;
      content.style.height = `${box.height * zoom.scale()}px`;
      content.classList.toggle("is-pixelated", isLarge);
    }
  };

  /** A point of the screen, from the corner of the frame at rest of the side that it is in. @param {Point} client */
  const pointAt = (client) => {
    const rects = panes.map((pane) => pane.element.getBoundingClientRect());
    const isFirst = element.dataset.mode === "side" && (client.x < rects[1].left || client.y < rects[1].top);
    const rect = rects[isFirst ? 0 : 1];
    return { x: client.x - rect.left - box.left, y: client.y - rect.top - box.top };
  };

  /** The share of each side, in percent from the left, and what the divider says. @param {number} position @param {number} shown */
  const divide = (position, shown) => {
    element.style.setProperty("--compare-at", `${shown}%`);
    divider.setAttribute("aria-valuenow", String(Math.round(position)));
    divider.setAttribute("aria-valuetext", `${Math.round(position)} % before`);
    panes[0].tag.classList.toggle("is-covered", shown < 12);
    panes[1].tag.classList.toggle("is-covered", shown > 88);
  };

  return { element, divider, expect, show, setProblem, fit, place, pointAt, divide, box: () => box, clips: () => clips };
}

/**
 * Fill the frame's place; a side of another shape is centered in it.
 *
 * @param {HTMLElement} element
 * @param {number} relative its ratio of width and height, divided by that of the place
 */
function fill(element, relative) {
  const isSame = Math.abs(relative - 1) < SAME_RATIO;
  const [width, height] = isSame ? [1, 1] : relative > 1 ? [1, 1 / relative] : [relative, 1];
  element.style.width = `${width * 100}%`;
  element.style.height = `${height * 100}%`;
  element.style.left = `${(1 - width) * 50}%`;
  element.style.top = `${(1 - height) * 50}%`;
}
