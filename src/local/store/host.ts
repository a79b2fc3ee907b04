/** Where a Host header points: refused, the store itself, or (virtual-host style) one bucket of it. */
export type HostTarget = { loopback: false } | { loopback: true; bucket?: string };

const SERVICE_HOSTS = ['s3', 'sqs', 'sts'];

/**
 * Judges a Host header. Only names of this machine are served, so that a web page whose own name was pointed at 127.0.0.1
 * (DNS rebinding) is refused. `bucket.s3.localhost` and `bucket.localhost` name a bucket.
 */
export function readHost(host: string | undefined): HostTarget {
  const name = hostName(host ?? '');
  if (name === undefined) return { loopback: false };
  if (name === 'localhost' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(name) || name === '[::1]') return { loopback: true };
  if (!name.endsWith('.localhost')) return { loopback: false };
  const label = name.slice(0, -'.localhost'.length);
  if (SERVICE_HOSTS.includes(label)) return { loopback: true };
  return { loopback: true, bucket: label.endsWith('.s3') ? label.slice(0, -'.s3'.length) : label };
}

/** Whether a browser's Origin header comes from a page of this machine. */
export function isLoopbackOrigin(origin: string): boolean {
  const match = /^https?:\/\/([^/]+)$/i.exec(origin);
  return match?.[1] !== undefined && readHost(match[1]).loopback;
}

function hostName(host: string): string | undefined {
  return /^(\[[0-9a-f:]+\]|[^:[\]]+)(?::\d{1,5})?$/i.exec(host)?.[1]?.toLowerCase();
}
