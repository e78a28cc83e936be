// @ts-check
// <compare-view>: two images or videos at the same displayed size, under one divider and one clock.

import { loadClip } from "./compare-clip.js";
import { viewControls } from "./compare-controls.js";
import { facts } from "./compare-facts.js";
import { followKeys, keyHelp } from "./compare-keys.js";
import { loupeOf } from "./compare-loupe.js";
import { playbackOf } from "./compare-playback.js";
import { followPointers } from "./compare-pointer.js";
import { stageOf } from "./compare-stage.js";
import { zoomOf } from "./compare-zoom.js";
import { h } from "./dom.js";
import { latestOnly } from "./latest.js";

/** @typedef {import("./compare-clip.js").Side} Side */
/** @typedef {import("./compare-controls.js").Mode} Mode */
/** @typedef {import("./compare-timeline.js").Timing} Timing */
/** @typedef {{x: number, y: number}} Point */

export class CompareView extends HTMLElement {
  static observedAttributes = ["position"];

  #position = 50;
  /** @type {Mode} */
  #mode = "divider";
  #isHeld = false;
  #isHelp = false;
  #isLoupeKey = false;
  #loads = latestOnly();
  /** @type {(Side | null)[]} */
  #sides = [];
  /** @type {Point | null} */
  #pointer = null;
  #listening = new AbortController();

