// @ts-check
// The buttons and sliders below the stage.

import { timeText } from "./compare-facts.js";
import { icon } from "./compare-icons.js";
import { h } from "./dom.js";

/** @typedef {import("./compare-icons.js").IconName} IconName */
/** @typedef {"divider" | "flip" | "side" | "single"} Mode `single` if there is one side alone */

const SPEEDS = [0.1, 0.25, 0.5, 1, 2];
const MODES = /** @type {[Exclude<Mode, "single">, string][]} */ ([
  ["divider", "Divider"],
  ["flip", "Flip"],
  ["side", "Side by side"],
]);

/**
 * A button with an icon.
 *
 * @param {IconName} name
 * @param {string} label
 * @param {Record<string, unknown>} attributes
 * @param {string} [text] beside the icon
 */
export function button(name, label, attributes, text) {
  const shown = text ? h("span", {}, text) : null;
  return h("button", { type: "button", class: "compare-button", "aria-label": label, title: label, ...attributes }, icon(name), shown);
}

/**
 * @typedef {object} TransportActions
 * @property {() => void} toggle
 * @property {(count: number) => void} move
 * @property {(step: number) => void} seek
 * @property {(speed: number) => void} setSpeed
 * @property {() => void} toggleAudio
 * @property {() => void} toggleLoop
 */

/** @typedef {{isPlaying: boolean, step: number, steps: number, rate: number, isMuted: boolean, isLooping: boolean, hasAudio: boolean}} TransportState */

/** @param {TransportActions} actions */
export function transportControls(actions) {
  const play = button("play", "Play", { onclick: actions.toggle, "data-action": "play" });
  const audio = button("muted", "Audio of the result", { onclick: actions.toggleAudio, "data-action": "audio" });
  const loop = button("loop", "Play again and again", { onclick: actions.toggleLoop, "data-action": "loop" });
  const bar = h("input", {
    type: "range",
    min: 0,
    step: 1,
    class: "compare-seek",
    "aria-label": "Position",
    oninput: () => actions.seek(Number(bar.value)),
  });
  const time = h("output", { class: "compare-time", "aria-label": "Time and frame", "aria-live": "off" });
  const speed = h(
    "select",
    { class: "compare-select", "aria-label": "Speed", title: "Speed", onchange: () => actions.setSpeed(Number(speed.value)) },
    ...SPEEDS.map((each) => h("option", { value: each, selected: each === 1 }, `${each}×`)),
  );
  const element = h(
    "div",
    { class: "compare-transport", role: "group", "aria-label": "Playback" },
    h(
      "div",
      { class: "compare-buttons" },
      play,
      button("back", "Previous frame", { onclick: () => actions.move(-1), "data-action": "back" }),
      button("forward", "Next frame", { onclick: () => actions.move(1), "data-action": "forward" }),
    ),
    h("div", { class: "compare-bar" }, bar, time),
    h("div", { class: "compare-buttons" }, speed, audio, loop),
  );

  let wasPlaying = false;
  /** @param {TransportState} state */
  const update = ({ isPlaying, step, steps, rate, isMuted, isLooping, hasAudio }) => {
    if (isPlaying !== wasPlaying) {
      wasPlaying = isPlaying;
      relabel(play, isPlaying ? "pause" : "play", isPlaying ? "Pause" : "Play");
    }
    bar.max = String(steps - 1);
    bar.value = String(step);
    const [now, whole] = [timeText(step / rate), timeText(steps / rate)];
    bar.setAttribute("aria-valuetext", `Frame ${step + 1} of ${steps}, ${now}`);
    time.textContent = `${now} / ${whole} · frame ${step + 1} / ${steps}`;
    press(loop, isLooping);
    audio.hidden = !hasAudio;
    if (audio.getAttribute("aria-pressed") !== String(!isMuted)) {
      press(audio, !isMuted);
      audio.firstElementChild?.replaceWith(icon(isMuted ? "muted" : "audio"));
    }
  };
  return { element, update };
}

