import Type from 'typebox';
import { Compile } from 'typebox/compile';

const Rule = Type.Object({
  id: Type.String(),
  queueArn: Type.String(),
  events: Type.Array(Type.String()),
  prefix: Type.String(),
  suffix: Type.String(),
});
/** One QueueConfiguration of a bucket: which events of which keys go to which queue. Prefix and suffix '' mean all keys. */
export type NotificationRule = Type.Static<typeof Rule>;

const stored = Compile(Type.Array(Rule));

/** The events that a QueueConfiguration may name here; the others of AWS are never sent by this store. */
export const knownEvents = [
  's3:ObjectCreated:*',
  's3:ObjectCreated:Put',
  's3:ObjectCreated:Post',
  's3:ObjectCreated:Copy',
  's3:ObjectCreated:CompleteMultipartUpload',
  's3:ObjectRemoved:*',
  's3:ObjectRemoved:Delete',
  's3:ObjectRemoved:DeleteMarkerCreated',
];

/** Reads what `storeRules` wrote; no text means no rules. */
export function readStoredRules(text: string | undefined): NotificationRule[] {
  return text === undefined ? [] : stored.Parse(JSON.parse(text));
}

/** The text kept in the store's file for these rules. */
export function storeRules(rules: NotificationRule[]): string {
  return JSON.stringify(rules);
}

/** Whether a rule wants an event (`ObjectCreated:Put`) of a key. */
export function wants(rule: NotificationRule, event: string, key: string): boolean {
  if (!key.startsWith(rule.prefix) || !key.endsWith(rule.suffix)) return false;
  return rule.events.some((pattern) => {
    const name = pattern.slice('s3:'.length);
    return name.endsWith('*') ? event.startsWith(name.slice(0, -1)) : event === name;
  });
}
