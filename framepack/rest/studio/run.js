// @ts-check
// Runs a job and follows it to its end, also across reloads of the page and restarts of the server.

import { ApiError } from "./api.js";
import { errorProse, h, shown } from "./dom.js";
import { latestOnly } from "./latest.js";

/** @typedef {"idle" | "sending" | "queued" | "running" | "completed" | "failed" | "cancelled"} State */

const ENDED = new Set(["completed", "failed", "cancelled"]);
const TRIES_MS = [500, 1000, 2000, 4000]; // between requests that the server does not answer; the last one repeats
const PLACE_MS = 2000;
const BEGINNINGS = /** @type {Partial<Record<State, string>>} */ ({ sending: "Sending", queued: "Waiting", running: "Starting" });

/** @param {number} ms */
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Random letters and digits for one request and its repetitions. Also without a secure context, as on http. */
function newIdempotencyKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A duration for people. @param {number} seconds */
function duration(seconds) {
  const whole = Math.round(seconds);
  return whole < 60 ? `${whole} s` : whole < 3600 ? `${Math.floor(whole / 60)} min ${whole % 60} s` : `${shown(whole / 3600, 1)} h`;
}

/** How far a job has come, such as `12 of 25 frames, 3 s left`. @param {Record<string, any>} progress */
function sentence(progress) {
  const done = Object.keys(progress).find((each) => each.endsWith("_done"));
  const unit = done?.replace("_done", "");
  const total = unit && progress[`${unit}_total`];
  const count = done && unit && `${progress[done]}${total ? ` of ${total}` : ""} ${unit}`;
  const left = progress.seconds_left !== undefined && `about ${duration(progress.seconds_left)} left`;
  return [count, left].filter(Boolean).join(", ");
}

/**
 * The part of the page that runs and follows one job.
 *
 * @param {import("./api.js").Api} api
 * @param {{onDone: (view: any) => void, onState: (state: State, percent: number | null) => void}} listeners
 */
