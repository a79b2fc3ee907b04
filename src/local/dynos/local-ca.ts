import { generateKeyPairSync, type KeyObject, randomBytes, sign, X509Certificate } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** What a TLS server on loopback needs, and the file that its clients must trust (NODE_EXTRA_CA_CERTS). */
export interface LocalCertificate {
  key: string;
  cert: string;
  /** The authority's certificate, as a file. */
  caFile: string;
}

const day = 86_400_000;
// Long enough that nobody meets its end; renewed well before.
const validDays = 3_650;
const renewDays = 365;

/**
 * The certificate for 127.0.0.1 and localhost in `dir`, made on first use by an authority of its own. The authority's key is thrown away at once: trusting it can never mean
 * trusting anything but this one certificate, whose key stays in `dir`.
 */
export function localCertificate(dir: string, now: number): LocalCertificate {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const files = { key: join(dir, 'server.key'), cert: join(dir, 'server.pem'), ca: join(dir, 'ca.pem') };
  const kept = load(files, now);
  if (kept !== undefined) return kept;
  const authority = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const server = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const common = { from: now - day, until: now + validDays * day, issuer: 'Autofiles local CA', signer: authority.privateKey };
  const ca = certificate({ ...common, subject: common.issuer, publicKey: authority.publicKey, extensions: authorityExtensions });
  const cert = certificate({ ...common, subject: 'Autofiles local platform', publicKey: server.publicKey, extensions: serverExtensions });
  const key = server.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  // The authority last: a start that was cut short finds no authority and makes all three anew.
  write(files.key, key, 0o600);
  write(files.cert, cert, 0o600);
  write(files.ca, ca, 0o644);
  return { key, cert, caFile: files.ca };
}

function load(files: { key: string; cert: string; ca: string }, now: number): LocalCertificate | undefined {
  try {
    const [key, cert, ca] = [files.key, files.cert, files.ca].map((file) => readFileSync(file, 'utf8'));
    if (key === undefined || cert === undefined || ca === undefined) return undefined;
    const server = new X509Certificate(cert);
    const sound = server.verify(new X509Certificate(ca).publicKey) && server.validToDate.getTime() - now > renewDays * day;
    return sound ? { key, cert, caFile: files.ca } : undefined;
  } catch {
    // Missing, cut short or not a certificate: made anew in each case.
    return undefined;
  }
}

function write(file: string, content: string, mode: number): void {
  writeFileSync(`${file}.tmp`, content, { mode });
  renameSync(`${file}.tmp`, file);
}

/*
 * X.509 in DER, as far as these two certificates go (RFC 5280). Node signs and reads certificates but does not write them.
 */
const tag = { boolean: 0x01, integer: 0x02, bits: 0x03, octets: 0x04, oid: 0x06, utf8: 0x0c, time: 0x18, sequence: 0x30, set: 0x31 };

function der(kind: number, ...content: readonly Buffer[]): Buffer {
  const body = Buffer.concat(content);
  if (body.length < 0x80) return Buffer.concat([Buffer.from([kind, body.length]), body]);
  const length = body.length < 0x100 ? Buffer.from([0x81, body.length]) : Buffer.from([0x82, body.length >> 8, body.length & 0xff]);
  return Buffer.concat([Buffer.from([kind]), length, body]);
}

function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const bytes = [first * 40 + second];
  for (const part of rest) {
    const groups = [part & 0x7f];
    for (let left = part >> 7; left > 0; left >>= 7) groups.unshift((left & 0x7f) | 0x80);
    bytes.push(...groups);
  }
  return der(tag.oid, Buffer.from(bytes));
}

function extension(id: string, critical: boolean, value: Buffer): Buffer {
  return der(tag.sequence, oid(id), ...(critical ? [der(tag.boolean, Buffer.from([0xff]))] : []), der(tag.octets, value));
}

// Basic constraints (an authority, of end certificates only) and key usage (signs certificates).
const authorityExtensions = [
  extension('2.5.29.19', true, der(tag.sequence, der(tag.boolean, Buffer.from([0xff])), der(tag.integer, Buffer.from([0])))),
  extension('2.5.29.15', true, der(tag.bits, Buffer.from([2, 0x04]))),
];
// Not an authority; digital signature; server authentication; the names of loopback: DNS names have the tag [2], addresses [7].
const serverExtensions = [
  extension('2.5.29.19', true, der(tag.sequence)),
  extension('2.5.29.15', true, der(tag.bits, Buffer.from([7, 0x80]))),
  extension('2.5.29.37', false, der(tag.sequence, oid('1.3.6.1.5.5.7.3.1'))),
  extension('2.5.29.17', false, der(tag.sequence, der(0x82, Buffer.from('localhost')), der(0x87, Buffer.from([127, 0, 0, 1])))),
];

interface CertificateParts {
  from: number;
  until: number;
  issuer: string;
  subject: string;
  publicKey: KeyObject;
  signer: KeyObject;
  extensions: readonly Buffer[];
}

function certificate(parts: CertificateParts): string {
  const algorithm = der(tag.sequence, oid('1.2.840.10045.4.3.2'));
  const name = (text: string): Buffer =>
    der(tag.sequence, der(tag.set, der(tag.sequence, oid('2.5.4.3'), der(tag.utf8, Buffer.from(text)))));
  const time = (at: number): Buffer => der(tag.time, Buffer.from(`${new Date(at).toISOString().replace(/[-:T]/g, '').slice(0, 14)}Z`));
  // A first byte below 0x80 keeps the number positive, above zero keeps it in its shortest form.
  const serial = Buffer.concat([Buffer.from([0x40]), randomBytes(15)]);
  const body = der(
    tag.sequence,
    der(0xa0, der(tag.integer, Buffer.from([2]))),
    der(tag.integer, serial),
    algorithm,
    name(parts.issuer),
    der(tag.sequence, time(parts.from), time(parts.until)),
    name(parts.subject),
    parts.publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, der(tag.sequence, ...parts.extensions)),
  );
  const signature = sign('sha256', body, { key: parts.signer, dsaEncoding: 'der' });
  const whole = der(tag.sequence, body, algorithm, der(tag.bits, Buffer.from([0]), signature));
  const lines = whole.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}