/**
 * @typedef {object} ViewActions
 * @property {(mode: Mode) => void} setMode
 * @property {(isHeld: boolean) => void} hold
 * @property {() => void} toggleLoupe
 * @property {(steps: number) => void} zoom
 * @property {() => void} fit
 * @property {() => void} toPixels
 * @property {() => void} toggleFullscreen
 * @property {() => void} toggleHelp
 */

/** @typedef {{mode: Mode, isHeld: boolean, isLoupe: boolean, scale: number, pixelScale: number, isHelp: boolean}} ViewState */

/** @param {ViewActions} actions */
export function viewControls(actions) {
  const modes = MODES.map(([mode, label]) =>
    button(mode, label, { onclick: () => actions.setMode(mode), "data-mode": mode }, label),
  );
  const modeButtons = h("div", { class: "compare-buttons compare-modes", role: "group", "aria-label": "Arrangement" }, ...modes);
  const hold = button("eye", "Before: hold to show it whole", { class: "compare-button compare-hold", "data-action": "hold" }, "Before");
  holdable(hold, actions.hold);
  const loupe = button("loupe", "Loupe", { onclick: actions.toggleLoupe, "data-action": "loupe" });
  const out = button("zoomOut", "Zoom out", { onclick: () => actions.zoom(-2), "data-action": "zoom-out" });
  const fit = h("button", { type: "button", class: "compare-button compare-scale", "data-action": "fit", onclick: actions.fit });
  const pixels = h(
    "button",
    { type: "button", class: "compare-button", "data-action": "pixels", title: "One pixel of the result is one of the screen", onclick: actions.toPixels },
    "1:1",
  );
  const help = button("help", "Keys", { onclick: actions.toggleHelp, "data-action": "help" });
  const element = h(
    "div",
    { class: "compare-view-controls", role: "group", "aria-label": "View" },
    modeButtons,
    h("div", { class: "compare-buttons" }, hold, loupe),
    h("div", { class: "compare-buttons" }, out, fit, button("zoomIn", "Zoom in", { onclick: () => actions.zoom(2), "data-action": "zoom-in" }), pixels),
    h(
      "div",
      { class: "compare-buttons" },
      button("fullscreen", "Full screen", { onclick: actions.toggleFullscreen, hidden: !document.fullscreenEnabled, "data-action": "fullscreen" }),
      help,
    ),
  );

  /** @param {ViewState} state */
  const update = ({ mode, isHeld, isLoupe, scale, pixelScale, isHelp }) => {
    modes.forEach((each) => press(each, each.dataset.mode === mode));
    modeButtons.hidden = hold.hidden = mode === "single";
    hold.disabled = mode === "side";
    press(hold, isHeld);
    press(loupe, isLoupe);
    out.disabled = scale <= 1;
    fit.textContent = scale <= 1 ? "Fit" : `${scale.toFixed(1)}×`;
    fit.setAttribute("aria-label", scale <= 1 ? "The whole frame is shown" : `Enlarged ${scale.toFixed(1)} times: show the whole frame`);
    pixels.disabled = pixelScale <= 1.001;
    help.setAttribute("aria-expanded", String(isHelp));
  };
  return { element, update };
}

/** @param {HTMLElement} element @param {(isHeld: boolean) => void} hold */
function holdable(element, hold) {
  element.addEventListener("pointerdown", (event) => {
    element.setPointerCapture(event.pointerId);
    hold(true);
  });
  for (const name of ["pointerup", "pointercancel", "lostpointercapture", "blur", "keyup"]) {
    element.addEventListener(name, () => hold(false));
  }
  element.addEventListener("keydown", (event) => {
    if (event.key === " " || event.key === "Enter") {
      event.preventDefault();
      hold(true);
    }
  });
  element.addEventListener("contextmenu", (event) => event.preventDefault()); // of a long touch
}

/** @param {HTMLElement} element @param {IconName} name @param {string} label */
function relabel(element, name, label) {
  element.firstElementChild?.replaceWith(icon(name));
  element.setAttribute("aria-label", label);
  element.title = label;
}

/** @param {HTMLElement} element @param {boolean} isPressed */
function press(element, isPressed) {
  element.setAttribute("aria-pressed", String(isPressed));
}
