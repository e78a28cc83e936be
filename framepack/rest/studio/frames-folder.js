// @ts-check
// One folder of the frames studio: its thumbnails, and what can be done with them.

import { h } from "./dom.js";
import { MAX_KEPT, deleteFrames, keptFrames, putBack, replaceFrames, storedImage } from "./frames-edit.js";
import { frameGrid } from "./frames-grid.js";
import { frameViewer } from "./frames-viewer.js";
import { counted, described, framePath, numberOf, sentence } from "./frames-work.js";
import { latestOnly } from "./latest.js";
import { whyNoFile } from "./links.js";

/** @typedef {import("./api.js").Api} Api */
/** @typedef {import("./frames-grid.js").Thumbnail} Thumbnail */
/** @typedef {{name: string, fps: string, extraction_rate: number, width: number, height: number, has_audio: boolean}} Source */
/** @typedef {{text: string, kept: import("./frames-edit.js").KeptFrame[], images?: {filename: string, url: string}[]}} Change what is said of it, what can be put back, and new images */

const IMAGES = "image/png,image/jpeg,image/webp,image/bmp,image/gif";
const SIZES = [96, 132, 196, 300];
const RENEWED_MS = 60_000; // links that do not work so soon after they were made will not work when made again

/**
 * @param {() => Api} api
 * @param {{onBusy: (isBusy: boolean) => void, onChange: (frames: number, source: Source | null) => void}} listeners
 *   onChange: with the number of frames, and what is known of their clip
 */
