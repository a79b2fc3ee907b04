import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { SqsError } from './sqs-error.ts';

/** The attributes of a queue that can be set, as SQS spells them, all as text. */
export type QueueAttributes = Record<string, string>;

/** What becomes of a message that was received too often. */
export type RedrivePolicy = { deadLetterTargetArn: string; maxReceiveCount: number };

type NumberRule = { default: number; min: number; max: number };

// Bounds and defaults of SetQueueAttributes (SQS API reference); sizes in bytes, times in seconds.
const numbers: Record<string, NumberRule> = {
  DelaySeconds: { default: 0, min: 0, max: 900 },
  MaximumMessageSize: { default: 1_048_576, min: 1024, max: 1_048_576 },
  MessageRetentionPeriod: { default: 345_600, min: 60, max: 1_209_600 },
  ReceiveMessageWaitTimeSeconds: { default: 0, min: 0, max: 20 },
  VisibilityTimeout: { default: 30, min: 0, max: 43_200 },
};

// Kept and given back; this store has nothing that they would change.
const kept = ['Policy', 'RedriveAllowPolicy', 'SqsManagedSseEnabled'];

const redrive = Compile(
  Type.Object({
    deadLetterTargetArn: Type.String({ minLength: 1 }),
    maxReceiveCount: Type.Union([Type.Integer({ minimum: 1, maximum: 1000 }), Type.String({ pattern: '^[1-9][0-9]{0,2}$|^1000$' })]),
  }),
);

/** A numeric attribute, or its default. */
export function numberAttribute(attributes: QueueAttributes, name: string): number {
  return Number(attributes[name] ?? numbers[name]?.default ?? 0);
}

/** All attributes that can be set, defaults included. */
export function withDefaults(attributes: QueueAttributes): QueueAttributes {
  const defaults = Object.entries(numbers).map(([name, rule]) => [name, String(rule.default)]);
  return { ...Object.fromEntries(defaults), SqsManagedSseEnabled: 'true', ...attributes };
}

/** The redrive policy among checked attributes. */
export function redrivePolicy(attributes: QueueAttributes): RedrivePolicy | undefined {
  const text = attributes['RedrivePolicy'];
  if (!text) return undefined;
  const policy = readRedrive(text);
  return { deadLetterTargetArn: policy.deadLetterTargetArn, maxReceiveCount: Number(policy.maxReceiveCount) };
}

/** Checks attributes that a client wants to set. An empty RedrivePolicy removes it. Throws SqsError. */
export function checkAttributes(attributes: QueueAttributes): void {
  for (const [name, value] of Object.entries(attributes)) {
    const rule = numbers[name];
    if (rule) checkNumber(name, value, rule);
    else if (name === 'RedrivePolicy') {
      if (value !== '') readRedrive(value);
    } else if (name === 'FifoQueue' || name === 'ContentBasedDeduplication') {
      throw new SqsError('InvalidAttributeName', `${name}: this store has standard queues only.`);
    } else if (!kept.includes(name)) throw new SqsError('InvalidAttributeName', `Unknown Attribute ${name}.`);
  }
}

function checkNumber(name: string, value: string, rule: NumberRule): void {
  const number = Number(value);
  if (/^\d+$/.test(value) && number >= rule.min && number <= rule.max) return;
  throw new SqsError(
    'InvalidAttributeValue',
    `Invalid value for the parameter ${name}: found ${JSON.stringify(value)}, expected ${rule.min} to ${rule.max}.`,
  );
}

function readRedrive(text: string) {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    // Not JSON: refused below like any other wrong shape.
  }
  if (redrive.Check(parsed)) return parsed;
  throw new SqsError(
    'InvalidAttributeValue',
    'Invalid value for the parameter RedrivePolicy: expected JSON with deadLetterTargetArn and maxReceiveCount (1 to 1000).',
  );
}
