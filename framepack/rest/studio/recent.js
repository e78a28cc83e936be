// @ts-check
// The newest jobs of the server, to reopen.

import { h } from "./dom.js";
import { icon } from "./icons.js";
import { latestOnly } from "./latest.js";
import { titleOf } from "./schema.js";

const MOST = 12;
const LISTED_MS = 10000; // between two lists
const WIDTH = 320; // of a thumbnail, in pixels
const STATES = /** @type {Record<string, string>} */ ({
  queued: "waiting",
  running: "running",
  completed: "done",
  failed: "failed",
  cancelled: "stopped",
});

/** How long ago, for people. @param {string} time */
function ago(time) {
  const minutes = Math.max(0, Math.round((Date.now() - Date.parse(time)) / 60000));
  return minutes < 1 ? "just now" : minutes < 60 ? `${minutes} min ago` : minutes < 1440 ? `${Math.round(minutes / 60)} h ago` : `${Math.round(minutes / 1440)} d ago`;
}

/**
 * A frame of a video, drawn: a video that is shown may keep one of the six connections that a browser has to a server.
 *
 * @param {string} src
 * @returns {Promise<HTMLCanvasElement>}
 */
function frameOf(src) {
  const video = h("video", { preload: "auto", muted: true, src: `${src}#t=0.1` });
  return new Promise((resolve, reject) => {
    video.addEventListener("error", () => reject(new Error("This browser cannot show it.")));
    video.addEventListener("loadeddata", () => {
      const { videoWidth, videoHeight } = video;
      const canvas = h("canvas", { width: WIDTH, height: Math.round((WIDTH * videoHeight) / videoWidth) });
      canvas.getContext("2d")?.drawImage(video, 0, 0, canvas.width, canvas.height);
      resolve(canvas);
    });
  }).finally(() => {
    video.removeAttribute("src");
    video.load();
  });
}

/**
 * The list of recent jobs.
 *
 * @param {import("./api.js").Api} api
 * @param {{operations: Set<string>, onOpen: (jobId: string) => void}} options
 */
export function recentView(api, { operations, onOpen }) {
  const list = h("ul", { class: "recent" });
  const none = h("p", { class: "muted" }, "None so far.");
  const element = h("div", {}, list, none);
  /** @type {Map<string, {state: string, element: HTMLLIElement}>} */
  let items = new Map();
  let filling = Promise.resolve();
  const lists = latestOnly();

  async function refresh() {
    const signal = lists.begin();
    const { jobs } = await api.json("GET", "/jobs?limit=100", undefined, { signal }).catch(() => ({ jobs: null }));
    if (signal.aborted || !jobs) {
      return; // the next time
    }
    /** @type {any[]} */
    const newest = jobs.filter((/** @type {any} */ each) => operations.has(each.operation)).slice(0, MOST);
    const old = items;
    items = new Map(newest.map((job) => [job.job_id, sameOr(old.get(job.job_id), job)]));
    list.replaceChildren(...[...items.values()].map((each) => each.element));
    none.hidden = newest.length > 0;
  }

  /** List the jobs now and again; the next time is counted from when a list is there. */
  async function keepListing() {
    if (document.visibilityState === "visible") {
      await refresh();
    }
    setTimeout(keepListing, LISTED_MS);
  }

  /**
   * @param {{state: string, element: HTMLLIElement} | undefined} item as it was shown
   * @param {any} job
   * @returns {{state: string, element: HTMLLIElement}}
   */
  function sameOr(item, job) {
    const state = STATES[job.state] ?? job.state;
    if (item && item.state === job.state) {
      const time = item.element.querySelector("time");
      if (time) {
        time.textContent = ago(job.created);
      }
      return item;
    }
    const thumbnail = h("span", { class: "thumbnail" }, icon(job.operation));
    const about = h("span", { class: "about" }, h("strong", {}, titleOf(job.operation)), h("span", { class: `state ${job.state}` }, state), h("time", { datetime: job.created }, ago(job.created)));
    const element = h("li", {}, h("button", { type: "button", onclick: () => onOpen(job.job_id) }, thumbnail, about));
    if (job.state === "completed") {
      filling = filling.then(() => fill(thumbnail, job.job_id)); // one after the other
    }
    return { state: job.state, element };
  }

  /** @param {HTMLElement} thumbnail @param {string} id */
  async function fill(thumbnail, id) {
    const view = await api.json("GET", `/jobs/${id}`).catch(() => null);
    const link = view?.result?.output_url;
    if (typeof link !== "string") {
      return;
    }
    const src = String(api.url(link));
    const isImage = /\.(gif|png|jpe?g)(\?|$)/.test(src);
    const image = isImage ? h("img", { src, alt: "", loading: "lazy" }) : await frameOf(src).catch(() => icon("clip"));
    thumbnail.replaceChildren(image);
  }

  return { element, refresh, keepListing };
}
