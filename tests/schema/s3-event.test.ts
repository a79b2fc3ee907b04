import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_EVENT_BYTES, type ParsedEvents, parseEvents } from '../../src/schema/s3-event.ts';

/** A record as S3 sends it (S3 User Guide, event message structure), with changes. */
function record(changes: { head?: object; object?: object; bucket?: object } = {}) {
  return {
    eventVersion: '2.1',
    eventSource: 'aws:s3',
    awsRegion: 'eu-west-1',
    eventTime: '2026-11-22T10:20:30.400Z',
    eventName: 'ObjectCreated:Put',
    userIdentity: { principalId: 'AWS:AIDA' },
    requestParameters: { sourceIPAddress: '127.0.0.1' },
    responseElements: { 'x-amz-request-id': '1', 'x-amz-id-2': '2' },
    s3: {
      s3SchemaVersion: '1.0',
      configurationId: 'autofiles',
      bucket: { name: 'ld-private-1', ownerIdentity: { principalId: 'A' }, arn: 'arn:aws:s3:::ld-private-1', ...changes.bucket },
      object: {
        key: 'in/red+flower.jpg',
        size: 1024,
        eTag: 'd41d8cd98f00b204e9800998ecf8427e',
        versionId: 'v1',
        sequencer: '0055AED6DCD90281E5',
        ...changes.object,
      },
    },
    ...changes.head,
  };
}

const CREATED = {
  bucket: 'ld-private-1',
  key: 'in/red flower.jpg',
  versionId: 'v1',
  etag: 'd41d8cd98f00b204e9800998ecf8427e',
  size: 1024,
  sequencer: '0055AED6DCD90281E5',
  eventName: 'ObjectCreated:Put',
  time: Date.parse('2026-11-22T10:20:30.400Z'),
  region: 'eu-west-1',
};

const BRIDGE = {
  version: '0',
  id: '1',
  'detail-type': 'Object Created',
  source: 'aws.s3',
  account: '1',
  time: '2026-11-22T10:20:30Z',
  region: 'eu-west-1',
  resources: ['arn:aws:s3:::ld-private-1'],
  detail: {
    version: '0',
    bucket: { name: 'ld-private-1' },
    object: { key: 'in/a+b%20c', size: 5, etag: 'e', 'version-id': 'v1', sequencer: '00' },
    reason: 'CompleteMultipartUpload',
  },
};

function parse(...records: unknown[]): ParsedEvents {
  return parseEvents(JSON.stringify({ Records: records }));
}

function only(parsed: ParsedEvents) {
  expect(parsed.kind).toBe('events');
  return parsed.kind === 'events' ? parsed : { events: [], skipped: [] };
}

