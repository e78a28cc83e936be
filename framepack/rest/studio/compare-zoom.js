// @ts-check
// How far the two sides are zoomed in, and which part of them is in view; the same for both.

/** @typedef {{x: number, y: number}} Point in pixels of the screen, from the corner of the frame at rest */

/** Screen pixels for one pixel of the file, at most; what is shown larger than that at rest is zoomed as often. */
const MOST = 8;
const STEP = 1.25;

/**
 * @typedef {object} Zoom
 * @property {() => number} scale 1 if the whole frame is in view
 * @property {() => Point} offset of the frame's corner
 * @property {() => number} atPixels the scale at which one pixel of the file is one of the screen
 * @property {(width: number, height: number, pixels: number) => void} resize the frame's size at rest, and how many
 *   screen pixels a pixel of the file has then
 * @property {(factor: number, point?: Point) => void} by zooms around a point, or the middle of what is in view
 * @property {(steps: number) => void} steps
 * @property {(x: number, y: number) => void} pan
 * @property {(scale: number) => void} to
 */

/**
 * @param {() => void} onChange
 * @returns {Zoom}
 */
export function zoomOf(onChange) {
  let [width, height, pixels] = [0, 0, 1];
  let scale = 1;
  let offset = { x: 0, y: 0 };

  const keep = () => {
    scale = Math.min(Math.max(1, scale), Math.max(MOST, MOST / pixels));
    offset = {
      x: Math.min(0, Math.max(width * (1 - scale), offset.x)),
      y: Math.min(0, Math.max(height * (1 - scale), offset.y)),
    };
    onChange();
  };

  const by = (/** @type {number} */ factor, point = { x: width / 2, y: height / 2 }) => {
    const old = scale;
    scale = Math.min(Math.max(1, scale * factor), Math.max(MOST, MOST / pixels));
    const grown = scale / old;
    offset = { x: point.x - (point.x - offset.x) * grown, y: point.y - (point.y - offset.y) * grown };
    keep();
  };

  return {
    scale: () => scale,
    offset: () => offset,
    atPixels: () => 1 / pixels,
    resize: (newWidth, newHeight, newPixels) => {
      const grown = width ? newWidth / width : 1;
      [width, height, pixels] = [newWidth, newHeight, newPixels];
      offset = { x: offset.x * grown, y: offset.y * grown };
      keep();
    },
    by,
    steps: (steps) => by(STEP ** steps),
    pan: (x, y) => {
      offset = { x: offset.x + x, y: offset.y + y };
      keep();
    },
    to: (target) => by(target / scale),
  };
}
