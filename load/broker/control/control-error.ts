/** The control endpoint of a running broker did not answer, refused, or cannot be asked like that. */
export class ControlClientError extends Error {
  readonly code = "ControlClient";
}