export function runView(api, { onDone, onState }) {
  const bar = h("progress", { max: 100, "aria-label": "Progress of the job" });
  const percent = h("strong", { class: "percent" });
  const line = h("span", { class: "muted" });
  const spoken = h("p", { class: "visually-hidden", role: "status" });
  const error = h("p", { class: "error", role: "alert" });
  const stopButton = h("button", { type: "button", class: "danger", onclick: stop }, "Stop");
  const card = h("div", { class: "run-card", hidden: true }, h("div", { class: "row" }, percent, stopButton), bar, line);
  const element = h("div", { class: "run" }, card, error, spoken);
  /** @type {string | null} */
  let current = null;
  let placeAsked = 0;
  const jobs = latestOnly();

  /** @param {State} state @param {string} text @param {number | null} [done] percent */
  function show(state, text, done = null) {
    card.hidden = state === "idle" || ENDED.has(state);
    element.dataset.state = state;
    percent.textContent = done === null ? (BEGINNINGS[state] ?? "") : `${Math.floor(done)} %`;
    line.textContent = text;
    if (done === null) {
      bar.removeAttribute("value");
    } else {
      bar.value = done;
    }
    const quarter = done === null ? percent.textContent : `${25 * Math.floor(done / 25)} %`;
    if (spoken.textContent !== quarter) {
      spoken.textContent = quarter;
    }
    onState(state, done);
  }

  /**
   * Start a job, and return its id. It is started also if another one is shown in the meantime.
   *
   * @param {string} path of the operation
   * @param {Record<string, unknown>} body
   * @throws {ApiError}
   */
  async function start(path, body) {
    const headers = { Prefer: "respond-async", "Idempotency-Key": newIdempotencyKey() };
    const signal = jobs.begin();
    error.textContent = "";
    current = null;
    stopButton.disabled = true;
    show("sending", "");
    for (let tries = 0; ; tries++) {
      try {
        const { job_id: id } = await api.json("POST", path, body, { headers });
        return /** @type {string} */ (id);
      } catch (refused) {
        if (!(refused instanceof ApiError) || refused.status !== 0 || tries >= TRIES_MS.length) {
          if (!signal.aborted) {
            show("idle", "");
          }
          throw refused;
        }
        await pause(TRIES_MS[tries]);
      }
    }
  }

  /** Follow a job to its end. @param {string} id */
  async function follow(id) {
    const signal = jobs.begin();
    current = id;
    error.textContent = "";
    stopButton.disabled = false;
    for (let failures = 0; !signal.aborted; ) {
      try {
        const view = await api.json("GET", `/jobs/${id}`, undefined, { signal });
        failures = 0;
        const ended = ENDED.has(view.state) ? view : await watch(view, signal);
        if (ended && !signal.aborted) {
          end(ended);
          return;
        }
      } catch (refused) {
        if (signal.aborted) {
          return;
        }
        if (refused instanceof ApiError && refused.status === 404) {
          fail(`The job ${id} does not exist any more.`);
          return;
        }
        line.textContent = "The server does not respond; trying again …";
        await pause(TRIES_MS[Math.min(failures++, TRIES_MS.length - 1)]);
      }
    }
  }

  /**
   * Show the events of a job until it ends; null if they break off, or if another job is shown.
   *
   * @param {any} view
   * @param {AbortSignal} signal
   * @returns {Promise<any>}
   */
  async function watch(view, signal) {
    describe(view, signal);
    if (!view.events_url) {
      await pause(1500);
      return null;
    }
    const events = new EventSource(api.url(view.events_url));
    const place = setInterval(() => view.state === "queued" && showPlace(view, signal), PLACE_MS);
    try {
      return await new Promise((resolve) => {
        signal.addEventListener("abort", () => resolve(null));
        events.addEventListener("progress", (event) => {
          view = JSON.parse(event.data);
          describe(view, signal);
        });
        events.addEventListener("end", (event) => resolve(JSON.parse(event.data)));
        events.onerror = () => resolve(pause(500).then(() => null));
      });
    } finally {
      clearInterval(place);
      events.close();
    }
  }

  /** @param {any} view @param {AbortSignal} signal */
  function describe(view, signal) {
    const reason = view.waiting_for; // a sentence or `the store`
    const waiting = reason && (reason.endsWith(".") ? reason : `Waiting for ${reason}`);
    if (view.state === "queued") {
      show("queued", waiting ?? line.textContent ?? "");
      showPlace(view, signal);
    } else {
      show("running", waiting ?? sentence(view.progress ?? {}), view.progress?.percent ?? null);
    }
  }

  /** How many jobs come first. @param {any} view of a job that waits @param {AbortSignal} signal */
  async function showPlace(view, signal) {
    if (view.waiting_for || performance.now() - placeAsked < PLACE_MS / 2) {
      return;
    }
    placeAsked = performance.now();
    const { jobs: newest } = await api.json("GET", "/jobs?limit=100", undefined, { signal }).catch(() => ({ jobs: [] }));
    const ahead = newest.filter((/** @type {any} */ each) => !ENDED.has(each.state) && each.created < view.created).length;
    if (element.dataset.state === "queued" && !signal.aborted) {
      line.textContent = ahead === 0 ? "This job is next." : `${ahead} job${ahead === 1 ? " is" : "s are"} ahead.`;
    }
  }

  /** @param {any} view */
  function end(view) {
    current = null;
    jobs.end();
    show(view.state, "");
    spoken.textContent = { completed: "The result is ready.", cancelled: "The job was stopped." }[String(view.state)] ?? "The job has failed.";
    if (view.state === "cancelled") {
      error.textContent = view.result?.error ?? "The job was stopped.";
    }
    onDone(view);
  }

  async function stop() {
    const signal = jobs.present();
    stopButton.disabled = true;
    line.textContent = "Stopping …";
    try {
      await api.json("DELETE", `/jobs/${current}`);
    } catch (refused) {
      if (signal.aborted) {
        return; // it has ended, or another job is shown
      }
      stopButton.disabled = false;
      error.textContent = refused instanceof Error ? refused.message : String(refused);
    }
  }

  /** Show an error that belongs to no field. @param {string} message */
  function fail(message) {
    current = null;
    jobs.end();
    show("idle", "");
    error.replaceChildren(...errorProse(message));
  }

  return {
    element,
    start,
    follow,
    stop,
    fail,
    /** Show another job, or none; the present one goes on. */
    leave() {
      current = null;
      jobs.end();
      error.textContent = "";
      show("idle", "");
    },
    isBusy: () => current !== null || element.dataset.state === "sending",
  };
}
