// @ts-check
// An animated image (GIF, WebP, PNG, AVIF) on a canvas, which can be paused and sought like a video.

import { h } from "./dom.js";

/** @typedef {import("./compare-clip.js").Side} Side */
/** @typedef {import("./compare-clip.js").Clip} Clip */

/** What is read from a server; other types are hardly ever animated, and a still would be read twice. */
const TYPES = /** @type {Record<string, string>} */ ({ gif: "image/gif", webp: "image/webp" });

/**
 * An animation; null if it is a still image or if this browser only plays animations by itself, as an `<img>`.
 *
 * @param {Side} side
 * @returns {Promise<Clip | null>}
 */
export async function animatedClip(side) {
  const data = "ImageDecoder" in window ? await bytes(side) : null;
  const type = data?.type || side.mime || "";
  if (!data || !(await ImageDecoder.isTypeSupported(type))) {
    return null;
  }
  const decoder = new ImageDecoder({ data: await data.arrayBuffer(), type });
  await decoder.tracks.ready;
  await decoder.completed;
  if ((decoder.tracks.selectedTrack?.frameCount ?? 1) < 2) {
    decoder.close();
    return null;
  }
  return player(decoder, await frameTimes(decoder));
}

/** @param {Side} side @returns {Promise<Blob | null>} the file, if scripts can read it */
async function bytes(side) {
  if (side.blob) {
    return side.blob;
  }
  const extension = /\.(\w+)$/.exec(new URL(side.url, document.baseURI).pathname)?.[1] ?? "";
  const type = side.mime ?? TYPES[extension.toLowerCase()];
  if (!Object.values(TYPES).includes(type) || side.url.startsWith("blob:")) {
    return null;
  }
  try {
    const response = await fetch(side.url, { credentials: "omit" });
    return response.ok ? new Blob([await response.arrayBuffer()], { type }) : null;
  } catch {
    return null; // another origin, which lets a page show the image but not read it
  }
}

/**
 * When each frame begins, and when the last one ends, in seconds.
 *
 * @param {ImageDecoder} decoder
 */
async function frameTimes(decoder) {
  const times = [0];
  const count = decoder.tracks.selectedTrack?.frameCount ?? 0;
  for (let frameIndex = 0; frameIndex < count; frameIndex++) {
    const { image } = await decoder.decode({ frameIndex });
    times.push(times[frameIndex] + (image.duration ?? 100_000) / 1e6);
    image.close();
  }
  return times;
}

/**
 * @param {ImageDecoder} decoder
 * @param {number[]} times
 * @returns {Promise<Clip>}
 */
async function player(decoder, times) {
  const canvas = h("canvas", { "aria-hidden": "true" });
  const length = times[times.length - 1];
  const closing = new AbortController();
  const show = painter(decoder, canvas, closing.signal);
  const frameAt = (/** @type {number} */ time) => Math.max(0, times.findLastIndex((begin, index) => begin <= time && index < times.length - 1));
  let position = 0;
  let rate = 1;
  /** @type {number | null} when it began to play at `position`, in milliseconds */
  let began = null;
  const time = () => Math.min(length, began === null ? position : position + ((performance.now() - began) / 1000) * rate);
  const restart = (/** @type {boolean} */ isPlaying) => {
    position = time();
    began = isPlaying ? performance.now() : null;
  };
  const draw = () => {
    if (began !== null) {
      show(frameAt(time()));
      requestAnimationFrame(draw);
    }
  };
  await show(0);
  return {
    element: canvas,
    width: canvas.width,
    height: canvas.height,
    length,
    fps: (times.length - 1) / length,
    time,
    shown: time,
    isEnded: () => time() >= length,
    isPaused: () => began === null,
    isWaiting: () => false,
    seek: (target) => {
      position = Math.min(Math.max(0, target), length);
      began &&= performance.now();
      return show(frameAt(position));
    },
    play: (speed) => {
      const wasPaused = began === null;
      restart(true);
      rate = speed;
      wasPaused && draw();
    },
    setRate: (speed) => {
      restart(began !== null);
      rate = speed;
    },
    pause: () => restart(false),
    mute: null,
    close: () => {
      restart(false);
      closing.abort();
      decoder.close();
    },
  };
}

/**
 * Draws frames. One that is asked for while another is decoded waits, and takes the place of one that waits.
 *
 * @param {ImageDecoder} decoder
 * @param {HTMLCanvasElement} canvas
 * @param {AbortSignal} closed what is decoded then is given up
 * @returns {(frameIndex: number) => Promise<void>}
 */
function painter(decoder, canvas, closed) {
  const context = canvas.getContext("2d");
  let drawn = -1;
  let wanted = -1;
  /** @type {Promise<void> | null} */
  let running = null;
  const run = async () => {
    try {
      while (wanted !== drawn) {
        const frameIndex = wanted;
        const { image } = await decoder.decode({ frameIndex });
        if (drawn < 0) {
          canvas.width = image.displayWidth;
          canvas.height = image.displayHeight;
        }
        context?.clearRect(0, 0, canvas.width, canvas.height);
        context?.drawImage(image, 0, 0);
        image.close();
        drawn = frameIndex;
      }
    } catch (failure) {
      if (!closed.aborted) {
        throw failure;
      }
    } finally {
      running = null;
    }
  };
  return async (frameIndex) => {
    wanted = frameIndex;
    if (wanted !== drawn) {
      await (running ??= run());
    }
  };
}