  #stage = stageOf();
  #zoom = zoomOf(() => this.#updateView());
  #loupe = loupeOf(() => this.#underLoupe());
  #help = keyHelp();
  #playback = playbackOf();
  #facts = h("dl", { class: "compare-facts" });
  #sizes = new ResizeObserver(() => this.#stage.fit(this.#zoom));
  /** What buttons as well as keys do. */
  #actions = {
    zoom: (/** @type {number} */ steps) => this.#zoom.steps(steps),
    fit: () => this.#zoom.to(1),
    toPixels: () => this.#zoom.to(this.#zoom.atPixels()),
    hold: (/** @type {boolean} */ isHeld) => this.#hold(isHeld),
    toggleFullscreen: () => this.#toggleFullscreen(),
    toggleHelp: () => this.#toggleHelp(),
  };
  #view = viewControls({
    ...this.#actions,
    setMode: (mode) => this.#setMode(mode),
    toggleLoupe: () => this.#turnLoupe(!this.#loupe.isOn()),
  });

  connectedCallback() {
    if (!this.firstChild) {
      this.#stage.element.append(this.#loupe.element);
      const controls = h("div", { class: "compare-controls" }, this.#playback.element, this.#view.element);
      this.append(this.#stage.element, controls, this.#playback.timingRow, this.#facts, this.#help);
      this.hidden = this.#sides.length === 0;
      this.role = "group";
      this.ariaLabel = "Comparison of before and after";
      this.#updateView();
    }
    this.#listening = new AbortController();
    this.#sizes.observe(this.#stage.element);
    this.#listen(this.#listening.signal);
  }

  disconnectedCallback() {
    this.#listening.abort();
    this.#sizes.disconnect();
    this.#playback.pause();
    this.#loupe.turn(false);
  }

  /** @param {string} _name @param {string | null} _old @param {string | null} value */
  attributeChangedCallback(_name, _old, value) {
    const number = Number(value ?? 50);
    if (Number.isFinite(number)) {
      this.#position = Math.min(100, Math.max(0, number));
      this.#divide();
    }
  }

  /** Where the divider is: the share of the width that shows the first side, 0 to 100. */
  get position() {
    return this.#position;
  }

  set position(value) {
    this.setAttribute("position", String(Math.min(100, Math.max(0, value))));
  }

  /**
   * Show two sides, or the second one alone. Ends when they are there; until then, what was shown before stays. A side
   * that the browser cannot show has a sentence in its place.
   *
   * @param {Side | null} before
   * @param {Side} after
   * @param {Timing} [timing] what is shown together if one is longer
   */
  async show(before, after, timing = "moment") {
    const load = this.#loads.begin();
    const sides = [before, after];
    if (this.hidden) {
      this.#sides = sides;
      this.hidden = false;
      this.#stage.expect(sides);
      this.#stage.fit(this.#zoom);
    }
    this.#stage.element.setAttribute("aria-busy", "true");
    const loaded = await Promise.allSettled(sides.map((side, index) => side && loadClip(side, (problem) => this.#stage.setProblem(index, problem))));
    const clips = loaded.map((each) => (each.status === "fulfilled" ? each.value : null));
    if (load.aborted) {
      clips.forEach((clip) => clip?.close());
      return;
    }
    const problems = loaded.map((each) => (each.status === "rejected" ? each.reason.message : (each.value?.problem ?? "")));
    const old = this.#stage.clips();
    this.#sides = sides;
    this.#stage.show(sides, clips, problems);
    this.#stage.element.removeAttribute("aria-busy");
    this.#updateView();
    this.#stage.fit(this.#zoom);
    this.#describe();
    await this.#playback.start(clips, timing);
    old.forEach((clip) => clip?.close());
  }

  /** What is known of a side only later, such as its rate. @param {Partial<Side>[]} details of before and after */
  describe(details) {
    this.#sides = this.#sides.map((side, index) => side && { ...side, ...details[index] });
    this.#playback.describe(details);
    this.#describe();
  }

  /** Show nothing. */
  clear() {
    this.#loads.end();
    this.#playback.stop();
    this.#stage.clips().forEach((clip) => clip?.close());
    this.#sides = [];
    this.#turnLoupe(false);
    this.#zoom.to(1);
    this.#stage.expect([]);
    this.#facts.replaceChildren();
    this.hidden = true;
  }

  /** @param {AbortSignal} signal */
  #listen(signal) {
    followPointers(
      this.#stage.element,
      {
        isOnDivider: (event) => this.#stage.divider.contains(/** @type {Node} */ (event.target)),
        drag: () => this.#dragAction(),
        moveDivider: (clientX) => this.#moveDividerTo(clientX),
        pan: (x, y) => this.#zoom.pan(x, y),
        zoom: (factor, client) => this.#zoomAt(factor, client),
        hold: (isHeld) => this.#hold(isHeld),
        point: (client) => (this.#pointer = client ?? (this.#loupe.isOn() ? this.#pointer : null)),
      },
      signal,
    );
    followKeys(
      this,
      this.#stage.divider,
      {
        togglePlay: () => this.#playback.toggle(),
        ...this.#actions,
        move: (count) => this.#playback.move(count),
        pan: (x, y) => this.#zoom.pan(x, y),
        loupe: (isHeld) => this.#holdLoupe(isHeld),
        toggleSide: () => this.#setMode(this.#mode === "side" ? "divider" : "side"),
        toggleAudio: () => this.#playback.toggleAudio(),
        moveDivider: (move) => (this.position = move(this.position)),
      },
      signal,
    );
  }

  #describe() {
    const clips = this.#stage.clips();
    const columns = this.#sides.map(
      (side, index) =>
        side && h("div", {}, h("dt", {}, side.label), h("dd", {}, ...facts(side, clips[index]).flatMap((fact, place) => [place > 0 && " · ", h("span", {}, fact)]))),
    );
    this.#facts.replaceChildren(...columns.filter((column) => column !== null));
  }

  #divide() {
    const mode = this.#shownMode();
    const shown = mode === "divider" ? this.#position : mode === "side" ? 50 : 0;
    this.#stage.divide(this.#position, this.#isHeld && (mode === "divider" || mode === "flip") ? 100 : shown);
  }

  /** A side alone has nothing to be compared with. @returns {Mode} */
  #shownMode() {
    return this.#sides[0] || this.#sides.length === 0 ? this.#mode : "single";
  }

  #updateView() {
    this.#stage.place(this.#zoom);
    const [scale, pixelScale] = [this.#zoom.scale(), this.#zoom.atPixels()];
    const { dataset, classList } = this.#stage.element;
    dataset.mode = this.#shownMode();
    classList.toggle("is-held", this.#isHeld);
    classList.toggle("is-zoomed", scale > 1);
    classList.toggle("is-loupe", this.#loupe.isOn());
    this.#view.update({ mode: this.#shownMode(), isHeld: this.#isHeld, isLoupe: this.#loupe.isOn(), scale, pixelScale, isHelp: this.#isHelp });
    this.#divide();
  }

  #toggleHelp() {
    this.#isHelp = !this.#isHelp;
    this.#help.hidden = !this.#isHelp;
    this.#updateView();
  }

  #toggleFullscreen() {
    document.fullscreenElement === this ? document.exitFullscreen() : this.requestFullscreen();
  }

  /** @param {Mode} mode */
  #setMode(mode) {
    this.#mode = mode;
    this.#updateView();
    this.#stage.fit(this.#zoom);
  }

  /** @param {boolean} isHeld whether the first side is shown whole */
  #hold(isHeld) {
    if (this.#isHeld !== isHeld) {
      this.#isHeld = isHeld;
      this.#updateView();
    }
  }

  /** @param {boolean} isHeld */
  #holdLoupe(isHeld) {
    if (isHeld !== this.#isLoupeKey) {
      this.#isLoupeKey = isHeld;
      this.#turnLoupe(isHeld);
    }
  }

  /** @param {boolean} isOn */
  #turnLoupe(isOn) {
    this.#loupe.turn(isOn);
    this.#updateView();
  }

  /** What the loupe looks at: the place under the pointer, or else the middle of the stage. */
  #underLoupe() {
    const stage = this.#stage.element.getBoundingClientRect();
    const client = this.#pointer ?? { x: stage.left + stage.width / 2, y: stage.top + stage.height / 2 };
    const { width, height } = this.#stage.box();
    const [at, offset, scale] = [this.#stage.pointAt(client), this.#zoom.offset(), this.#zoom.scale()];
    return {
      clips: this.#stage.clips(),
      stage,
      place: { x: client.x - stage.left, y: client.y - stage.top },
      share: { x: (at.x - offset.x) / (width * scale), y: (at.y - offset.y) / (height * scale) },
      width: width * scale,
    };
  }

  #dragAction() {
    if (this.#loupe.isOn()) {
      return "loupe";
    }
    if (this.#zoom.scale() > 1) {
      return "pan";
    }
    return /** @type {const} */ ({ divider: "divider", flip: "hold", side: null, single: null })[this.#shownMode()];
  }

  /** @param {number} clientX */
  #moveDividerTo(clientX) {
    const { left, width } = this.#stage.element.getBoundingClientRect();
    this.position = ((clientX - left) / width) * 100;
    this.#stage.divider.focus({ preventScroll: true });
  }

  /** @param {number} factor @param {Point} client */
  #zoomAt(factor, client) {
    const scale = this.#zoom.scale();
    this.#zoom.by(factor, this.#stage.pointAt(client));
    return this.#zoom.scale() !== scale || scale > 1;
  }
}

customElements.define("compare-view", CompareView);
