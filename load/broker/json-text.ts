// JSON as people write it: with a byte order mark, with comments, with a comma after the last item.

/** The text of a file, whichever of the Unicode encodings its byte order mark announces; without one, it is UTF-8. */
export function textOfBytes(bytes: Buffer): string {
  const [first, second] = bytes;
  if (first === 0xff && second === 0xfe) return bytes.toString("utf16le", 2);
  if (first === 0xfe && second === 0xff)
    return Buffer.from(bytes.subarray(2, bytes.length - (bytes.length % 2)))
      .swap16()
      .toString("utf16le");
  return bytes.toString("utf8").replace(/^\uFEFF/, "");
}

const quotedOrComment = /("(?:[^"\\]|\\.)*")|\/\/[^\n\r]*|\/\*[\s\S]*?\*\//g;
const quotedOrLastComma = /("(?:[^"\\]|\\.)*")|(?<=[^\s,[{:]\s*),(?=\s*[}\]])/g;

/**
 * What is taken out leaves spaces behind, so that an error tells the place that it has in the file.
 *
 * @throws SyntaxError
 */
export function parseJson(text: string): unknown {
  const bare = text
    .replace(/^\uFEFF/, " ")
    .replace(quotedOrComment, (match, quoted: string | undefined) => quoted ?? match.replace(/[^\n\r]/g, " "))
    .replace(quotedOrLastComma, (_match, quoted: string | undefined) => quoted ?? " ");
  return JSON.parse(bare) as unknown;
}
