// @ts-check
// A video in a comparison, as long as its file can be read.

import { h } from "./dom.js";

/** @typedef {import("./compare-clip.js").Side} Side */
/** @typedef {import("./compare-clip.js").Clip} Clip */

const MEASURED_FRAMES = 9;
const MEASURED_MS = 1500;

/**
 * Open a video at its first frame.
 *
 * @param {Side} side
 * @returns {Promise<Clip & {element: HTMLVideoElement}>} whose `seek` fails once the file cannot be read any more
 * @throws {Error} the browser cannot play it
 */
export async function videoClip(side) {
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
