// @ts-check
// One side of a comparison as the browser shows it: a video, an animation or a still image.

import { animatedClip } from "./compare-animation.js";
import { h } from "./dom.js";
import { NO_FILE, whyNoFile } from "./links.js";

/**
 * A file to show. What is not given is measured, as far as the browser can.
 *
 * @typedef {object} Side
 * @property {string} url
 * @property {"image" | "video"} kind
 * @property {string} label such as "Before"
 * @property {string} [mime]
 * @property {number} [width] in pixels
 * @property {number} [height] in pixels
 * @property {number} [fps] frames per second
 * @property {number} [frames]
 * @property {number} [bytes]
 * @property {Blob} [blob] the file itself: the policy of the page may not let scripts read a `blob:` address
 * @property {() => Promise<string>} [renew] a new address, for when the link has expired
 * @property {() => Promise<string | null>} [poster] a frame, for when the browser cannot play the file; null if there is none
 */

/**
 * A side that is loaded. Stills have a length of 0 and need not be played.
 *
 * @typedef {object} Clip
 * @property {HTMLVideoElement | HTMLCanvasElement | HTMLImageElement} element
 * @property {number} width in square pixels
 * @property {number} height
 * @property {number} length of the frames, in seconds
 * @property {number | null} fps frames per second, null if unknown
 * @property {() => number} time where it is, in seconds
 * @property {() => number} shown a time within the frame that is on the screen
 * @property {() => boolean} isEnded
 * @property {() => boolean} isPaused
 * @property {() => boolean} isWaiting whether it waits for data
 * @property {(time: number) => Promise<void>} seek ends when the frame at that time is there
 * @property {(rate: number) => void} play
 * @property {(rate: number) => void} setRate
 * @property {() => void} pause
 * @property {((isMuted: boolean) => void) | null} mute null if it never has audio
 * @property {() => void} close
 * @property {string} [problem] why this is only a frame of the side
 */

const MEASURED_FRAMES = 9;
const MEASURED_MS = 1500;

/**
 * Load a side.
 *
 * @param {Side} side
 * @returns {Promise<Clip>}
 * @throws {Error} whose message says that this browser cannot show it
 */
export async function loadClip(side) {
  try {
    return await openClip(side);
  } catch {
    const reason = await whyNoFile(side.url);
    if (reason === "expired" && side.renew) {
      const url = await side.renew();
      return loadClip({ ...side, url, renew: undefined });
    }
    const type = side.mime ? ` (${side.mime})` : "";
    const problem = reason ? NO_FILE[reason] : `This browser cannot ${side.kind === "video" ? "play this video" : "show this image"}${type}.`;
    const poster = await side.poster?.();
    if (!poster) {
      throw new Error(problem);
    }
    return { ...(await stillClip({ ...side, url: poster })), problem };
  }
}

/** @param {Side} side @returns {Promise<Clip>} */
async function openClip(side) {
  return side.kind === "video" ? videoClip(side) : ((await animatedClip(side)) ?? stillClip(side));
}

/** @param {Side} side @returns {Promise<Clip>} */
async function stillClip(side) {
  const element = h("img", { src: side.url, alt: "", draggable: "false" });
  await element.decode();
  return {
    element,
    width: element.naturalWidth,
    height: element.naturalHeight,
    length: 0,
    fps: null,
    time: () => 0,
    shown: () => 0,
    isEnded: () => true,
    isPaused: () => true,
    isWaiting: () => false,
    seek: async () => {},
    play: () => {},
    setRate: () => {},
    pause: () => {},
    mute: null,
    close: () => element.removeAttribute("src"),
  };
}

