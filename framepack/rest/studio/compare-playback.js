// @ts-check
// The playback of both sides: their transport with its controls, and the choice of what is shown together.

import { transportControls } from "./compare-controls.js";
import { TIMINGS, differsInLength, timelineOf } from "./compare-timeline.js";
import { transportOf } from "./compare-transport.js";
import { h } from "./dom.js";

/** @typedef {import("./compare-clip.js").Clip} Clip */
/** @typedef {import("./compare-clip.js").Side} Side */
/** @typedef {import("./compare-timeline.js").Timing} Timing */
/** @typedef {import("./compare-timeline.js").Timeline} Timeline */
/** @typedef {import("./compare-transport.js").Transport} Transport */

/** The playback; its settings stay when other sides are shown. */
export function playbackOf() {
  /** @type {(Clip | null)[]} */
  let clips = [null, null];
  /** @type {Timeline | null} */
  let timeline = null;
  /** @type {Transport | null} */
  let transport = null;
  let [isMuted, isLooping, speed] = [true, false, 1];

  const toggle = () => {
    transport?.isPlaying() ? transport.pause() : transport?.play();
    update();
  };
  const seek = async (/** @type {number} */ step) => {
    await transport?.pause();
    await transport?.seek(step);
  };
  const toggleAudio = () => {
    isMuted = !isMuted;
    clips[1]?.mute?.(isMuted);
    update();
  };
  const toggleLoop = () => {
    isLooping = !isLooping;
    transport?.setLooping(isLooping);
    update();
  };
  const setSpeed = (/** @type {number} */ to) => {
    speed = to;
    transport?.setSpeed(speed);
  };
  const move = (/** @type {number} */ count) => transport?.move(count);
  const controls = transportControls({ toggle, move, seek, setSpeed, toggleAudio, toggleLoop });

  const timing = h(
    "select",
    { class: "compare-select", onchange: () => retime() },
    ...Object.entries(TIMINGS).map(([value, text]) => h("option", { value }, text)),
  );
  const change = h("span");
  const timingRow = h("label", { class: "compare-timing", hidden: true }, change, timing);
  controls.element.hidden = true;

  const update = () => {
    if (transport && timeline) {
      const hasAudio = Boolean(clips[1]?.mute);
      const { rate, steps } = timeline;
      controls.update({ isPlaying: transport.isPlaying(), step: transport.step(), steps, rate, isMuted, isLooping, hasAudio });
    }
  };

  const retime = async (isKept = false) => {
    const [step, steps, wasPlaying] = [transport?.step() ?? 0, timeline?.steps, transport?.isPlaying()];
    await transport?.pause();
    const [before, after] = clips;
    timeline = timelineOf(before, after, /** @type {Timing} */ (timing.value));
    transport = timeline && transportOf(timeline, update);
    timingRow.hidden = !differsInLength(before, after);
    controls.element.hidden = !timeline;
    change.textContent = before && after && !timingRow.hidden ? `The result is ${lengthChange(before, after)}. Compare it with` : "";
    after?.mute?.(isMuted);
    transport?.setSpeed(speed);
    transport?.setLooping(isLooping);
    // Another version of the same clip, such as the next preview, goes on where the last one was.
    const goesOn = isKept || timeline?.steps === steps;
    await transport?.seek(goesOn ? step : 0);
    goesOn && wasPlaying && transport?.play();
  };

  return {
    element: controls.element,
    timingRow,
    /** Take over two clips. @param {(Clip | null)[]} loaded @param {Timing} chosen */
    start: (loaded, chosen) => {
      clips = loaded;
      timing.value = chosen;
      return retime();
    },
    /** Take over what is known of the clips only later. @param {Partial<Side>[]} details */
    describe: (details) => {
      const lengths = clips.map((clip) => clip?.length);
      clips.forEach((clip, index) => clip?.describe?.(details[index] ?? {}));
      if (clips.some((clip, index) => clip?.length !== lengths[index])) {
        retime(true);
      }
    },
    pause: () => transport?.pause(),
    stop: () => {
      transport?.pause();
      transport = timeline = null;
      clips = [null, null];
      timingRow.hidden = controls.element.hidden = true;
    },
    toggle,
    move,
    toggleAudio,
  };
}

/** @param {Clip} before @param {Clip} after */
function lengthChange(before, after) {
  const factor = after.length / before.length;
  return factor > 1 ? `${Number(factor.toFixed(2))} times as long as the original` : `${Math.round(factor * 100)} % as long as the original`;
}
