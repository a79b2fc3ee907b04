// Webhooks: who is told that a run has ended, and what came of telling.
import Type, { type Static } from 'typebox';

const Time = Type.String({ description: 'ISO 8601, UTC' });

export const WebhookView = Type.Object({
  id: Type.String(),
  url: Type.String(),
  created_at: Time,
  paused: Type.Union([Type.Object({ at: Time, why: Type.String() }), Type.Null()], {
    description:
      'Set when none of 50 tries or more in at least six hours was taken: runs that end are not told until a test (`ping`) is taken; what ended meanwhile is not told later',
  }),
});
export type WebhookView = Static<typeof WebhookView>;

export const DeliveryView = Type.Object({
  at: Time,
  id: Type.String({ description: '`webhook-id` of the delivery; the same for each of its tries' }),
  webhook: Type.String({ description: 'Id of the webhook' }),
  run: Type.Union([Type.String(), Type.Null()], { description: 'Id of the run that ended; null for a test' }),
  attempt: Type.Number({ description: 'Counted from 1' }),
  status: Type.Union([Type.Number(), Type.Null()], { description: 'HTTP status; null when no answer came' }),
  error: Type.Union([Type.String(), Type.Null()], { description: 'Why it was no success' }),
  ms: Type.Number({ description: 'Milliseconds that it took' }),
});
export type DeliveryView = Static<typeof DeliveryView>;
