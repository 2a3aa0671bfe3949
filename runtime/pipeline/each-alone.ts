/** Does something for each item of a group. One that throws is handed to `failed`, and the others do not notice. */
export function eachAlone<Item>(items: readonly Item[], act: (item: Item, index: number) => void, failed: (item: Item, error: unknown) => void): void {
  for (let index = 0; index < items.length; index += 1) {
    const item = items[index] as Item;
    try {
      act(item, index);
    } catch (error) {
      failed(item, error);
    }
  }
}
