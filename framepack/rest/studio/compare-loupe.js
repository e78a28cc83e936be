// @ts-check
// A loupe: the place under the pointer in both sides, enlarged, one beside the other.

import { h } from "./dom.js";

/** @typedef {import("./compare-clip.js").Clip} Clip */
/** @typedef {{x: number, y: number}} Point */

const MAGNIFICATION = 4;
const GAP = 2;
const DISTANCE = 28;

/**
 * What the loupe looks at.
 *
 * @typedef {object} View
 * @property {(Clip | null)[]} clips
 * @property {DOMRect} stage
 * @property {Point} place of the pointer, from the stage's corner
 * @property {Point} share of the frame's width and height at which the pointer is, 0 to 1
 * @property {number} width of the whole frame as it is shown, in pixels of the screen
 */

/** @param {() => View | null} look null if there is nothing to look at */
export function loupeOf(look) {
  const canvas = h("canvas", { class: "compare-loupe", hidden: true, "aria-hidden": "true" });
  const context = canvas.getContext("2d");
  let isOn = false;

  const draw = () => {
    const view = isOn ? look() : null;
    canvas.hidden = !view || !context;
    if (view && context) {
      drawView(context, view);
    }
    if (isOn) {
      requestAnimationFrame(draw);
    }
  };

  return {
    element: canvas,
    isOn: () => isOn,
    /** @param {boolean} to */
    turn: (to) => {
      const wasOn = isOn;
      isOn = to;
      wasOn === isOn || draw();
    },
  };
}

/** @param {CanvasRenderingContext2D} context @param {View} view */
function drawView(context, view) {
  const { canvas } = context;
  const size = Math.round(Math.min(180, (view.stage.width - GAP - 24) / 2));
  const density = window.devicePixelRatio;
  const [width, height] = [Math.round((2 * size + GAP) * density), Math.round(size * density)];
  if (canvas.width !== width || canvas.height !== height) {
    [canvas.width, canvas.height] = [width, height];
    canvas.style.width = `${2 * size + GAP}px`;
    canvas.style.height = `${size}px`;
  }
  place(canvas, size, view);
  context.setTransform(density, 0, 0, density, 0, 0);
  context.clearRect(0, 0, 2 * size + GAP, size);
  view.clips.forEach((clip, index) => clip && drawClip(context, clip, view, { left: index * (size + GAP), size }));
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Clip} clip
 * @param {View} view
 * @param {{left: number, size: number}} lens
 */
function drawClip(context, clip, view, { left, size }) {
  const pixels = (MAGNIFICATION * view.width) / clip.width; // of the screen for one of the clip
  const [middleX, middleY] = [view.share.x * clip.width, view.share.y * clip.height];
  context.save();
  context.beginPath();
  context.rect(left, 0, size, size);
  context.clip();
  context.imageSmoothingEnabled = pixels < 1;
  const corner = { x: left + size / 2 - middleX * pixels, y: size / 2 - middleY * pixels };
  context.drawImage(clip.element, corner.x, corner.y, clip.width * pixels, clip.height * pixels);
  context.restore();
}

/**
 * Above the pointer, or below it where there is no room.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {number} size
 * @param {View} view
 */
function place(canvas, size, { place: at, stage }) {
  const width = 2 * size + GAP;
  const left = Math.min(Math.max(0, at.x - width / 2), Math.max(0, stage.width - width));
  const top = at.y - size - DISTANCE;
  const free = top >= 0 || at.y + DISTANCE + size > stage.height ? Math.max(0, top) : at.y + DISTANCE;
  canvas.style.transform = `translate(${Math.round(left)}px, ${Math.round(free)}px)`;
}
