/** A number of things in words: `1 letter`, `2 letters`. `several` where it is not made by an s. */
export function counted(count: number, one: string, several = `${one}s`): string {
  return `${count} ${count === 1 ? one : several}`;
}
