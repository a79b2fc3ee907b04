import { createHash } from 'node:crypto';

const words = [
  'acute',
  'amber',
  'angular',
  'asymmetrical',
  'bright',
  'calm',
  'clear',
  'closed',
  'concave',
  'contoured',
  'convex',
  'cubed',
  'curly',
  'curved',
  'cylindrical',
  'deep',
  'defined',
  'elliptical',
  'encircled',
  'fitted',
  'flat',
  'flexible',
  'fluffy',
  'horizontal',
  'infinite',
  'lively',
  'opaque',
  'parallel',
  'pointy',
  'polished',
  'quiet',
  'regular',
  'reticulated',
  'rigid',
  'rugged',
  'shallow',
  'sharp',
  'silhouetted',
  'sinuous',
  'slippery',
  'solid',
  'spherical',
  'symmetrical',
  'transparent',
  'triangular',
  'trapezoidal',
];

/** A name as Heroku makes them, `line-d-clear-41822`: always the same for the same id, so that a repeated call names the same add-on. */
export function addonName(service: string, id: string): string {
  const digest = createHash('sha256').update(id).digest();
  return `${service}-${words[digest.readUInt16BE(0) % words.length]}-${10_000 + (digest.readUInt32BE(2) % 90_000)}`;
}

/** An id in uuid form that stands for a name: services and plans come from a file and have none of their own. */
export function stableId(...names: readonly string[]): string {
  const hex = createHash('sha256').update(names.join('\0')).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
