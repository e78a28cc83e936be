// @ts-check
// Which moments of two clips belong together.

/** @typedef {import("./compare-clip.js").Clip} Clip */

/**
 * What is shown together when one side is longer:
 * - `moment`: the same moment of the content; the longer one is slower
 * - `time`: the same time; the shorter one stops at its last frame
 * - `repeat`: the first side again and again
 * - `round trip`: the first side forwards and backwards, again and again
 *
 * @typedef {"moment" | "time" | "repeat" | "round trip"} Timing
 */

/** @type {Record<Timing, string>} */
export const TIMINGS = {
  moment: "the same moment of the content",
  time: "the same time",
  repeat: "the original, repeated",
  "round trip": "the original, forwards and backwards",
};

/**
 * Where the follower is at a time of the leader, and how many of its seconds pass in one of the leader's: 0 where it
 * waits at its end, negative where it runs backwards.
 *
 * @typedef {{time: number, slope: number}} Place
 */

/**
 * @typedef {object} Timeline
 * @property {Clip} leader sets the time
 * @property {Clip | null} follower
 * @property {number} rate steps per second of the leader: the frames of the side that has more of them
 * @property {number} steps
 * @property {(time: number) => Place} follow
 */

const UNKNOWN_RATE = 30;

/**
 * Whether two clips have different lengths: by more than a frame, and more than files of the same length may differ.
 *
 * @param {Clip | null} before
 * @param {Clip | null} after
 * @returns {boolean}
 */
export function differsInLength(before, after) {
  if (!before?.length || !after?.length) {
    return false;
  }
  const frame = 1 / Math.min(before.fps ?? UNKNOWN_RATE, after.fps ?? UNKNOWN_RATE);
  return Math.abs(before.length - after.length) > Math.max(0.06, 1.01 * frame);
}

/**
 * The timeline of two sides; null if both are still images.
 *
 * @param {Clip | null} before null if the browser cannot show it
 * @param {Clip | null} after
 * @param {Timing} timing
 * @returns {Timeline | null}
 */
export function timelineOf(before, after, timing) {
  const [first, second] = [before, after].map((clip) => (clip?.length ? clip : null));
  const isBeforeLeading = !second || (first && timing === "time" && first.length > second.length);
  const [leader, follower] = isBeforeLeading ? [first, second] : [second, first];
  if (!leader) {
    return null;
  }
  const isSame = !differsInLength(first, second);
  const follow = follower ? mapping(leader, follower, isSame ? "time" : timing) : () => ({ time: 0, slope: 0 });
  const fastest = follower?.fps ? follower.fps * (timing === "moment" ? follower.length / leader.length : 1) : 0;
  // A rate that is only that of the other side as another file format rounds it is no other rate.
  const own = leader.fps ?? (fastest || UNKNOWN_RATE);
  const rate = fastest > own * 1.01 ? fastest : own;
  return { leader, follower, rate, steps: Math.max(1, Math.round(leader.length * rate)), follow };
}

/**
 * @param {Clip} leader
 * @param {Clip} follower
 * @param {Timing} timing
 * @returns {(time: number) => Place}
 */
function mapping(leader, follower, timing) {
  const length = follower.length;
  const frame = 1 / (follower.fps ?? UNKNOWN_RATE);
  if (timing === "moment") {
    const slope = length / leader.length;
    return (time) => ({ time: time * slope, slope });
  }
  if (timing === "repeat") {
    return (time) => ({ time: time % length, slope: 1 });
  }
  if (timing === "round trip") {
    // The frames at both ends are shown once, so the way back is two frames shorter.
    return (time) => {
      const within = time % Math.max(frame, 2 * (length - frame));
      return within < length ? { time: within, slope: 1 } : { time: 2 * length - frame - within, slope: -1 };
    };
  }
  return (time) => (time < length ? { time, slope: 1 } : { time: length - frame / 2, slope: 0 });
}
