// @ts-check
// What is loaded may come when something else is wanted already: only the latest is shown.

/**
 * A place of the page that shows one thing at a time. A turn is an `AbortSignal`: it goes to the requests that are made
 * for it, and is asked after each `await` whether it is `aborted`, which is that another turn has begun.
 */
export function latestOnly() {
  let turn = new AbortController();
  return {
    /** Begin a turn, which ends the one before it. */
    begin() {
      turn.abort();
      turn = new AbortController();
      return turn.signal;
    },
    /** The present turn. */
    present: () => turn.signal,
    /** End the present turn: what it waits for is not wanted any more. */
    end: () => turn.abort(),
  };
}