describe('parseEvents', () => {
  it('reads a notification of S3', () => {
    expect(parse(record())).toEqual({ kind: 'events', events: [CREATED], skipped: [] });
  });

  it('reads every record', () => {
    expect(only(parse(record(), record({ object: { key: 'b' } }))).events.map((event) => event.key)).toEqual(['in/red flower.jpg', 'b']);
    expect(parse()).toEqual({ kind: 'events', events: [], skipped: [] });
  });

  it.each([
    ['ObjectCreated:Put'],
    ['ObjectCreated:Post'],
    ['ObjectCreated:Copy'],
    ['ObjectCreated:CompleteMultipartUpload'],
    ['ObjectCreated:Later'],
  ])('takes %s', (eventName) => {
    expect(only(parse(record({ head: { eventName } }))).events[0]?.eventName).toBe(eventName);
  });

  it.each([
    ['ObjectRemoved:Delete'],
    ['ObjectRemoved:DeleteMarkerCreated'],
    ['ObjectTagging:Put'],
    ['ObjectRestore:Completed'],
    ['LifecycleExpiration:Delete'],
  ])('skips %s', (eventName) => {
    expect(parse(record({ head: { eventName } }))).toEqual({
      kind: 'events',
      events: [],
      skipped: [{ reason: `Records[0]: not a creation: ${eventName}` }],
    });
  });

  it.each([['2.0'], ['2.1'], ['2.6'], ['2.10'], ['2']])('takes event version %s', (eventVersion) => {
    expect(only(parse(record({ head: { eventVersion } }))).events).toHaveLength(1);
  });

  it.each([['1.0'], ['3.0'], ['20.1'], ['x']])('skips event version %s', (eventVersion) => {
    expect(only(parse(record({ head: { eventVersion } }))).skipped).toEqual([
      { reason: `Records[0]: event version "${eventVersion}", expected 2.x` },
    ]);
  });

  it.each([
    ['a+b', 'a b'],
    ['a%2Bb', 'a+b'],
    ['a%20b', 'a b'],
    ['in/%E6%9C%AC', 'in/本'],
    ['a//b/../c', 'a//b/../c'],
    ['%00', '\0'],
    ['%F0%9F%98%80', '😀'],
    ['本', '本'],
  ])('decodes the key %s', (key, decoded) => {
    expect(only(parse(record({ object: { key } }))).events[0]?.key).toBe(decoded);
  });

  it.each([['a%2'], ['%E0%A4%A'], ['%'], ['%ff'], ['%ED%A0%80']])('skips the broken key %s and no other', (key) => {
    const { events, skipped } = only(parse(record(), record({ object: { key } }), record()));
    expect(events).toHaveLength(2);
    expect(skipped).toEqual([{ reason: `Records[1]: the key ${JSON.stringify(key)} is not form-url-encoded` }]);
  });

  it.each([
    ['null', null],
    ['a text', 'x'],
    ['no bucket', { ...record(), s3: { object: { key: 'a' } } }],
    ['no key', record({ object: { key: undefined } })],
    ['an empty key', record({ object: { key: '' } })],
    ['a number as key', record({ object: { key: 1 } })],
    ['no version', record({ head: { eventVersion: undefined } })],
    ['another service', record({ head: { eventSource: 'aws:sns' } })],
  ])('skips %s and no other record', (_, broken) => {
    const { events, skipped } = only(parse(broken, record()));
    expect(events).toEqual([CREATED]);
    expect(skipped).toHaveLength(1);
    expect(skipped[0]?.reason).toMatch(/^Records\[0\]: not (an S3 record|from S3)/);
  });

  it('does without what is missing or odd', () => {
    const object = { versionId: undefined, eTag: undefined, size: 1e300, sequencer: null };
    expect(only(parse(record({ object, head: { eventTime: 'soon', awsRegion: '' } }))).events).toEqual([
      { bucket: 'ld-private-1', key: 'in/red flower.jpg', eventName: 'ObjectCreated:Put' },
    ]);
  });

  it('keeps the version id "null" and the size 0', () => {
    expect(only(parse(record({ object: { versionId: 'null', size: 0 } }))).events[0]).toMatchObject({ versionId: 'null', size: 0 });
  });

  it('takes the quotes off an etag', () => {
    expect(only(parse(record({ object: { eTag: '"abc-2"' } }))).events[0]?.etag).toBe('abc-2');
  });

  it('knows the test event, wrapped as well', () => {
    const test = JSON.stringify({ Service: 'Amazon S3', Event: 's3:TestEvent', Time: 'x', Bucket: 'b', RequestId: '1', HostId: '2' });
    expect(parseEvents(test)).toEqual({ kind: 'test' });
    expect(parseEvents(JSON.stringify({ Type: 'Notification', TopicArn: 'arn:x', Message: test }))).toEqual({ kind: 'test' });
  });

  it('unwraps SNS', () => {
    const Message = JSON.stringify({ Records: [record()] });
    const sns = { Type: 'Notification', MessageId: '1', TopicArn: 'arn:aws:sns:x', Subject: 'Amazon S3 Notification', Message };
    expect(parseEvents(JSON.stringify(sns))).toEqual({ kind: 'events', events: [CREATED], skipped: [] });
  });

  it('refuses other SNS messages and SNS inside SNS', () => {
    const wrap = (Type: string, Message: string) => JSON.stringify({ Type, TopicArn: 'arn:x', Message });
    expect(parseEvents(wrap('SubscriptionConfirmation', 'hello'))).toMatchObject({
      kind: 'invalid',
      fault: expect.stringContaining('SubscriptionConfirmation'),
    });
    expect(parseEvents(wrap('Notification', wrap('Notification', '{"Records":[]}')))).toMatchObject({ kind: 'invalid' });
    expect(parseEvents(wrap('Notification', 'no json'))).toMatchObject({
      kind: 'invalid',
      fault: expect.stringContaining('Message of the SNS notification'),
    });
  });

  it('reads EventBridge, whose keys are not encoded', () => {
    expect(parseEvents(JSON.stringify(BRIDGE))).toEqual({
      kind: 'events',
      events: [
        {
          bucket: 'ld-private-1',
          key: 'in/a+b%20c',
          versionId: 'v1',
          etag: 'e',
          size: 5,
          sequencer: '00',
          eventName: 'ObjectCreated:CompleteMultipartUpload',
          time: Date.parse('2026-11-22T10:20:30Z'),
          region: 'eu-west-1',
        },
      ],
      skipped: [],
    });
  });

  it('skips other events of EventBridge', () => {
    expect(only(parseEvents(JSON.stringify({ ...BRIDGE, 'detail-type': 'Object Deleted' }))).skipped).toEqual([
      { reason: 'EventBridge event: not a creation: Object Deleted' },
    ]);
    expect(only(parseEvents(JSON.stringify({ ...BRIDGE, source: 'aws.ec2' }))).skipped).toHaveLength(1);
    expect(only(parseEvents(JSON.stringify({ ...BRIDGE, detail: {} }))).skipped).toHaveLength(1);
  });

  it('reads the webhook of MinIO', () => {
    const minio = record({
      head: { eventVersion: '2.0', eventSource: 'minio:s3', eventName: 's3:ObjectCreated:Put', awsRegion: '' },
      object: { versionId: '', userMetadata: {} },
    });
    const body = JSON.stringify({ EventName: 's3:ObjectCreated:Put', Key: 'ld-private-1/in/red flower.jpg', Records: [minio] });
    const { versionId: _, region: __, ...rest } = CREATED;
    expect(parseEvents(body)).toEqual({ kind: 'events', events: [rest], skipped: [] });
  });

  it('reads notifications of Ceph', () => {
    const ceph = record({
      head: { eventVersion: '2.2', eventSource: 'ceph:s3', eventName: 's3:ObjectCreated:Put', eventId: '1', opaqueData: '' },
      object: { metadata: [], tags: [] },
    });
    expect(only(parse(ceph)).events).toEqual([CREATED]);
  });

  it.each([[''], ['no json'], ['null'], ['1'], ['"x"'], ['[]'], ['{}'], ['{"Records":{}}'], ['{"a":1}'], ['{"Records":[]'], ['\ufeff{}']])(
    'refuses the body %j',
    (body) => {
      expect(parseEvents(body)).toMatchObject({ kind: 'invalid', fault: expect.stringContaining('expected') });
    },
  );

  it('refuses what is larger than a message can be', () => {
    const body = JSON.stringify({ Records: [], fill: 'ä'.repeat(MAX_EVENT_BYTES / 2) });
    expect(parseEvents(body)).toMatchObject({ kind: 'invalid', fault: expect.stringContaining('1048576') });
    expect(parseEvents('['.repeat(MAX_EVENT_BYTES))).toMatchObject({ kind: 'invalid' });
  });

  it('reads a thousand records', () => {
    const body = JSON.stringify({ Records: Array.from({ length: 1000 }, () => record()) });
    expect(only(parseEvents(body)).events).toHaveLength(1000);
  });

  it('refuses nesting that no sender has, and counts no bracket inside a text', () => {
    const withMember = (json: string) =>
      JSON.stringify({ Records: [record()] }).replace('"userIdentity":{', `"more":${json},"userIdentity":{`);
    expect(parseEvents(withMember(`${'['.repeat(100)}${']'.repeat(100)}`))).toMatchObject({
      kind: 'invalid',
      fault: expect.stringContaining('64 levels'),
    });
    expect(only(parseEvents(withMember(`${'['.repeat(50)}${']'.repeat(50)}`))).events).toEqual([CREATED]);
    expect(only(parseEvents(withMember(JSON.stringify('\\"[{'.repeat(100))))).events).toEqual([CREATED]);
  });

  it('never throws', () => {
    const odd = fc.oneof(
      fc.jsonValue(),
      fc.string({ unit: 'binary' }),
      fc.constantFrom('%', 'a%2', 'ObjectCreated:Put', 's3:ObjectRemoved:Delete', '2.1', 1e300),
    );
    const changes = fc.record({
      head: fc.dictionary(fc.constantFrom('eventVersion', 'eventName', 'eventSource', 's3'), odd),
      object: fc.dictionary(fc.constantFrom('key', 'size', 'versionId', 'eTag', 'sequencer'), odd),
    });
    const records = fc
      .array(
        fc.oneof(
          changes.map((change) => record(change)),
          fc.jsonValue(),
        ),
      )
      .map((list) => JSON.stringify({ Records: list }));
    const bridge = fc
      .dictionary(fc.constantFrom('detail', 'detail-type', 'source', 'time'), odd)
      .map((change) => JSON.stringify({ ...BRIDGE, ...change }));
    const sns = fc.oneof(records, bridge, fc.string()).map((Message) => JSON.stringify({ Type: 'Notification', TopicArn: '', Message }));
    fc.assert(
      fc.property(fc.oneof(records, bridge, sns, fc.json(), fc.string({ unit: 'binary' })), (body) => {
        const parsed = parseEvents(body);
        if (parsed.kind !== 'events') return;
        for (const event of parsed.events) {
          expect(event.bucket).not.toBe('');
          expect(event.key).not.toBe('');
          expect(event.eventName).toMatch(/^ObjectCreated:/);
        }
        for (const { reason } of parsed.skipped) expect(reason.isWellFormed()).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  it('gives back every key as it was', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 200 }), (key) => {
        const encoded = encodeURIComponent(key).replaceAll('%20', '+');
        expect(only(parse(record({ object: { key: encoded } }))).events[0]?.key).toBe(key);
      }),
      { numRuns: 2000 },
    );
  });
});
