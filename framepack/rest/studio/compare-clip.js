// @ts-check
// One side of a comparison as the browser shows it: a video, an animation or a still image.

import { animatedClip } from "./compare-animation.js";
import { lastingVideo } from "./compare-renewal.js";
import { h } from "./dom.js";
import { cannotShow, mayBeExpired, noFile, whyNoFile } from "./links.js";

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
 * @property {(details: Partial<Side>) => void} [describe] takes over what is known of the side only later
 * @property {() => void} close
 * @property {string} [problem] why this is only a frame of the side
 */

/**
 * Load a side.
 *
 * @param {Side} side
 * @param {(problem: string) => void} onProblem is called when a clip that was loaded stops because its file cannot be
 *   read any more, and with an empty text when it is there again
 * @param {boolean} [isRenewed] whether its link is a new one
 * @returns {Promise<Clip>}
 * @throws {Error} whose message says that this browser cannot show it
 */
export async function loadClip(side, onProblem, isRenewed = false) {
  try {
    return await openClip(side, onProblem);
  } catch {
    const reason = await whyNoFile(side.url);
    const url = mayBeExpired(reason) && !isRenewed ? await side.renew?.().catch(() => null) : null;
    if (url) {
      return loadClip({ ...side, url }, onProblem, true);
    }
    const problem = noFile(reason) || cannotShow(side);
    const poster = await side.poster?.();
    if (!poster) {
      throw new Error(problem);
    }
    return { ...(await stillClip({ ...side, url: poster })), problem };
  }
}

/** @param {Side} side @param {(problem: string) => void} onProblem @returns {Promise<Clip>} */
async function openClip(side, onProblem) {
  return side.kind === "video" ? lastingVideo(side, onProblem) : ((await animatedClip(side)) ?? stillClip(side));
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
