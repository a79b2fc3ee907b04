// What happens to a text on its way through S3 object metadata (s3sqs.md §2.2): S3 answers non-ASCII values as
// RFC 2047 encoded words, and clients that send raw UTF-8 bytes come back as if those bytes were latin-1 ("Ã©").

const WORD = /=\?([A-Za-z0-9._-]+)(?:\*[A-Za-z0-9-]*)?\?([BbQq])\?([^?\s]*)\?=/;
/** A run of encoded words at a word boundary; the blanks between two words belong to the encoding (RFC 2047 §6.2). */
const WORDS = new RegExp(`(?<=^|\\s)${WORD.source}(?:\\s+${WORD.source})*(?=\\s|$)`, 'g');

/**
 * Gives back the text that the writer meant: as it is when it is JSON already, else with its RFC 2047 words decoded,
 * else with UTF-8 that was read as latin-1 repaired when the whole text decodes. A word in a charset that we do not
 * know, or that does not decode, stays as it was. Never throws.
 */
export function decodeText(text: string): string {
  if (!text.includes('=?') || isJson(text)) return repairLatin1(text);
  const decoded = text.replace(WORDS, (words) => decodeWords(words) ?? words);
  return decoded === text ? repairLatin1(text) : decoded;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    // Not JSON is the answer here, not an error.
    return false;
  }
}

/** Neighbours in one charset are decoded together: writers cut long texts between the bytes of one character. */
function decodeWords(words: string): string | undefined {
  let text = '';
  let charset = '';
  let bytes: number[] = [];
  for (const word of words.split(/\s+/)) {
    const [, name = '', encoding = '', payload = ''] = WORD.exec(word) ?? [];
    const decoded = encoding.toUpperCase() === 'B' ? bytesOfBase64(payload) : bytesOfQ(payload);
    if (decoded === undefined) return undefined;
    if (name.toLowerCase() !== charset && bytes.length > 0) {
      const part = textOf(bytes, charset);
      if (part === undefined) return undefined;
      text += part;
      bytes = [];
    }
    charset = name.toLowerCase();
    for (const byte of decoded) bytes.push(byte);
  }
  const last = textOf(bytes, charset);
  return last === undefined ? undefined : text + last;
}

function bytesOfBase64(payload: string): number[] | undefined {
  try {
    return Array.from(atob(payload), (char) => char.charCodeAt(0));
  } catch {
    // Not base64: the word stays as it was.
    return undefined;
  }
}

function bytesOfQ(payload: string): number[] | undefined {
  if (/=(?![0-9A-Fa-f]{2})/.test(payload) || /[^\x20-\x7e]/.test(payload)) return undefined;
  const plain = payload
    .replaceAll('_', ' ')
    .replace(/=([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Array.from(plain, (char) => char.charCodeAt(0));
}

function textOf(bytes: readonly number[], charset: string): string | undefined {
  switch (charset) {
    case 'utf-8':
    case 'utf8':
      return utf8(bytes);
    case 'us-ascii':
    case 'iso-8859-1':
    case 'latin1':
      return bytes.map((byte) => String.fromCharCode(byte)).join('');
    default:
      return undefined;
  }
}

function utf8(bytes: readonly number[] | Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(bytes));
  } catch {
    // Not UTF-8: the caller leaves the text alone.
    return undefined;
  }
}

function repairLatin1(text: string): string {
  if (!/[\x80-\xff]/.test(text) || /[^\0-\xff]/.test(text)) return text;
  return utf8(Uint8Array.from({ length: text.length }, (_, at) => text.charCodeAt(at))) ?? text;
}
