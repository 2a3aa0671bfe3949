// Atom XML as the administration API carries it: an entry describes one entity, a feed is a page of them.
import { createHash } from "node:crypto";
import { XMLBuilder, XMLParser, XMLValidator } from "fast-xml-parser";

/** An element: its text, its child elements by name, or several of one name. Attributes are named with a leading `@`. */
export type Xml = string | number | boolean | undefined | XmlElement | readonly Xml[];
export interface XmlElement {
  readonly [name: string]: Xml;
}

/** One entity as an entry shows it. */
export interface Description {
  /** Where it is found, without scheme and host. */
  readonly path: string;
  readonly title: string;
  /** The element's name, such as `QueueDescription`. */
  readonly kind: string;
  readonly fields: XmlElement;
  /** What can be changed of it: two versions of it differ in this. */
  readonly version: object;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
}

/** What names a version of an entity: another one has another tag. */
export function tagOf({ version }: Description): string {
  return `"${createHash("sha1").update(JSON.stringify(version)).digest("hex")}"`;
}

/** A body that is not what it should be. */
export class BadXmlError extends Error {
  readonly code = "BadXml";
}

const atomNamespace = "http://www.w3.org/2005/Atom";
const serviceNamespace = "http://schemas.microsoft.com/netservices/2010/10/servicebus/connect";
const instanceNamespace = "http://www.w3.org/2001/XMLSchema-instance";

const builder = new XMLBuilder({
  ignoreAttributes: false,
  attributeNamePrefix: "@",
  textNodeName: "#text",
  suppressEmptyNode: true,
  suppressBooleanAttributes: false,
});

function build(root: XmlElement): string {
  return `<?xml version="1.0" encoding="utf-8"?>${builder.build(root)}`;
}

function entryOf(base: string, description: Description): XmlElement {
  const url = `${base}/${description.path}`;
  return {
    id: url,
    title: { "@type": "text", "#text": description.title },
    published: new Date(description.createdAtMs).toISOString(),
    updated: new Date(description.updatedAtMs).toISOString(),
    link: { "@rel": "self", "@href": url },
    content: {
      "@type": "application/xml",
      [description.kind]: { "@xmlns": serviceNamespace, "@xmlns:i": instanceNamespace, ...description.fields },
    },
  };
}

/** @param base the scheme and host that the client called */
export function entryXml(base: string, description: Description): string {
  return build({ entry: { "@xmlns": atomNamespace, ...entryOf(base, description) } });
}

/** @param nextPath where the next page is found; undefined = this is the last */
export function feedXml(base: string, path: string, descriptions: readonly Description[], nextPath: string | undefined): string {
  const links: XmlElement[] = [{ "@rel": "self", "@href": `${base}/${path}` }];
  if (nextPath !== undefined) links.push({ "@rel": "next", "@href": `${base}/${nextPath}` });
  return build({
    feed: {
      "@xmlns": atomNamespace,
      title: { "@type": "text", "#text": path },
      id: `${base}/${path}`,
      updated: new Date(Math.max(0, ...descriptions.map(({ updatedAtMs }) => updatedAtMs))).toISOString(),
      link: links,
      entry: descriptions.map((description) => entryOf(base, description)),
    },
  });
}

export function errorXml(status: number, detail: string): string {
  return build({ Error: { Code: status, Detail: detail } });
}

/** A parsed element: text, or children by name without their prefixes; attributes are under `@name`. */
export type Parsed = string | ParsedElement | readonly Parsed[];
export interface ParsedElement {
  readonly [name: string]: Parsed | undefined;
}

const parser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: "@",
  textNodeName: "#text",
  removeNSPrefix: true,
  parseTagValue: false,
  parseAttributeValue: false,
  trimValues: false,
  // Characters by their numbers, which every writer of XML may use, are among these.
  htmlEntities: true,
});

/**
 * Reads the description out of an entry.
 *
 * @throws BadXmlError when the body is not an entry that holds one
 */
export function parseEntry(body: string, kind: string): ParsedElement {
  const valid = XMLValidator.validate(body);
  if (valid !== true) throw new BadXmlError(`The body is not XML: ${valid.err.msg} at line ${valid.err.line}, column ${valid.err.col}.`);
  const root = parsed(body);
  const description = childOf(childOf(childOf(root, "entry"), "content"), kind);
  if (description === undefined) throw new BadXmlError(`The body must be an Atom entry with a ${kind} as its content.`);
  return description;
}

function parsed(body: string): ParsedElement {
  try {
    return parser.parse(body) as ParsedElement;
  } catch (error) {
    throw new BadXmlError(`The body is not taken: ${error instanceof Error ? error.message : String(error)}.`);
  }
}

/** A child element that has children or attributes of its own; an empty one has neither. */
export function childOf(element: ParsedElement | undefined, name: string): ParsedElement | undefined {
  const child = element?.[name];
  if (typeof child === "string") return child.trim() === "" ? {} : undefined;
  return child === undefined || Array.isArray(child) ? undefined : (child as ParsedElement);
}

/** An element as it can be written again, without its attributes. */
export function unadorned(element: Parsed): Xml {
  if (typeof element === "string") return element;
  if (Array.isArray(element)) return (element as readonly Parsed[]).map(unadorned);
  const children = Object.entries(element as ParsedElement).filter(([name]) => !name.startsWith("@"));
  return Object.fromEntries(children.map(([name, child]) => [name, child === undefined ? undefined : unadorned(child)]));
}

/** The text of a child element; undefined when there is none. */
export function textOf(element: ParsedElement | undefined, name: string): string | undefined {
  const child = element?.[name];
  if (typeof child === "string") return child;
  if (child === undefined || Array.isArray(child)) return undefined;
  const text = (child as ParsedElement)["#text"];
  return typeof text === "string" ? text : undefined;
}
