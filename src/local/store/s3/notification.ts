import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { knownEvents, type NotificationRule, storeRules, wants } from '../notification-rules.ts';
import { S3Error } from '../s3-error.ts';
import { renderXml, type XmlElement } from '../xml.ts';
import { type Answer, bucketOf, readXmlBody, type S3Context } from './context.ts';

const OneOrMany = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Array(schema)]);
const FilterRule = Type.Object({ Name: Type.String(), Value: Type.Optional(Type.String()) });
const Configuration = Type.Object({
  Id: Type.Optional(Type.String({ maxLength: 255 })),
  Queue: Type.String(),
  Event: OneOrMany(Type.String()),
  Filter: Type.Optional(
    Type.Union([
      Type.Literal(''),
      Type.Object({ S3Key: Type.Union([Type.Literal(''), Type.Object({ FilterRule: Type.Optional(OneOrMany(FilterRule)) })]) }),
    ]),
  ),
});
const document = Compile(
  Type.Object({
    NotificationConfiguration: Type.Union([Type.String(), Type.Object({ QueueConfiguration: Type.Optional(OneOrMany(Configuration)) })]),
  }),
);

const MAX_CONFIGURATIONS = 100;

/** PUT ?notification: replaces the bucket's configuration and sends an s3:TestEvent to each queue in it. */
export async function putNotification(context: S3Context): Promise<Answer> {
  // refused before its body comes
  bucketOf(context);
  const parsed = await readXmlBody(context, { limit: 256 * 1024 });
  const bucket = bucketOf(context);
  const { services, requester } = context;
  const rules = readConfiguration(parsed);
  for (const rule of rules) {
    if (!services.queues.findByArn(rule.queueArn)) {
      throw new S3Error('InvalidArgument', 'Unable to validate the following destination configurations', {
        details: { ArgumentName1: rule.queueArn, ArgumentValue1: 'The destination queue does not exist' },
      });
    }
  }
  services.buckets.setSetting(bucket, 'notification', rules.length > 0 ? storeRules(rules) : undefined);
  for (const arn of new Set(rules.map((rule) => rule.queueArn))) services.events.announceTest(bucket, arn, requester, services.now());
  return { status: 200 };
}

/** GET ?notification. */
export function getNotification(context: S3Context): Answer {
  const { rules } = bucketOf(context);
  const configurations = rules.map((rule): XmlElement => {
    const filters = (['prefix', 'suffix'] as const).filter((name) => rule[name] !== '').map((name) => ({ Name: name, Value: rule[name] }));
    return {
      Id: rule.id,
      Queue: rule.queueArn,
      Event: rule.events,
      ...(filters.length > 0 && { Filter: { S3Key: { FilterRule: filters } } }),
    };
  });
  return { status: 200, body: renderXml('NotificationConfiguration', { QueueConfiguration: configurations }) };
}

function readConfiguration(parsed: unknown): NotificationRule[] {
  const root = parsed instanceof Object && 'NotificationConfiguration' in parsed ? parsed.NotificationConfiguration : undefined;
  if (root instanceof Object) {
    const other = Object.keys(root).find((name) => name !== 'QueueConfiguration' && !name.startsWith('#'));
    if (other) throw new S3Error('NotImplemented', `${other}: this store sends notifications to queues only (QueueConfiguration).`);
  }
  if (!document.Check(parsed)) throw new S3Error('MalformedXML');
  const { NotificationConfiguration: configuration } = parsed;
  const entries = typeof configuration === 'string' ? [] : list(configuration.QueueConfiguration);
  if (entries.length > MAX_CONFIGURATIONS)
    throw new S3Error('InvalidArgument', `A bucket has at most ${MAX_CONFIGURATIONS} notification configurations.`);
  const rules = entries.map((entry, index) => readRule(entry, index));
  refuseOverlaps(rules);
  return rules;
}

function readRule(entry: Type.Static<typeof Configuration>, index: number): NotificationRule {
  const events = list(entry.Event);
  for (const event of events) {
    if (!knownEvents.includes(event))
      throw new S3Error(
        'InvalidArgument',
        `The event ${event} is not supported for notifications; this store sends ${knownEvents.join(', ')}.`,
      );
  }
  if (events.length === 0) throw new S3Error('MalformedXML');
  const filter = { prefix: '', suffix: '' };
  const s3Key = entry.Filter === undefined || entry.Filter === '' ? '' : entry.Filter.S3Key;
  for (const { Name, Value } of s3Key === '' ? [] : list(s3Key.FilterRule)) {
    const name = Name.toLowerCase();
    if (name !== 'prefix' && name !== 'suffix') throw new S3Error('InvalidArgument', 'filter rule name must be either prefix or suffix');
    filter[name] = Value ?? '';
  }
  return { id: entry.Id || `rule-${index + 1}`, queueArn: entry.Queue, events, ...filter };
}

// S3 refuses two rules that could both want one event of one key (S3 user guide, "Configuring notifications with object key name filtering").
function refuseOverlaps(rules: NotificationRule[]): void {
  for (const [index, rule] of rules.entries()) {
    for (const other of rules.slice(index + 1)) {
      const prefixes = rule.prefix.startsWith(other.prefix) || other.prefix.startsWith(rule.prefix);
      const suffixes = rule.suffix.endsWith(other.suffix) || other.suffix.endsWith(rule.suffix);
      if (prefixes && suffixes && shareEvent(rule, other)) {
        throw new S3Error('InvalidArgument', 'Configurations overlap. Configurations on the same bucket cannot share a common event type.');
      }
    }
  }
}

function shareEvent(left: NotificationRule, right: NotificationRule): boolean {
  return knownEvents.some((event) => {
    const name = event.slice('s3:'.length).replace('*', '');
    const everywhere = { prefix: '', suffix: '' };
    return wants({ ...left, ...everywhere }, name, '') && wants({ ...right, ...everywhere }, name, '');
  });
}

function list<T>(value: T | T[] | undefined): T[] {
  if (value === undefined) return [];
  return Array.isArray(value) ? value : [value];
}
