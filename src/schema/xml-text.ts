/** Anything that XML 1.0 has no way to write as it is (XML 1.0 §2.2); a lone surrogate is among it. */
const NOT_XML = /[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/u;

/** Whether XML 1.0 can carry the text: a key of S3 may hold characters that it cannot, not even escaped. */
export function fitsXml(text: string): boolean {
  return !NOT_XML.test(text);
}
