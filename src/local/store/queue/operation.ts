import type Type from 'typebox';
import { Compile } from 'typebox/compile';
import type { Messages } from './messages.ts';
import type { Queues } from './queues.ts';
import { SqsError } from './sqs-error.ts';

/** One verified SQS request: where its client found the store, who sent it, and when that client is gone. */
export type SqsContext = { queues: Queues; messages: Messages; baseUrl: string; sender: string; goneSignal: () => AbortSignal };

/** An SQS operation: input is the parsed JSON body. Throws SqsError. */
export type SqsOperation = (context: SqsContext, input: unknown) => object | Promise<object>;

/** Wraps an operation with the check of its input. */
export function operation<T extends Type.TSchema>(
  schema: T,
  run: (context: SqsContext, input: Type.Static<T>) => object | Promise<object>,
): SqsOperation {
  const validator = Compile(schema);
  return (context, input) => {
    // Check is a guard for exactly this schema, but its generic form is not seen to be that.
    if (validator.Check(input)) return run(context, input as Type.Static<T>);
    const fault = validator.Errors(input)[0];
    throw new SqsError(
      'InvalidParameterValueException',
      `The request is wrong at ${fault?.instancePath || '/'}: ${fault?.message ?? 'not as expected'}.`,
    );
  };
}
