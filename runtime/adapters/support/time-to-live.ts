/**
 * The most milliseconds that a message's header can say of its life, about 49 days. It stands for anything longer, so that a
 * copy says nothing in its place.
 */
export const timeToLiveMax: number = 2 ** 32 - 1;
