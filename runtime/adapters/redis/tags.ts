// Which hash tag an event's record lies under, and which tags a consumer has.
//
// A cluster deals 16 384 slots out to its shards, each a range of them, and a key's slot is the CRC-16 of its hash tag. Tags are
// named so that the first lies in the first part of the slots, the second in the second, and so on: shards of about equal size
// then hold about as many tags each, and with at least as many tags as shards none is left idle.

export const slots = 16_384;
/** Not allowed in the name of an entity, so that no tag is that of another consumer. */
const separator = "#";

export function slotOf(tag: string): number {
  let crc = 0;
  for (const byte of Buffer.from(tag)) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit += 1) crc = ((crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ 0x1021) & 0xffff;
  }
  return crc % slots;
}

/** The tag that says what belongs to a consumer as a whole; also its only one, where it has one. */
export function consumerTag(consumer: string): string {
  // Braces in the name would end the hash tag early.
  return consumer.replace(/[{}%]/g, encodeURIComponent);
}

/** The tags of a consumer: always the same for the same number. */
export function hashTagsOf(consumer: string, count: number): readonly string[] {
  const whole = consumerTag(consumer);
  if (count === 1) return [whole];
  const tags: string[] = [];
  for (let number = 0; tags.length < count; number += 1) {
    const tag = `${whole}${separator}${number}`;
    if (Math.floor((slotOf(tag) * count) / slots) === tags.length) tags.push(tag);
  }
  return tags;
}

/** The number of the tag, from 0, that holds this event's record. Its hash (FNV-1a) is part of how records are laid out. */
export function tagIndexOf(eventId: string, count: number): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < eventId.length; index += 1) hash = Math.imul(hash ^ eventId.charCodeAt(index), 0x01000193);
  // The low bits of FNV-1a mix least.
  return ((hash ^ (hash >>> 15)) >>> 0) % count;
}
