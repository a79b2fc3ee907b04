import { createHash, hash } from 'node:crypto';
import type { MessageAttribute } from './messages.ts';
import { SqsError } from './sqs-error.ts';

/** The MD5 sums that SQS clients compare. */
export const md5OfAttributes = {
  /** Of a message's body. */
  body: (body: string): string => hash('md5', body, 'hex'),
  /** Of attributes: lengths, names, types and values in the order of the names (SQS developer guide, "Calculating the MD5 message digest for message attributes"). */
  of(attributes: Record<string, MessageAttribute>): string {
    const digest = createHash('md5');
    const add = (bytes: Buffer): void => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(bytes.length);
      digest.update(length).update(bytes);
    };
    for (const name of Object.keys(attributes).sort()) {
      const attribute = attributes[name];
      if (!attribute) continue;
      add(Buffer.from(name));
      add(Buffer.from(attribute.DataType));
      const binary = attribute.DataType.startsWith('Binary');
      digest.update(Buffer.of(binary ? 2 : 1));
      add(binary ? Buffer.from(attribute.BinaryValue ?? '', 'base64') : Buffer.from(attribute.StringValue ?? ''));
    }
    return digest.digest('hex');
  },
};

// AWS allows ten attributes a message (SQS developer guide, "Message attributes").
const MAX_ATTRIBUTES = 10;

/** Checks a message's attributes. Throws SqsError InvalidParameterValueException. */
export function checkMessageAttributes(attributes: Record<string, MessageAttribute>): void {
  const names = Object.keys(attributes);
  if (names.length > MAX_ATTRIBUTES)
    throw wrong(`Number of message attributes [${names.length}] exceeds the allowed maximum [${MAX_ATTRIBUTES}].`);
  for (const [name, { DataType, StringValue, BinaryValue }] of Object.entries(attributes)) {
    if (!/^[A-Za-z0-9_.-]{1,256}$/.test(name)) throw wrong(`Message (user) attribute name '${name}' is not valid.`);
    if (!/^(String|Number|Binary)(\..{1,248})?$/.test(DataType))
      throw wrong(`The message attribute '${name}' has an invalid type '${DataType}'; expected String, Number or Binary.`);
    const value = DataType.startsWith('Binary') ? BinaryValue : StringValue;
    if (!value) throw wrong(`The message attribute '${name}' must contain a non-empty value of its type ${DataType}.`);
    if (DataType.startsWith('Number') && Number.isNaN(Number(value)))
      throw wrong(`Can't cast the value of message attribute '${name}' to a number.`);
  }
}

function wrong(message: string): SqsError {
  return new SqsError('InvalidParameterValueException', message);
}
