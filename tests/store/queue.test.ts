import {
  ChangeMessageVisibilityCommand,
  CreateQueueCommand,
  DeleteMessageCommand,
  DeleteQueueCommand,
  GetQueueAttributesCommand,
  GetQueueUrlCommand,
  ListQueuesCommand,
  PurgeQueueCommand,
  SendMessageBatchCommand,
  SetQueueAttributesCommand,
} from '@aws-sdk/client-sqs';
import { describe, expect, it } from 'vitest';
import { advance, counts, fails, one, queue, receive, restart, send, sqs } from './queue-client.ts';

describe('queues', () => {
  it('are made once, found by name, listed and deleted', async () => {
    const url = await queue({ VisibilityTimeout: '45' });
    const name = url.slice(url.lastIndexOf('/') + 1);
    expect((await sqs.send(new CreateQueueCommand({ QueueName: name, Attributes: { VisibilityTimeout: '45' } }))).QueueUrl).toBe(url);
    expect(await fails(sqs.send(new CreateQueueCommand({ QueueName: name, Attributes: { VisibilityTimeout: '46' } })))).toBe(
      'QueueNameExists',
    );
    expect((await sqs.send(new GetQueueUrlCommand({ QueueName: name }))).QueueUrl).toBe(url);
    expect((await sqs.send(new ListQueuesCommand({ QueueNamePrefix: name }))).QueueUrls).toEqual([url]);
    await sqs.send(new DeleteQueueCommand({ QueueUrl: url }));
    expect(await fails(send(url, 'x'))).toBe('QueueDoesNotExist');
  });

  it('keep their attributes, checked', async () => {
    const url = await queue();
    await sqs.send(new SetQueueAttributesCommand({ QueueUrl: url, Attributes: { MessageRetentionPeriod: '1209600', Policy: '{}' } }));
    const { Attributes } = await sqs.send(
      new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: ['MessageRetentionPeriod', 'Policy'] }),
    );
    expect(Attributes).toEqual({ MessageRetentionPeriod: '1209600', Policy: '{}' });
    for (const attributes of [{ VisibilityTimeout: '43201' }, { DelaySeconds: 'x' }, { RedrivePolicy: '{}' }])
      expect(await fails(sqs.send(new SetQueueAttributesCommand({ QueueUrl: url, Attributes: attributes })))).toBe('InvalidAttributeValue');
    for (const attributes of [{ FifoQueue: 'true' }, { Nonsense: '1' }])
      expect(await fails(sqs.send(new SetQueueAttributesCommand({ QueueUrl: url, Attributes: attributes })))).toBe('InvalidAttributeName');
  });

  it('and their messages outlive a restart, in flight or not', async () => {
    const url = await queue();
    await sqs.send(new SendMessageBatchCommand({ QueueUrl: url, Entries: ['a', 'b', 'c'].map((Id) => ({ Id, MessageBody: Id })) }));
    const taken = await one(url);
    await restart();
    expect(await counts(url)).toEqual([2, 1, 0]);
    await sqs.send(new DeleteMessageCommand({ QueueUrl: url, ReceiptHandle: taken.ReceiptHandle }));
    expect(await counts(url)).toEqual([2, 0, 0]);
  });
});

