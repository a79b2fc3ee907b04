// Error names of the JSON protocol, with the code that older clients know (SQS API reference; `x-amzn-query-error`).
const codes = {
  AccessDeniedException: [403, 'AccessDenied'],
  BatchEntryIdsNotDistinct: [400, 'AWS.SimpleQueueService.BatchEntryIdsNotDistinct'],
  BatchRequestTooLong: [400, 'AWS.SimpleQueueService.BatchRequestTooLong'],
  EmptyBatchRequest: [400, 'AWS.SimpleQueueService.EmptyBatchRequest'],
  InvalidAddress: [400, 'InvalidAddress'],
  InvalidAttributeName: [400, 'InvalidAttributeName'],
  InvalidAttributeValue: [400, 'InvalidAttributeValue'],
  InvalidBatchEntryId: [400, 'AWS.SimpleQueueService.InvalidBatchEntryId'],
  InvalidMessageContents: [400, 'InvalidMessageContents'],
  InvalidParameterValueException: [400, 'InvalidParameterValue'],
  MessageNotInflight: [400, 'AWS.SimpleQueueService.MessageNotInflight'],
  QueueDoesNotExist: [400, 'AWS.SimpleQueueService.NonExistentQueue'],
  QueueNameExists: [400, 'QueueAlreadyExists'],
  ReceiptHandleIsInvalid: [400, 'ReceiptHandleIsInvalid'],
  SerializationException: [400, 'SerializationException'],
  TooManyEntriesInBatchRequest: [400, 'AWS.SimpleQueueService.TooManyEntriesInBatchRequest'],
  UnknownOperationException: [400, 'InvalidAction'],
  UnsupportedOperation: [400, 'AWS.SimpleQueueService.UnsupportedOperation'],
} as const satisfies Record<string, readonly [number, string]>;

/** The name of an SQS error that the store can answer with. */
export type SqsErrorCode = keyof typeof codes;

/** A refusal in SQS' own words. */
export class SqsError extends Error {
  override readonly name = 'SqsError';
  readonly code: SqsErrorCode;
  readonly status: number;
  /** The code as clients of the older query protocol know it; batch results carry it too. */
  readonly queryCode: string;

  constructor(code: SqsErrorCode, message: string) {
    super(message);
    this.code = code;
    this.status = codes[code][0];
    this.queryCode = codes[code][1];
  }
}