/** @param {Side} side @returns {Promise<Clip>} */
async function videoClip(side) {
  const video = h("video", { playsinline: true, preload: "auto", tabindex: -1, "aria-hidden": "true" });
  video.muted = true;
  video.src = side.url;
  await happened(video, "loadedmetadata");
  if (!video.videoWidth) {
    throw new Error("no video stream that this browser decodes");
  }
  if (video.duration === Infinity) {
    // A recording without a duration: the browser finds it when it looks for the end.
    video.currentTime = Number.MAX_SAFE_INTEGER;
    await happened(video, "durationchange");
  }
  const seek = seeker(video);
  await seek(0);
  const fps = side.fps ?? (await measuredRate(video));
  const length = side.frames && fps ? side.frames / fps : video.duration;
  let shown = 0;
  const note = (/** @type {number} */ _now, /** @type {VideoFrameCallbackMetadata} */ { mediaTime }) => {
    shown = mediaTime;
    video.requestVideoFrameCallback(note);
  };
  const canTell = "requestVideoFrameCallback" in HTMLVideoElement.prototype;
  if (canTell) {
    video.requestVideoFrameCallback(note);
  }
  await seek(0.5 / (fps ?? 100));
  return {
    element: video,
    width: video.videoWidth,
    height: video.videoHeight,
    length,
    fps,
    time: () => video.currentTime,
    // The middle of the frame: its time may be rounded to just before it.
    shown: () => (canTell ? shown + 0.5 / (fps ?? 100) : video.currentTime),
    isEnded: () => video.ended || video.currentTime >= length,
    isPaused: () => video.paused,
    isWaiting: () => video.readyState < HTMLMediaElement.HAVE_FUTURE_DATA && !video.ended,
    seek,
    play: (rate) => {
      video.playbackRate = rate;
      video.play().catch(() => {}); // stopped before it began
    },
    setRate: (rate) => {
      video.playbackRate = rate;
    },
    pause: () => video.pause(),
    mute: (isMuted) => {
      video.muted = isMuted;
    },
    close: () => {
      video.removeAttribute("src");
      video.load();
    },
  };
}

/**
 * Seeks in a video. A seek that comes while another one runs waits for it, and takes the place of one that waits: so
 * frames also appear while the user drags.
 *
 * @param {HTMLVideoElement} video
 * @returns {(time: number) => Promise<void>}
 */
function seeker(video) {
  /** @type {number | null} */
  let target = null;
  /** @type {Promise<void> | null} */
  let running = null;
  const run = async () => {
    try {
      while (target !== null) {
        const done = happened(video, "seeked");
        video.currentTime = target;
        target = null;
        await done;
      }
    } finally {
      running = null;
    }
  };
  return (time) => {
    target = Math.max(0, time);
    running ??= run();
    return running;
  };
}

/**
 * The frame rate of a video, from the times of a few frames that are played without audio; null if the browser does
 * not tell them.
 *
 * @param {HTMLVideoElement} video
 * @returns {Promise<number | null>}
 */
async function measuredRate(video) {
  if (!("requestVideoFrameCallback" in HTMLVideoElement.prototype)) {
    return null;
  }
  /** @type {number[]} */
  const times = [];
  await new Promise((resolve) => {
    const note = (/** @type {number} */ _now, /** @type {VideoFrameCallbackMetadata} */ { mediaTime }) => {
      times.push(mediaTime);
      times.length < MEASURED_FRAMES ? video.requestVideoFrameCallback(note) : resolve(null);
    };
    video.requestVideoFrameCallback(note);
    video.addEventListener("ended", resolve, { once: true });
    setTimeout(resolve, MEASURED_MS);
    video.play().catch(resolve);
  });
  video.pause();
  const steps = times.slice(1).map((time, index) => time - times[index]).filter((step) => step > 0);
  if (steps.length === 0) {
    return null;
  }
  // A busy browser drops frames, so the shortest step is one frame; all of them together tell its length best.
  const whole = steps.reduce((sum, step) => sum + step, 0);
  return Math.round(whole / Math.min(...steps)) / whole;
}

/**
 * Wait for an event of a media element, or until its file is taken away.
 *
 * @param {HTMLMediaElement} media
 * @param {string} name
 * @returns {Promise<void>}
 * @throws {Error} the media cannot be played
 */
function happened(media, name) {
  const names = [name, "error", "emptied"];
  return new Promise((resolve, reject) => {
    const end = () => {
      names.forEach((each) => media.removeEventListener(each, end));
      media.error ? reject(new Error(media.error.message)) : resolve();
    };
    names.forEach((each) => media.addEventListener(each, end));
  });
}