describe('messages', () => {
  it('carry attributes and their checksums', async () => {
    const url = await queue();
    await send(url, 'hello', {
      MessageAttributes: {
        text: { DataType: 'String', StringValue: 'ü' },
        number: { DataType: 'Number', StringValue: '12' },
        binary: { DataType: 'Binary', BinaryValue: Buffer.from([0, 255]) },
      },
      MessageSystemAttributes: { AWSTraceHeader: { DataType: 'String', StringValue: 'Root=1' } },
    });
    const message = await one(url, { MessageAttributeNames: ['All'] });
    expect(message.Body).toBe('hello');
    expect(message.MessageAttributes?.['text']?.StringValue).toBe('ü');
    expect([...(message.MessageAttributes?.['binary']?.BinaryValue ?? [])]).toEqual([0, 255]);
    expect(message.Attributes).toMatchObject({ ApproximateReceiveCount: '1', AWSTraceHeader: 'Root=1', SenderId: '000000000000' });
    expect(Math.abs(Number(message.Attributes?.SentTimestamp) - Date.now())).toBeLessThan(60_000);
  });

  it('come back when their time is over, with a new handle and a higher count', async () => {
    const url = await queue({ VisibilityTimeout: '30' });
    await send(url, 'again');
    const first = await one(url);
    expect([await receive(url), await counts(url)]).toEqual([[], [0, 1, 0]]);
    advance(30_001);
    const second = await one(url);
    expect([second.MessageId, second.Attributes?.ApproximateReceiveCount]).toEqual([first.MessageId, '2']);
    expect(second.ReceiptHandle).not.toBe(first.ReceiptHandle);
    // The handle of the earlier receive deletes nothing, as on AWS.
    await sqs.send(new DeleteMessageCommand({ QueueUrl: url, ReceiptHandle: first.ReceiptHandle }));
    expect(await counts(url)).toEqual([0, 1, 0]);
    await sqs.send(new DeleteMessageCommand({ QueueUrl: url, ReceiptHandle: second.ReceiptHandle }));
    expect(await counts(url)).toEqual([0, 0, 0]);
  });

  it('can be kept longer, given back at once, but not once they are visible', async () => {
    const url = await queue({ VisibilityTimeout: '30' });
    await send(url, 'longer');
    const message = await one(url);
    const change = (seconds: number, handle = message.ReceiptHandle) =>
      sqs.send(new ChangeMessageVisibilityCommand({ QueueUrl: url, ReceiptHandle: handle, VisibilityTimeout: seconds }));
    await change(100);
    advance(60_000);
    expect(await receive(url)).toEqual([]);
    await change(0);
    expect(await fails(change(10))).toBe('MessageNotInflight');
    expect((await one(url)).MessageId).toBe(message.MessageId);
    expect(await fails(change(10, 'nonsense'))).toBe('ReceiptHandleIsInvalid');
  });

  it('wait for their delay', async () => {
    const url = await queue();
    await send(url, 'later', { DelaySeconds: 900 });
    expect([await receive(url), await counts(url)]).toEqual([[], [0, 0, 1]]);
    advance(900_001);
    expect((await one(url)).Body).toBe('later');
  });

  it('go to the dead-letter queue after the last allowed receive', async () => {
    const dead = await queue();
    const arn = `arn:aws:sqs:us-east-1:000000000000:${dead.slice(dead.lastIndexOf('/') + 1)}`;
    const url = await queue({ RedrivePolicy: JSON.stringify({ deadLetterTargetArn: arn, maxReceiveCount: 2 }) });
    await send(url, 'poison');
    await send(url, 'poison too');
    for (let n = 0; n < 2; n += 1) {
      expect((await receive(url, { MaxNumberOfMessages: 10 })).length).toBe(2);
      advance(30_001);
    }
    await send(url, 'fresh');
    expect((await receive(url, { MaxNumberOfMessages: 1 })).map((message) => message.Body)).toEqual(['fresh']);
    const buried = await receive(dead, { MaxNumberOfMessages: 10 });
    expect(buried.map((message) => message.Body).sort()).toEqual(['poison', 'poison too']);
    expect(buried[0]?.Attributes?.DeadLetterQueueSourceArn).toContain('queue-');
  });

  it('are forgotten after their retention', async () => {
    const url = await queue({ MessageRetentionPeriod: '60' });
    await send(url, 'old');
    advance(61_000);
    expect(await receive(url)).toEqual([]);
    expect(await counts(url)).toEqual([0, 0, 0]);
  });

  it('are purged', async () => {
    const url = await queue();
    await send(url, 'x');
    await sqs.send(new PurgeQueueCommand({ QueueUrl: url }));
    expect(await counts(url)).toEqual([0, 0, 0]);
  });

  it('are refused when empty, too large or not text', async () => {
    const url = await queue({ MaximumMessageSize: '1024' });
    expect(await fails(send(url, ''))).toBe('InvalidParameterValue');
    expect(await fails(send(url, 'x'.repeat(1025)))).toBe('InvalidParameterValue');
    expect(await fails(send(url, '\u0000'))).toBe('InvalidMessageContents');
  });
});

it('refuses a dead-letter queue that is the queue itself', async () => {
  const url = await queue();
  const { Attributes } = await sqs.send(new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: ['QueueArn'] }));
  const RedrivePolicy = JSON.stringify({ deadLetterTargetArn: Attributes?.QueueArn, maxReceiveCount: 1 });
  await expect(sqs.send(new SetQueueAttributesCommand({ QueueUrl: url, Attributes: { RedrivePolicy } }))).rejects.toThrow(
    'is the queue itself',
  );
});
