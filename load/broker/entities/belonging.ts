// What of a namespace goes with an entity. Names of queues and topics may hold slashes, so that `orders/eu` is no part of `orders`.

/** Whether a path is that of an entity, or of its sub-queues, its subscriptions and what belongs to these. */
export function belongsTo(path: string, entity: string): boolean {
  const [inner, outer] = [path.toLowerCase(), entity.toLowerCase()];
  return inner === outer || inner.startsWith(`${outer}/$`) || inner.startsWith(`${outer}/subscriptions/`);
}
