// @ts-check
// A video in a comparison that outlives its link: when its file cannot be read any more, it is opened anew, by a new
// link if the old one has expired, and goes on at the same frame.

import { videoClip } from "./compare-video.js";
import { cannotShow, mayBeExpired, noFile, whyNoFile } from "./links.js";

/** @typedef {import("./compare-clip.js").Side} Side */
/** @typedef {import("./compare-clip.js").Clip} Clip */

/** Milliseconds between two attempts to open a file anew. */
const RETRY_MS = 2000;

/**
 * Open a video. Until a file that has failed is there again, its last frame stays, and it counts as one that waits for
 * data at the place that it is to have then.
 *
 * @param {Side} side
 * @param {(problem: string) => void} onProblem is called with a sentence when the file cannot be opened anew, and with
 *   an empty text when it is there again
 * @returns {Promise<Clip>}
 * @throws {Error} the browser cannot play it
 */
export async function lastingVideo(side, onProblem) {
  let video = await videoClip(side);
  let { url } = side;
  let { fps, length } = video;
  let isMuted = true;
  let isClosed = false;
  let isProblem = false;
  let triedAt = -RETRY_MS;
  /** When and where it went on last. */
  let resumed = { at: -RETRY_MS, time: 0 };
  /** @type {number | null} where a seek that has not ended goes to */
  let target = null;
  /** @type {{time: number, rate: number | null} | null} what it is to do when it is there again; the rate: null if it rests */
  let lost = null;
  /** @type {Promise<void> | null} */
  let reopening = null;
  watch();

  function watch() {
    video.element.addEventListener("error", () => reopen(), { once: true });
  }

  /** Open the file anew. */
  function reopen() {
    lost ??= { time: target ?? video.time(), rate: video.isPaused() ? null : video.element.playbackRate };
    reopening ??= attempt().finally(() => (reopening = null));
    return reopening;
  }

  async function attempt() {
    await new Promise((resolve) => setTimeout(resolve, triedAt + RETRY_MS - performance.now()));
    if (isClosed) {
      return;
    }
    triedAt = performance.now();
    try {
      if (lost && triedAt - resumed.at < RETRY_MS && Math.abs(lost.time - resumed.time) < 1) {
        throw new Error(cannotShow(side)); // it fails at this place
      }
      take(await opened());
      tell("");
    } catch (failure) {
      if (lost) {
        lost.rate = null;
      }
      tell(failure instanceof Error ? failure.message : String(failure));
    }
  }

  /** The video anew, at its place. @throws {Error} whose message is a sentence for the user */
  async function opened() {
    const reason = await whyNoFile(url);
    if (mayBeExpired(reason) && side.renew) {
      url = await side.renew();
    } else if (noFile(reason)) {
      throw new Error(noFile(reason));
    }
    /** @type {typeof video | null} */
    let anew = null;
    try {
      anew = await videoClip({ ...side, url, fps: fps ?? undefined });
      for (let at = -1; lost && at !== lost.time; ) {
        at = lost.time;
        await anew.seek(at);
      }
      return anew;
    } catch {
      anew?.close();
      throw new Error(noFile(await whyNoFile(url)) || cannotShow(side));
    }
  }

  /** Put another video in the place of this one. @param {typeof video} anew */
  function take(anew) {
    const rate = lost?.rate ?? null;
    resumed = { at: performance.now(), time: lost?.time ?? 0 };
    if (isClosed) {
      anew.close();
      return;
    }
    anew.element.style.cssText = video.element.style.cssText;
    video.element.replaceWith(anew.element);
    video.close();
    video = anew;
    lost = null;
    triedAt = -RETRY_MS;
    video.mute?.(isMuted);
    watch();
    rate && video.play(rate);
  }

  /** @param {string} problem */
  function tell(problem) {
    if (!isClosed && (problem || isProblem)) {
      isProblem = problem !== "";
      onProblem(problem);
    }
  }

  /** @param {number} time */
  async function seek(time) {
    if (!lost) {
      target = time;
      try {
        await video.seek(time);
        target = target === time ? null : target;
        return;
      } catch {
        // its file has failed
      }
    }
    if (lost) {
      lost.time = time;
    }
    await reopen();
  }

  return {
    get element() {
      return video.element;
    },
    width: video.width,
    height: video.height,
    get length() {
      return length;
    },
    get fps() {
      return fps;
    },
    time: () => lost?.time ?? video.time(),
    shown: () => lost?.time ?? video.shown(),
    isEnded: () => (lost?.time ?? video.time()) >= length || (lost === null && video.isEnded()),
    isPaused: () => (lost ? lost.rate === null : video.isPaused()),
    isWaiting: () => lost !== null || video.isWaiting(),
    seek,
    play: (rate) => {
      if (lost) {
        lost.rate = rate;
        reopen();
      } else {
        video.play(rate);
      }
    },
    setRate: (rate) => (lost ? (lost.rate &&= rate) : video.setRate(rate)),
    pause: () => {
      if (lost) {
        lost.rate = null;
      } else {
        video.pause();
      }
    },
    mute: (muted) => {
      isMuted = muted;
      video.mute?.(muted);
    },
    describe: (details) => {
      fps = details.fps ?? fps;
      length = details.frames && fps ? details.frames / fps : length;
    },
    close: () => {
      isClosed = true;
      video.close();
    },
  };
}
