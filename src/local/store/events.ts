import type { Bucket } from './buckets.ts';
import type { Chaos } from './chaos.ts';
import { encodePercent } from './http-request.ts';
import { wants } from './notification-rules.ts';
import type { Messages } from './queue/messages.ts';
import type { Queues } from './queue/queues.ts';
import { sequencer } from './sequence.ts';

/** Who did something to an object, for the event that tells of it. */
export type Requester = { principalId: string; sourceAddress: string; requestId: string; hostId: string };

/** A change of one object. */
export type ObjectChange = {
  /** Without `s3:`, as events spell it. */
  event:
    | 'ObjectCreated:Put'
    | 'ObjectCreated:Post'
    | 'ObjectCreated:Copy'
    | 'ObjectCreated:CompleteMultipartUpload'
    | 'ObjectRemoved:Delete'
    | 'ObjectRemoved:DeleteMarkerCreated';
  key: string;
  /** Absent in a bucket without versions. */
  versionId: string | undefined;
  sequence: number;
  /** Milliseconds since 1970. */
  time: number;
  /** Of a created object; absent for a removal. */
  created?: { size: number; etag: string };
};

/** Tells queues what happened to objects. */
export type Events = {
  /** Inside the transaction of the change itself: writes the messages of all rules that want it, so both are kept or neither. */
  announce(bucket: Bucket, change: ObjectChange, requester: Requester): void;
  /** Sends the `s3:TestEvent` that S3 sends when a configuration is put. */
  announceTest(bucket: Bucket, queueArn: string, requester: Requester, time: number): void;
};

/** Makes the announcer. */
export function createEvents(deps: { queues: Queues; messages: Messages; chaos: Chaos; region: string }): Events {
  const { queues, messages, chaos, region } = deps;
  return {
    announce(bucket, change, requester) {
      for (const rule of bucket.rules) {
        if (!wants(rule, change.event, change.key)) continue;
        const queue = queues.findByArn(rule.queueArn);
        // As on AWS: an event whose queue was deleted is lost, the write is not.
        if (!queue) continue;
        const body = JSON.stringify({ Records: [record(region, bucket, change, requester, rule.id)] });
        for (const delayMs of chaos.deliveries()) messages.send(queue, { body, delayMs, sender: 'AIDALOCALS3EVENTS' });
      }
    },
    announceTest(bucket, queueArn, requester, time) {
      const queue = queues.findByArn(queueArn);
      if (!queue) return;
      const body = JSON.stringify({
        Service: 'Amazon S3',
        Event: 's3:TestEvent',
        Time: new Date(time).toISOString(),
        Bucket: bucket.name,
        RequestId: requester.requestId,
        HostId: requester.hostId,
      });
      messages.send(queue, { body, delayMs: 0, sender: 'AIDALOCALS3EVENTS' });
    },
  };
}

// The record of event version 2.1 (S3 user guide, "Event message structure").
function record(region: string, bucket: Bucket, change: ObjectChange, requester: Requester, configurationId: string) {
  return {
    eventVersion: '2.1',
    eventSource: 'aws:s3',
    awsRegion: region,
    eventTime: new Date(change.time).toISOString(),
    eventName: change.event,
    userIdentity: { principalId: requester.principalId },
    requestParameters: { sourceIPAddress: requester.sourceAddress },
    responseElements: { 'x-amz-request-id': requester.requestId, 'x-amz-id-2': requester.hostId },
    s3: {
      s3SchemaVersion: '1.0',
      configurationId,
      bucket: { name: bucket.name, ownerIdentity: { principalId: 'AUTOFILESLOCAL' }, arn: `arn:aws:s3:::${bucket.name}` },
      object: {
        key: formEncode(change.key),
        ...(change.created && { size: change.created.size, eTag: change.created.etag }),
        ...(change.versionId !== undefined && { versionId: change.versionId }),
        sequencer: sequencer(change.sequence),
      },
    },
  };
}

// Keys in events are form-url-encoded, with `/` kept (S3 user guide: `red flower.jpg` comes as `red+flower.jpg`).
function formEncode(key: string): string {
  return encodePercent(key).replaceAll('%2F', '/').replaceAll('%20', '+');
}
