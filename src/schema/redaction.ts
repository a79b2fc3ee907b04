// The one place that keeps secrets out of the logs: by the name of a field, by what a text looks like, and by value.

const CENSOR = '[redacted]';

/** Names of fields that may hold a secret, wherever they stand; compared without case, `_` and `-`. */
const SECRET_NAMES = new Set([
  'token',
  'apitoken',
  'accesstoken',
  'refreshtoken',
  'sessiontoken',
  'authorization',
  'cookie',
  'setcookie',
  'secret',
  'clientsecret',
  'secretaccesskey',
  'password',
  'masterkey',
  'apikey',
  'privatekey',
  'credentials',
  // config vars and a dyno's variables are the customer's
  'env',
  'configvars',
  'lined',
]);

/** Passwords in URLs, bearer and basic authorizations, presigned signatures and session tokens, Heroku's tokens. */
const SECRET_TEXT =
  /(?<=\b[a-z][a-z0-9+.-]*:\/\/[^\s/@:]{0,200}:)[^\s/@]+(?=@)|(?<=\b(?:Bearer|Basic) )[\w.~+/=-]{6,}|(?<=\bX-Amz-(?:Signature|Security-Token)=)[^&\s"']+|\bHRKU-[\w-]{8,}/gi;

/** Deeper fields are left out: a log line is no dump. */
const MAX_DEPTH = 6;
/** Shorter texts are no secrets, and would be found everywhere. */
const MIN_SECRET_LENGTH = 6;

export interface Redactor {
  text(text: string): string;
  fields(fields: Readonly<Record<string, unknown>>): Record<string, unknown>;
}

/** `secrets`: values of this process that must appear nowhere. */
export function createRedactor(secrets: readonly (string | undefined)[]): Redactor {
  const known = [...new Set(secrets.filter((secret) => secret !== undefined && secret.length >= MIN_SECRET_LENGTH))].sort(
    (a, b) => (b?.length ?? 0) - (a?.length ?? 0),
  );
  const text = (found: string): string => {
    let cleaned = found.replace(SECRET_TEXT, CENSOR);
    for (const secret of known) if (secret !== undefined && cleaned.includes(secret)) cleaned = cleaned.replaceAll(secret, CENSOR);
    return cleaned;
  };
  const value = (found: unknown, depth: number): unknown => {
    if (typeof found === 'string') return text(found);
    if (typeof found !== 'object' || found === null) return found;
    if (depth > MAX_DEPTH) return '[deeper]';
    if (found instanceof Error) return { name: found.name, message: text(found.message), stack: text(found.stack ?? '') };
    if (Array.isArray(found)) return found.map((one) => value(one, depth + 1));
    return fields(found, depth + 1);
  };
  const fields = (found: object, depth: number): Record<string, unknown> => {
    const cleaned: Record<string, unknown> = {};
    for (const [name, one] of Object.entries(found)) {
      const secret = one !== undefined && one !== null && SECRET_NAMES.has(name.toLowerCase().replace(/[_-]/g, ''));
      cleaned[name] = secret ? CENSOR : value(one, depth);
    }
    return cleaned;
  };
  return { text, fields: (found) => fields(found, 0) };
}
