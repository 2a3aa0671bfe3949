/** Of the time that a peer has, how many parts count apart. */
const parts = 20;

/**
 * Calls `late` when a peer has had its time for an answer; what it returns ends that. Time in which this process itself stood still, with modules to
 * load or without a processor, counts as a twentieth of `timeoutMs` at most, for answers that came meanwhile could not be read.
 */
export function startAnswerTimer(timeoutMs: number, late: () => void): () => void {
  let left = parts;
  const timer = setInterval(
    () => {
      left -= 1;
      if (left > 0) return;
      clearInterval(timer);
      late();
    },
    Math.ceil(timeoutMs / parts),
  );
  return () => clearInterval(timer);
}
