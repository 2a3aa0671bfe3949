/** In the environment of a worker that is tried by hand: by the URL of a plugin's entry, that of its file of stubs, or nothing. */
export const stubsVariable = "HOLDFAST_DEV_STUBS";
