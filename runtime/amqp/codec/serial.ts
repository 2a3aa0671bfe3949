// Serial number arithmetic (RFC 1982) on 32 bits, as the specification asks of transfer-id, delivery-id and
// delivery-count (part 2, 2.8.8 to 2.8.10). A serial number is always held as an unsigned 32-bit number.

/** `serial + count`, wrapped. */
export function serialAdd(serial: number, count: number): number {
  return (serial + count) >>> 0;
}

/** How far `later` lies after `earlier`: from -2^31 to 2^31 - 1; negative when it lies before. */
export function serialDistance(earlier: number, later: number): number {
  return (later - earlier) | 0;
}
