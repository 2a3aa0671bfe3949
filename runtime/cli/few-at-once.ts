const atOnceMax = 4;

/** Does the same for each, a few at once, so that many do not take more than a few at any time. Answers in their order. */
export async function fewAtOnce<Item, Result>(items: readonly Item[], act: (item: Item) => Promise<Result>): Promise<readonly Result[]> {
  const results: Result[] = [];
  const left = items.entries();
  const go = async (): Promise<void> => {
    for (const [index, item] of left) results[index] = await act(item);
  };
  await Promise.all(Array.from({ length: Math.min(atOnceMax, items.length) }, go));
  return results;
}
