/** What a request asks for: its path as it came, whatever it holds, and the query behind it. A proxy's form of it names the host before that. */
export function targetOf(target: string): { readonly path: string; readonly query: URLSearchParams } {
  const [, path = "", query = ""] = /^(?:https?:\/\/[^/?]*)?([^?]*)\??(.*)$/is.exec(target) ?? [];
  return { path, query: new URLSearchParams(query) };
}
