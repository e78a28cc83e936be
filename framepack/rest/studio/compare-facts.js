// @ts-check
// What a file is, in words: size, rate, length.

/** @typedef {import("./compare-clip.js").Side} Side */
/** @typedef {import("./compare-clip.js").Clip} Clip */

/** @param {number} bytes */
export function sizeText(bytes) {
  if (bytes < 1000) {
    return `${bytes} bytes`;
  }
  const [unit, divisor] = bytes < 1e6 ? ["kB", 1e3] : bytes < 1e9 ? ["MB", 1e6] : ["GB", 1e9];
  return `${(bytes / divisor).toPrecision(3)} ${unit}`.replace(/(\.\d*?)0+ /, "$1 ").replace(". ", " ");
}

/** @param {number} fps frames per second */
export function rateText(fps) {
  return `${Number(fps.toFixed(2))} fps`;
}

/**
 * Minutes and seconds, such as `0:01.25`.
 *
 * @param {number} seconds
 */
export function timeText(seconds) {
  const hundredths = Math.round(seconds * 100);
  const rest = String((hundredths / 100) % 60 | 0).padStart(2, "0");
  return `${Math.floor(hundredths / 6000)}:${rest}.${String(hundredths % 100).padStart(2, "0")}`;
}

/**
 * Size, rate, frames, length and file size of a side, as far as they are known.
 *
 * @param {Side} side
 * @param {Clip | null} clip null if the browser cannot show it
 * @returns {string[]}
 */
export function facts(side, clip) {
  const width = side.width ?? clip?.width;
  const height = side.height ?? clip?.height;
  const fps = side.fps ?? clip?.fps;
  const length = clip?.length || (side.frames && fps ? side.frames / fps : 0);
  const frames = side.frames ?? (fps && length ? Math.round(fps * length) : 1);
  const isMoving = length > 0;
  return [
    width && height ? `${width} × ${height}` : "",
    isMoving && fps ? rateText(fps) : "",
    isMoving && fps ? `${frames} frames` : "",
    isMoving ? `${Number(length.toFixed(2))} s` : "",
    side.bytes ? sizeText(side.bytes) : "",
  ].filter(Boolean);
}
