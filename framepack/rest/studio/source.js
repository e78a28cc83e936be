// @ts-check
// The clip to work on: dropped, chosen, at an address, or the sample; uploaded, then analyzed by the server.

import { ApiError } from "./api.js";
import { sizeText } from "./compare-facts.js";
import { h, hasFocus, keepFocus } from "./dom.js";
import { followDrops } from "./drops.js";
import { icon } from "./icons.js";
import { latestOnly } from "./latest.js";
import { player } from "./player.js";
import { SAMPLE } from "./sample.js";
import { bytesOf, posterOf, renewed } from "./source-side.js";

/** @typedef {import("./player.js").Source} Source */
/** @typedef {import("./player.js").Facts} Facts */


/** A size of the API, whose units are powers of 1024, in the units of this page. @param {string} text */
function sizeOf(text) {
  const [number, unit] = text.split(" ");
  return sizeText(Math.round(Number(number) * 1024 ** ["B", "KB", "MB", "GB"].indexOf(unit)));
}

/**
 * What the server says of a video.
 *
 * @param {import("./api.js").Api} api
 * @param {Source} source
 * @param {AbortSignal} signal
 * @returns {Promise<{facts: Facts, warnings: string[]}>}
 */
async function analyze(api, { path, bytes }, signal) {
  const { analysis, warnings } = await api.json("POST", "/postprocess/analyze", { video_url: path }, { signal });
  const [width, height] = analysis.resolution.split("x").map(Number);
  const size = bytes === undefined ? sizeOf(analysis.file_size) : sizeText(bytes);
  const audio = analysis.has_audio ? `audio: ${analysis.audio_codec}` : "no audio";
  const frames = `${analysis.total_frames} frame${analysis.total_frames === 1 ? "" : "s"}`;
  const lines = [`${width} × ${height}`, `${analysis.fps} fps`, frames, analysis.duration, audio, analysis.codec, size, analysis.bitrate];
  return { facts: { width, height, fps: analysis.fps, frames: analysis.total_frames, lines }, warnings: warnings ?? [] };
}

