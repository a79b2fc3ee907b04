import { XMLBuilder, XMLParser, XMLValidator } from 'fast-xml-parser';
import { fitsXml } from '../../schema/xml-text.ts';

/** A value that can be written as XML: text, a nested element, or a repeated element. Undefined is left out. */
type XmlValue = string | number | boolean | undefined | XmlElement | (string | XmlElement)[];
/** Child elements by name; a name that begins with `@` is an attribute. */
export type XmlElement = { [name: string]: XmlValue };

const builder = new XMLBuilder({
  ignoreAttributes: false,
  attributeNamePrefix: '@',
  suppressEmptyNode: false,
  suppressBooleanAttributes: false,
  // We escape ourselves: the builder's own list lacks control characters, which keys may hold.
  processEntities: false,
  tagValueProcessor: (_name, value) => escapeText(String(value)),
});

// No document type and no entity of its own is ever expanded; the five of XML and character numbers are decoded here.
const parser = new XMLParser({
  ignoreAttributes: true,
  parseTagValue: false,
  trimValues: false,
  processEntities: false,
  removeNSPrefix: true,
  ignoreDeclaration: true,
  ignorePiTags: true,
  tagValueProcessor: (_name, value) => unescapeText(value),
});

/** Writes a document with the given root element. Characters that XML 1.0 cannot hold are written as character numbers, as S3 does. */
export function renderXml(root: string, content: XmlElement): string {
  return builder.build({ '?xml': { '@version': '1.0', '@encoding': 'UTF-8' }, [root]: content });
}

/**
 * Reads a document into nested plain objects (text as strings, repeated elements as arrays), or undefined when it is not
 * well-formed or carries a document type. Nothing is known about the shape of the result: check it.
 */
export function parseXml(text: string): unknown {
  if (/<!(DOCTYPE|ENTITY)/i.test(text)) return undefined;
  if (!fitsXml(text) || XMLValidator.validate(text) !== true) return undefined;
  try {
    return parser.parse(text);
  } catch {
    // The parser has limits of its own, on nesting for example: such a document is as good as malformed.
    return undefined;
  }
}

const named: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

function unescapeText(text: string): string {
  if (!text.includes('&')) return text;
  return text.replace(
    /&(?:#x([0-9a-fA-F]{1,6})|#([0-9]{1,7})|(amp|lt|gt|quot|apos));/g,
    (whole, hex?: string, decimal?: string, name?: string) => {
      if (name) return named[name] ?? whole;
      const point = hex ? Number.parseInt(hex, 16) : Number(decimal);
      const scalar = point <= 0x10ffff && !(point >= 0xd800 && point <= 0xdfff);
      return scalar ? String.fromCodePoint(point) : whole;
    },
  );
}

const escapes: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

function escapeText(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: keys may hold control characters; they are written as numbers.
  return text.replace(/[&<>"\u0000-\u001f\u007f-\u009f\u2028\ufffe\uffff]/g, (character) => {
    return escapes[character] ?? `&#x${character.charCodeAt(0).toString(16).toUpperCase()};`;
  });
}
