// @ts-check
// Shows a source, and which moment of it a preview is of.

import { h, shown } from "./dom.js";
import { noFile, whyNoFile } from "./links.js";

/**
 * @typedef {object} Facts what the server says of a video
 * @property {number} width
 * @property {number} height
 * @property {number} fps
 * @property {number} frames
 * @property {string[]} lines for people
 */
/**
 * @typedef {object} Source
 * @property {string} path the value for `video_url`
 * @property {string} name
 * @property {string | null} url where this page finds it; null where it may not look
 * @property {Blob | null} blob the file itself, if this page has it
 * @property {string | null} [poster] a frame of it as an address of data, if the page has asked for one
 * @property {string | null} link where a page that was loaded anew finds it; null if the key is needed
 * @property {string} mime
 * @property {string | null} file the name of the person's own file, if it is one
 * @property {number | undefined} bytes
 * @property {Facts | null} facts
 * @property {string[]} warnings
 */

const UNPLAYABLE = "This browser cannot play the file itself; the server can process it.";

/**
 * A source with its playhead.
 *
 * @param {{url: string | null, mime: string, name: string}} source
 * @param {{onTime: () => void, onUnplayable: () => void, renew: () => Promise<string | null>}} listeners
 *   `onTime`: the playhead rests at another moment; `onUnplayable`: the browser cannot show it; `renew`: gives a new
 *   address for one that has expired, or null
 */
export function player({ url, mime, name }, { onTime, onUnplayable, renew }) {
  const element = h("div", { class: "player" });
  const slider = h("input", { type: "range", min: 0, max: 0, step: "any", value: 0, "aria-label": "Position in the clip" });
  const position = h("output", {}, "0 s");
  const scrubber = h("div", { class: "scrubber", hidden: true }, slider, position);
  const poster = h("img", { alt: `A frame of ${name}`, hidden: true });
  const note = h("p", { class: "help", hidden: true }, UNPLAYABLE);
  /** @type {HTMLVideoElement | null} */
  let video = null;

  slider.addEventListener("input", () => {
    position.textContent = `${shown(Number(slider.value))} s`;
  });
  slider.addEventListener("change", onTime);

  if (url && mime.startsWith("image/")) {
    const image = h("img", { src: url, alt: name });
    image.addEventListener("error", async () => (image.src = (await anew(await whyNoFile(url))) ?? image.src), { once: true });
    element.append(image, scrubber);
  } else if (url) {
    const shownVideo = h("video", { src: url, controls: true, muted: true, playsinline: true, preload: "auto", "aria-label": name });
    shownVideo.muted = true;
    shownVideo.addEventListener("error", () => playAnew(shownVideo));
    shownVideo.addEventListener("loadedmetadata", () => shownVideo.videoWidth === 0 && giveUp());
    shownVideo.addEventListener("seeked", () => shownVideo.paused && onTime());
    shownVideo.addEventListener("pause", onTime);
    video = shownVideo;
    element.append(shownVideo);
  } else {
    giveUp();
  }

  /** Another address, if the one of this source has expired. @param {Awaited<ReturnType<typeof whyNoFile>>} reason */
  async function anew(reason) {
    return reason === "expired" ? renew().catch(() => null) : null;
  }

  /** @param {HTMLVideoElement} failed */
  async function playAnew(failed) {
    const at = failed.currentTime;
    const reason = url && failed.src === url ? await whyNoFile(url) : null;
    const found = await anew(reason);
    if (video !== failed) {
      return;
    }
    if (found) {
      failed.src = found;
      failed.currentTime = at;
    } else {
      note.textContent = noFile(reason) || UNPLAYABLE;
      giveUp();
    }
  }

  function giveUp() {
    video?.remove();
    video = null;
    poster.hidden = !poster.src;
    note.hidden = false;
    scrubber.hidden = Number(slider.max) === 0;
    element.replaceChildren(poster, scrubber, note);
    onUnplayable();
  }

  return {
    element,
    /** Whether a frame is wanted in place of what the browser cannot show. */
    needsPoster: () => video === null && !mime.startsWith("image/") && poster.hidden,
    /** The moment of the playhead in seconds. */
    time: () => video?.currentTime ?? Number(slider.value),
    /** Stop the playback, such as before the clip is shown elsewhere. */
    pause: () => video?.pause(),
    /** @param {Facts} facts */
    setLength({ frames, fps }) {
      slider.max = String(Math.max(0, (frames - 1) / fps));
      slider.step = String(1 / fps);
      scrubber.hidden = video !== null || frames < 2;
    },
    /** Show a frame where the browser cannot. @param {string} image */
    setPoster(image) {
      poster.src = image;
      poster.hidden = false;
    },
  };
}