/** The name of a file at an address, which a person may have entered. @param {string} path */
function nameOf(path) {
  const name = path.split(/[?#]/)[0].split("/").pop() || path;
  try {
    return decodeURIComponent(name);
  } catch {
    return name; // a percent sign of its own
  }
}

/**
 * The part of the page where the clip is chosen and shown.
 *
 * @param {import("./api.js").Api} api
 * @param {{onSource: (source: Source | null) => void, onSample: () => void, onTime: () => void}} listeners
 */
export function sourceView(api, { onSource, onSample, onTime }) {
  const file = h("input", { type: "file", id: "file", class: "visually-hidden", accept: "video/*,image/*,.mkv,.ts,.mov,.avi,.wmv,.flv,.mpg", onchange: chosen });
  const address = h("input", { type: "text", inputmode: "url", id: "address", placeholder: "https://…", autocomplete: "off", spellcheck: "false", required: true });
  const drop = h(
    "div",
    { class: "drop" },
    icon("upload"),
    h("p", {}, h("label", { for: "file", class: "button primary" }, "Choose a clip"), file, h("span", { class: "muted" }, " or drop it here")),
    h("button", { type: "button", class: "quiet", onclick: useSample, title: SAMPLE.credit }, "Use the sample clip"),
  );
  const open = h("form", { class: "address", onsubmit: openAddress }, h("label", { for: "address" }, "Or the address of a clip"), h("div", { class: "inline" }, address, h("button", {}, "Load")));
  const chooser = h("div", { class: "chooser" }, drop, open);
  const shownClip = h("div", { class: "clip", hidden: true });
  const bar = h("progress", { max: 1, "aria-label": "Upload" });
  const status = h("span", { role: "status" });
  const stop = h("button", { type: "button", class: "quiet", onclick: clear }, "Cancel");
  const another = h("button", { type: "button", class: "quiet", onclick: clear }, "Another clip");
  const work = h("div", { class: "upload", hidden: true }, bar, h("div", { class: "row" }, status, stop));
  const error = h("p", { class: "error", role: "alert" });
  const element = h("div", {}, chooser, shownClip, work, error);
  /** @type {ReturnType<typeof player> | null} */
  let shown = null;
  /** @type {Source | null} */
  let opened = null;
  /** @type {string | null} */
  let shownUrl = null;
  const loads = latestOnly();

  // Anywhere on the page: a browser leaves the page for a file that is dropped beside its place.
  followDrops({ isWanted: () => element.getClientRects().length > 0, mark: (isOver) => element.classList.toggle("dropping", isOver), take: (dropped) => openFile(dropped) });

  function chosen() {
    const given = file.files?.[0];
    if (given) {
      openFile(given);
    }
    file.value = "";
  }

  async function useSample() {
    onSample();
    await attempt(async (signal) => {
      say("Loading the sample");
      const response = await api.request("GET", SAMPLE.path, undefined, { signal });
      await uploaded(new File([await response.blob()], "sample.mp4", { type: "video/mp4" }), signal);
    });
  }

  /** @param {Event} event */
  async function openAddress(event) {
    event.preventDefault();
    await openPath(address.value.trim());
  }

  /** @param {File} given */
  const openFile = (given) => attempt((signal) => uploaded(given, signal));

  /**
   * Open a file of the server, or one that the server fetches.
   *
   * @param {string} path
   * @param {string | null} [link] where this browser finds it
   */
  const openPath = (path, link = null) =>
    attempt(async (signal) => {
      const name = nameOf(path);
      const blob = link === null && path.startsWith("/outputs/") ? await bytesOf(api, path, signal) : null;
      const url = blob ? URL.createObjectURL(blob) : link;
      const mime = /\.(gif|png|jpe?g|webp)$/i.exec(name) ? "image/*" : "video/*";
      await analyzed({ path, name, url, blob, link, mime, file: null, bytes: undefined, facts: null, warnings: [] }, signal);
    });

  /** @param {File} given @param {AbortSignal} signal */
  async function uploaded(given, signal) {
    const url = URL.createObjectURL(given); // so that it need not be fetched back
    show({ url, mime: given.type, name: given.name });
    say(`Uploading ${given.name}`);
    const onProgress = (/** @type {number} */ fraction) => (bar.value = fraction);
    const { video_url: path, url: link } = await api.upload(given, { onProgress, signal });
    const own = { file: given.name, bytes: given.size };
    await analyzed({ path, name: given.name, url, blob: given, link, mime: given.type, ...own, facts: null, warnings: [] }, signal);
  }

  /** @param {Source} source @param {AbortSignal} signal */
  async function analyzed(source, signal) {
    if (shown === null) {
      show(source);
    }
    say("Analyzing");
    try {
      Object.assign(source, await analyze(api, source, signal));
    } catch (refused) {
      if (!(refused instanceof ApiError) || !source.mime.startsWith("image/") || refused.status !== 400) {
        throw refused; // an image that is no video can still be described
      }
    }
    present(source);
  }

  /** Show a source that is known already, such as that of a job. @param {Source} source */
  function reopen(source) {
    clear();
    loads.begin();
    if (source.blob) {
      source.url ??= URL.createObjectURL(source.blob);
    }
    present(source);
  }

  /** @param {Source} source */
  function present(source) {
    const hadFocus = hasFocus(element);
    work.hidden = true;
    if (shown === null) {
      show(source);
    }
    const warnings = source.warnings.map((line) => h("li", {}, line));
    shownClip.append(
      h("div", { class: "row" }, h("strong", { class: "name" }, source.name), another),
      h("ul", { class: "facts", "aria-label": "About the clip" }, ...(source.facts?.lines ?? []).map((line) => h("li", {}, line))),
      ...(warnings.length > 0 ? [h("ul", { class: "warnings", "aria-label": "Warnings" }, ...warnings)] : []),
    );
    if (source.facts) {
      shown?.setLength(source.facts);
    }
    keepFocus(hadFocus, another);
    opened = source;
    onSource(source);
    showPoster();
  }

  /** Show a frame of a clip that this browser cannot play, once the server knows the clip. */
  async function showPoster() {
    if (!opened?.facts || !shown?.needsPoster()) {
      return;
    }
    const signal = loads.present();
    const image = await posterOf(api, opened);
    if (image && !signal.aborted) {
      setPoster(image);
    }
  }

  /** @param {string} image */
  function setPoster(image) {
    if (shown?.needsPoster()) {
      shown.setPoster(image);
    }
  }

  /** @param {{url: string | null, mime: string, name: string}} source */
  function show(source) {
    shown?.pause();
    shownUrl = source.url;
    shown = player(source, { onTime, onUnplayable: showPoster, renew: async () => opened && opened.path.startsWith("/outputs/") ? renewed(api, opened) : null });
    shownClip.replaceChildren(shown.element);
    shownClip.hidden = false;
    chooser.hidden = true;
  }

  /** @param {string} what */
  function say(what) {
    status.textContent = `${what} …`;
    bar.removeAttribute("value");
    work.hidden = false;
    keepFocus(hasFocus(element), stop);
  }

  /** @param {(signal: AbortSignal) => Promise<void>} load */
  async function attempt(load) {
    clear();
    const signal = loads.begin();
    try {
      await load(signal);
    } catch (failure) {
      if (!signal.aborted) {
        clear();
        error.textContent = failure instanceof Error ? failure.message : String(failure);
      }
    }
  }

  /** Let the browser drop the file; a source that comes back gets another address of it. */
  function forgetUrls() {
    for (const url of new Set([shownUrl, opened?.url])) {
      if (url?.startsWith("blob:")) {
        URL.revokeObjectURL(url);
      }
    }
    if (opened?.blob) {
      opened.url = null;
    }
    shownUrl = null;
  }

  function clear() {
    const hadFocus = hasFocus(element);
    loads.end();
    shown?.pause();
    forgetUrls();
    shown = opened = null;
    shownClip.replaceChildren();
    shownClip.hidden = true;
    work.hidden = true;
    chooser.hidden = false;
    error.textContent = "";
    keepFocus(hadFocus, file);
    onSource(null);
  }

  return {
    element,
    openPath,
    reopen,
    /** The moment of the playhead in seconds. */
    time: () => shown?.time() ?? 0,
    pause: () => shown?.pause(),
    /** Show a frame of a clip that this browser cannot play. @param {string} image */
    setPoster,
    /** Give the focus to the clip's part, if nothing else has it. */
    focus: () => keepFocus(true, opened ? another : file),
  };
}
