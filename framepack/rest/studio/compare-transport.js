// @ts-check
// Plays two clips as one: the leader runs at its own pace, and the follower is kept beside it.

/** @typedef {import("./compare-clip.js").Clip} Clip */
/** @typedef {import("./compare-timeline.js").Timeline} Timeline */

/** Seconds of the follower by which it may differ before it is sought instead of led. */
const FAR = 0.3;
/** Seconds in which a small difference is made up. */
const CATCH_UP = 0.4;
/** Seconds of difference that nobody sees. */
const CLOSE = 0.008;
/** The speeds at which browsers play. */
const [SLOWEST, FASTEST] = [0.0625, 16];

/**
 * @typedef {object} Transport
 * @property {() => boolean} isPlaying
 * @property {() => number} step number of the frame of the leader's timeline that is shown
 * @property {() => void} play
 * @property {() => Promise<void>} pause ends when both sides show the frame at which they stopped
 * @property {(step: number) => Promise<void>} seek ends when both sides show that frame
 * @property {(count: number) => Promise<void>} move by a number of frames
 * @property {(speed: number) => void} setSpeed
 * @property {(isLooping: boolean) => void} setLooping
 */

/**
 * @param {Timeline} timeline
 * @param {() => void} onChange is called when the frame or the state has changed
 * @returns {Transport}
 */
export function transportOf(timeline, onChange) {
  const { leader, follower, rate, steps } = timeline;
  let isPlaying = false;
  let isLooping = false;
  let speed = 1;
  let step = 0;

  const stepAt = (/** @type {number} */ time) => Math.min(steps - 1, Math.max(0, Math.floor(time * rate + 1e-6)));

  const seek = async (/** @type {number} */ to) => {
    step = Math.min(steps - 1, Math.max(0, to));
    // The middle of the frame, which is the same frame however its time is rounded.
    const time = Math.min((step + 0.5) / rate, leader.length - 1e-3);
    onChange();
    await Promise.all([leader.seek(time), follower?.seek(timeline.follow(time).time)]);
  };

  const pause = async () => {
    if (!isPlaying) {
      return;
    }
    isPlaying = false;
    leader.pause();
    follower?.pause();
    await seek(stepAt(leader.isEnded() ? leader.length : leader.shown()));
  };

  const play = async () => {
    if (isPlaying) {
      return;
    }
    isPlaying = true;
    await seek(step >= steps - 1 ? 0 : step);
    if (isPlaying) {
      leader.play(speed);
      tick();
    }
  };

  const tick = () => {
    if (!isPlaying) {
      return;
    }
    const isAtEnd = leader.isEnded();
    if (isAtEnd ? !isLooping : leader.isPaused()) {
      pause(); // also if the browser has paused it, which it does on a key of the keyboard or headphones
      return;
    }
    requestAnimationFrame(tick);
    if (isAtEnd) {
      leader.seek(0);
      leader.play(speed);
    }
    step = stepAt(leader.time());
    if (follower) {
      lead(follower, timeline.follow(leader.time()), leader.isWaiting() ? 0 : speed);
    }
    onChange();
  };

  return {
    isPlaying: () => isPlaying,
    step: () => step,
    play,
    pause,
    seek,
    move: async (count) => {
      await pause();
      await seek(step + count);
    },
    setSpeed: (to) => {
      speed = to;
      leader.setRate(speed);
    },
    setLooping: (to) => {
      isLooping = to;
    },
  };
}

/**
 * Keep the follower at its place: by its speed while it is near, otherwise by a seek.
 *
 * @param {Clip} follower
 * @param {import("./compare-timeline.js").Place} place
 * @param {number} speed of the leader, 0 while it waits for data
 */
function lead(follower, place, speed) {
  const rate = speed * place.slope;
  const late = place.time - follower.time();
  if (rate < SLOWEST || rate > FASTEST) {
    follower.pause();
    if (Math.abs(late) > CLOSE) {
      follower.seek(place.time);
    }
    return;
  }
  if (Math.abs(late) > FAR * Math.max(1, rate)) {
    follower.seek(place.time);
  }
  const correction = Math.abs(late) < CLOSE ? 0 : Math.min(0.5, Math.max(-0.5, late / CATCH_UP / Math.max(1, rate)));
  const corrected = Math.min(FASTEST, Math.max(SLOWEST, rate * (1 + correction)));
  follower.isPaused() ? follower.play(corrected) : follower.setRate(corrected);
}