export function folderView(api, { onBusy, onChange }) {
  const facts = h("p", { class: "frames-muted" });
  const count = h("span", { class: "frames-count", role: "status" });
  const status = h("span", { role: "status" });
  const undoButton = h("button", { type: "button", hidden: true, onclick: undo }, "Undo");
  const error = h("p", { class: "frames-error", role: "alert" });
  const picker = h("input", { type: "file", accept: IMAGES, multiple: true, hidden: true, onchange: picked });
  const deleteButton = h("button", { type: "button", class: "danger", onclick: remove }, "Delete");
  const replaceButton = h("button", { type: "button", onclick: () => picker.click() }, "Replace …");
  const viewButton = h("button", { type: "button", onclick: () => view(grid.selection.indexes[0]) }, "View");
  const first = h("input", { type: "number", min: 0, "aria-label": "First frame" });
  const last = h("input", { type: "number", min: 0, "aria-label": "Last frame" });
  const size = h("input", { type: "range", min: 0, max: SIZES.length - 1, value: 1, oninput: () => grid.resize(SIZES[Number(size.value)]) });
  const grid = frameGrid({ onSelect: selected, onDelete: remove, onOpen: view, onDrop: (index, file) => replace([index], [file]), onBroken: renew });
  const viewer = frameViewer({ onMove: viewed, onBroken: renew });
  const question = h("p");
  const confirmation = h(
    "dialog",
    { class: "frames-dialog", "aria-label": "Delete frames" },
    question,
    h("form", { method: "dialog", class: "frames-actions" }, h("button", { value: "delete", class: "danger" }, "Delete"), h("button", { value: "" }, "Keep")),
  );
  const element = h(
    "div",
    { class: "frames-folder" },
    facts,
    h(
      "div",
      { class: "frames-toolbar" },
      h("form", { class: "frames-range", onsubmit: selectRange }, h("span", {}, "Frames"), first, h("span", {}, "to"), last, h("button", {}, "Select")),
      h("label", { class: "frames-size frames-muted" }, "Size ", size),
    ),
    grid.element,
    h("div", { class: "frames-toolbar frames-selected" }, count, viewButton, replaceButton, deleteButton),
    h("p", { class: "frames-status" }, status, " ", undoButton),
    error,
    picker,
    viewer.element,
    confirmation,
  );
  let folder = "";
  const opened = latestOnly();
  /** @type {Thumbnail[]} */
  let thumbnails = [];
  let ratio = 9 / 16;
  let isBusy = false;
  /** @type {import("./frames-edit.js").KeptFrame[]} */
  let kept = [];
  /** Images of this tab in place of those that were changed: the browser may still have the old ones. @type {Map<string, string>} */
  let changed = new Map();
  let renewedAt = -RENEWED_MS;

  /** @param {number} index */
  function viewed(index) {
    grid.selection.only(index);
    grid.reveal();
    grid.changed();
  }

  /** Get new links in place of those that have expired. @param {string} broken one of them, perhaps */
  async function renew(broken) {
    const signal = opened.present();
    const isDue = () => !signal.aborted && performance.now() - renewedAt >= RENEWED_MS && thumbnails.some(({ url }) => url === broken);
    if (isDue() && (await whyNoFile(broken)) === "expired" && isDue()) {
      renewedAt = performance.now();
      await load({ isAnew: true }).catch((failed) => signal.aborted || (error.textContent = sentence(failed)));
      viewer.renew(thumbnails);
    }
  }

  function selected() {
    const { size: chosen } = grid.selection;
    count.textContent = chosen === 0 ? "No frame selected" : `${counted(chosen)} selected`;
    replaceButton.disabled = deleteButton.disabled = isBusy || chosen === 0;
    viewButton.disabled = chosen !== 1;
  }

  /** @param {boolean} busy */
  function setBusy(busy) {
    isBusy = busy;
    undoButton.disabled = busy;
    grid.element.setAttribute("aria-busy", String(busy));
    selected();
    onBusy(busy);
  }

  /** @param {SubmitEvent} event */
  function selectRange(event) {
    event.preventDefault();
    const [from, to] = [Number(first.value), Number(last.value)];
    const found = thumbnails.flatMap(({ filename }, index) => (from <= numberOf(filename, index) && numberOf(filename, index) <= to ? [index] : []));
    if (found.length > 0) {
      grid.selection.only(found[0]);
      grid.selection.choose(found);
      grid.reveal();
    } else {
      grid.selection.clear();
    }
    grid.changed();
  }

  /**
   * List the frames. Those that are known stay selected, and keep their links, so that no image is loaded twice.
   *
   * @param {{active?: number, isAnew?: boolean}} how active: index; isAnew: whether they get new links
   */
  async function load({ active = grid.selection.active, isAnew = false } = {}) {
    const signal = opened.present();
    const answer = await api().json("GET", `${framePath(folder)}?with_urls=true`);
    if (signal.aborted) {
      return;
    }
    const chosen = new Set(grid.selection.indexes.map((index) => thumbnails[index]?.filename));
    const known = new Map(isAnew ? [] : thumbnails.map(({ filename, url }) => [filename, url]));
    /** @type {Source | null} */
    const source = answer.source ?? null;
    ratio = source ? source.height / source.width : ratio;
    thumbnails = answer.frames.map((/** @type {any} */ frame) => ({
      filename: frame.filename,
      url: changed.get(frame.filename) ?? known.get(frame.filename) ?? (frame.url ? api().url(frame.url).href : null),
      label: frame.source_index === undefined || frame.source_index === null ? frame.filename : `${frame.filename}, frame ${frame.source_index} of the clip`,
    }));
    facts.textContent = described(thumbnails.length, source);
    grid.show(thumbnails, { ratio, active });
    grid.selection.choose(thumbnails.flatMap(({ filename }, index) => (chosen.has(filename) ? [index] : [])));
    grid.changed();
    onChange(thumbnails.length, source);
  }

  /**
   * Work that changes the folder; its errors are shown, and the list afterwards is what the server has. What comes
   * after another folder was opened is not said of that one, except for errors.
   *
   * @param {(say: (text: string) => void) => Promise<Change | null>} work null if it was given up
   * @returns {Promise<boolean>} whether the folder is still open
   */
  async function change(work) {
    const [signal, place] = [opened.present(), folder];
    const ifOpen = (/** @type {() => void} */ show) => signal.aborted || show();
    const fail = (/** @type {unknown} */ failed) => (error.textContent = (signal.aborted ? `${place}: ` : "") + sentence(failed));
    setBusy(true);
    error.textContent = "";
    try {
      const done = await work((text) => ifOpen(() => (status.textContent = text)));
      ifOpen(() => {
        done?.images?.forEach(({ filename, url }) => changed.set(filename, url));
        done && setKept(done.kept);
        status.textContent = done?.text ?? "";
      });
    } catch (failed) {
      ifOpen(() => (status.textContent = ""));
      fail(failed);
    }
    await load().catch((failed) => ifOpen(() => fail(failed)));
    setBusy(false);
    return !signal.aborted;
  }

  async function remove() {
    const names = grid.selection.indexes.map((index) => thumbnails[index].filename);
    if (isBusy || names.length === 0) {
      return;
    }
    const place = folder;
    grid.selection.moveTo(grid.selection.indexes[0]);
    const isOpen = await change(async (say) => {
      say("");
      const copies = await keptFrames(api(), place, names);
      if (copies === null && (place !== folder || !(await confirmed(names.length)))) {
        return null;
      }
      await deleteFrames(api(), place, names, say);
      return { text: `Deleted ${counted(names.length)}.`, kept: copies ?? [] };
    });
    isOpen && grid.element.focus();
  }

  /** Ask before what cannot be undone. @param {number} frames @returns {Promise<boolean>} */
  function confirmed(frames) {
    const reason = frames > MAX_KEPT ? "" : " They are too large to be kept here.";
    question.textContent = `Delete ${counted(frames)}? This cannot be undone.${reason}`;
    confirmation.returnValue = "";
    confirmation.showModal();
    return new Promise((resolve) => confirmation.addEventListener("close", () => resolve(confirmation.returnValue === "delete"), { once: true }));
  }

  /** @param {import("./frames-edit.js").KeptFrame[]} frames */
  function setKept(frames) {
    kept = frames;
    undoButton.hidden = frames.length === 0;
  }

  async function undo() {
    const frames = kept;
    const isOpen = await change(async () => {
      await putBack(api(), folder, frames);
      return { text: `Put back ${counted(frames.length)}.`, kept: [] };
    });
    if (!isOpen) {
      return;
    }
    const back = thumbnails.findIndex(({ filename }) => filename === frames[0]?.filename);
    if (back >= 0) {
      grid.selection.only(back);
      grid.reveal();
      grid.changed();
    }
    grid.element.focus();
  }

  function picked() {
    const files = [...(picker.files ?? [])];
    picker.value = "";
    if (files.length > 0) {
      replace(grid.selection.indexes, files);
    }
  }

  /** @param {number[]} indexes @param {File[]} files */
  async function replace(indexes, files) {
    const names = indexes.map((index) => thumbnails[index].filename);
    if (isBusy) {
      return;
    }
    const place = folder;
    await change(async (say) => {
      const warnings = await replaceFrames(api(), place, names, files, say);
      const images = await Promise.all(names.map((each) => storedImage(api(), place, each)));
      return { text: [`Replaced ${counted(names.length)}.`, ...warnings].join(" "), kept: [], images };
    });
  }

  /** @param {number | undefined} index */
  function view(index) {
    if (index !== undefined && thumbnails[index]) {
      viewer.open(thumbnails, index);
    }
  }

  return {
    element,
    /** Show a folder. @param {string} name */
    async open(name) {
      const signal = opened.begin();
      folder = name;
      thumbnails = [];
      grid.selection.clear();
      changed.forEach((url) => URL.revokeObjectURL(url));
      changed = new Map();
      setKept([]);
      status.textContent = error.textContent = facts.textContent = "";
      first.value = last.value = "";
      grid.show([], { ratio, active: 0 });
      try {
        await load({ active: 0 });
        if (!signal.aborted) {
          first.value = String(numberOf(thumbnails[0]?.filename ?? "", 0));
          last.value = String(numberOf(thumbnails.at(-1)?.filename ?? "", 0));
        }
      } catch (failed) {
        error.textContent = signal.aborted ? error.textContent : sentence(failed);
      }
    },
  };
}
