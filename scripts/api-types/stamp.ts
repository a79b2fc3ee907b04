// The first line of src/cli/api-types.ts says what it was made of and what it holds, so that a test without the generator can
// tell whether it is current and untouched.
import { createHash } from 'node:crypto';

const STAMP = /^\/\/ Made by .*\n/;
/** Members of the document that are words for people. */
const WORDS = ['description', 'summary', 'example', 'title'];

const hash = (text: string) => createHash('sha256').update(text).digest('base64url').slice(0, 16);

/** The parts of an OpenAPI document that types are made of: what is for people is left out, so that it may change freely. */
export function typedParts(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(typedParts);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name, part]) => name !== 'examples' && name !== 'tags' && !(WORDS.includes(name) && typeof part === 'string'))
      .map(([name, part]) => [name, typedParts(part)]),
  );
}

/** The generated text, stamped anew. */
export function stamped(document: unknown, text: string): string {
  const content = text.replace(STAMP, '');
  return `// Made by \`npm run api-types\`; document ${hash(JSON.stringify(document))}, content ${hash(content)}. Do not edit.\n${content}`;
}
