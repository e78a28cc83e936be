// @ts-check
// <frames-studio>: folders of frames. Frames are looked at, deleted and replaced, and become a video again.

import { ApiError } from "./api.js";
import { h } from "./dom.js";
import { folderView } from "./frames-folder.js";
import { extractForm, reassembleForm } from "./frames-forms.js";
import { framePath, sentence } from "./frames-work.js";
import { latestOnly } from "./latest.js";

/** @typedef {import("./api.js").Api} Api */

const RETRY_MS = 3000; // while the server does not respond

/**
 * The frames studio. It lists the folders itself, once it has an `api` and is in the page.
 *
 * Events: `result` with the answer of `POST /frames/reassemble` as its `detail`, and `busy` with whether it works.
 */
export class FramesStudio extends HTMLElement {
  /** @type {Api | null} */
  #api = null;
  /** @type {{url: string, name: string} | null} */
  #source = null;
  #folder = "";
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #retry;
  #isBuilt = false;
  #opened = latestOnly();
  #lists = latestOnly();
  #list = h("ul", { class: "frames-list" });
  #none = h("p", { class: "frames-muted", hidden: true }, "No frames yet. Extract the frames of a clip to see them here.");
  #error = h("p", { class: "frames-error", role: "alert" });
  #sourceName = h("p", { class: "frames-muted" });
  #title = h("h3", { class: "frames-title" });
  #view = folderView(() => this.api, { onBusy: (isBusy) => this.#tellBusy(isBusy), onChange: (count, source) => this.#changed(count, source) });
  #extract = extractForm(() => ({ api: this.api, source: this.#source?.url ?? "" }), {
    onDone: ({ folder_name: folder }) => this.open(folder),
    onBusy: (isBusy) => this.#tellBusy(isBusy),
  });
  #reassemble = reassembleForm(() => ({ api: this.api, folder: this.#folder }), {
    onDone: (answer) => this.#done(answer),
    onBusy: (isBusy) => this.#tellBusy(isBusy),
  });
  #extraction = h("section", { class: "frames-panel", hidden: true }, h("h3", {}, "Extract frames"), this.#sourceName, this.#extract.element);
  #making = h("section", { class: "frames-panel" }, h("h3", {}, "Make a video"), this.#reassemble.element);
  #deleteFolder = h("button", { type: "button", class: "danger", onclick: () => this.#askToDelete() }, "Delete the folder …");
  #question = h("p");
  #confirmation = h(
    "dialog",
    { class: "frames-dialog", "aria-label": "Delete the folder", onclose: () => this.#confirmation.returnValue === "delete" && this.#delete() },
    this.#question,
    h("form", { method: "dialog", class: "frames-actions" }, h("button", { value: "delete", class: "danger" }, "Delete"), h("button", { value: "" }, "Keep")),
  );
  #open = h(
    "section",
    { class: "frames-open", hidden: true },
    h("div", { class: "frames-row" }, this.#title, this.#deleteFolder),
    this.#view.element,
    this.#making,
    this.#confirmation,
  );

  get api() {
    if (this.#api === null) {
      throw new Error("<frames-studio> has no api.");
    }
    return this.#api;
  }

  set api(api) {
    this.#api = api;
    if (this.isConnected) {
      this.refresh();
    }
  }

  /** The clip whose frames can be extracted, as the API gets it, and its name. */
  get source() {
    return this.#source;
  }

  set source(source) {
    this.#source = source;
    this.#extraction.hidden = source === null;
    this.#sourceName.textContent = source?.name ?? "";
  }

  connectedCallback() {
    if (!this.#isBuilt) {
      this.#isBuilt = true;
      const folders = h("section", { class: "frames-panel" }, h("h3", {}, "Folders"), this.#list, this.#none, this.#error);
      this.append(h("div", { class: "frames-side" }, folders, this.#extraction), this.#open);
    }
    if (this.#api) {
      this.refresh();
    }
  }

  /** List the folders again. */
  async refresh() {
    const signal = this.#lists.begin();
    clearTimeout(this.#retry);
    try {
      const { folders } = await this.api.json("GET", "/frames/folders", undefined, { signal });
      this.#error.textContent = "";
      this.#none.hidden = folders.length > 0;
      this.#list.replaceChildren(...folders.map((/** @type {string} */ name) => this.#item(name)));
    } catch (failed) {
      if (!signal.aborted) {
        this.#unlisted(failed);
      }
    }
  }

  /** Say why the folders could not be listed; while the server does not respond, it is asked again. @param {unknown} failed */
  #unlisted(failed) {
    this.#none.hidden = true; // it is not known
    this.#error.textContent = sentence(failed);
    if (failed instanceof ApiError && failed.status === 0) {
      this.#retry = setTimeout(() => this.isConnected && this.refresh(), RETRY_MS);
    }
  }

  /** Show a folder. @param {string} folder */
  async open(folder) {
    this.#opened.begin();
    this.#folder = folder;
    this.#title.textContent = folder;
    this.#open.hidden = false;
    this.#reassemble.suggest(null);
    await Promise.all([this.#view.open(folder), this.refresh()]);
  }

  /** @param {string} name */
  #item(name) {
    const isOpen = name === this.#folder;
    return h("li", {}, h("button", { type: "button", "aria-current": isOpen ? "true" : null, onclick: () => this.open(name) }, name));
  }

  #suggested = "";

  /** @param {number} count @param {import("./frames-folder.js").Source | null} source */
  #changed(count, source) {
    this.#making.hidden = count === 0;
    if (this.#suggested !== this.#folder) {
      this.#suggested = this.#folder;
      this.#reassemble.suggest(source);
    }
  }

  #askToDelete() {
    this.#question.textContent = `Delete the folder ${this.#folder} with all its frames? This cannot be undone.`;
    this.#confirmation.returnValue = "";
    this.#confirmation.showModal();
  }

  async #delete() {
    const signal = this.#opened.present();
    try {
      await this.api.json("DELETE", framePath(this.#folder));
      if (!signal.aborted) {
        this.#folder = this.#suggested = "";
        this.#open.hidden = true;
      }
      await this.refresh();
    } catch (failed) {
      this.#error.textContent = sentence(failed);
    }
  }

  /** @param {any} answer */
  #done(answer) {
    this.#reassemble.status.textContent = [`${answer.output_filename} is ready.`, ...(answer.warnings ?? [])].join(" ");
    this.dispatchEvent(new CustomEvent("result", { detail: answer }));
  }

  /** @param {boolean} isBusy */
  #tellBusy(isBusy) {
    this.dispatchEvent(new CustomEvent("busy", { detail: isBusy }));
  }
}

customElements.define("frames-studio", FramesStudio);
