/** What goes on, on one line of the terminal that is written over; nothing where stderr is not a terminal. */
export function showProgress(text: string): void {
  if (!process.stderr.isTTY) return;
  process.stderr.clearLine(0);
  process.stderr.cursorTo(0);
  process.stderr.write(text);
}
