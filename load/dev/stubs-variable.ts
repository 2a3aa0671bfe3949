/** In the environment of a worker that is tried by hand: the file that says, by the URL of a plugin's entry, that of its file of stubs, or nothing. It is there once the worker is to begin. */
export const stubsVariable = "HOLDFAST_DEV_STUBS";
