// What the archive bucket says of the ledger: watermarks, and the witness of the store's epoch. Both decide what may run
// again, so what is not exactly as expected counts as absent.
import Type, { type Static } from 'typebox';
import { Compile } from 'typebox/compile';

const Time = Type.Integer({ minimum: 0, maximum: 253_402_300_799_999, description: 'Milliseconds since 1970' });

const Watermark = Type.Object({
  format: Type.Literal(1),
  resource: Type.String(),
  bucket: Type.String(),
  /** From when on the bucket's versions are accounted for; older ones never run by themselves. */
  since: Time,
  /** When the account began. */
  begun: Time,
  /** Every version saved up to here has its decision, and every run of one has ended and is archived. */
  at: Time,
});
export type Watermark = Static<typeof Watermark>;

/** How many shards there were over time (queues/layout.ts): count, and from when on (ms), oldest first. */
export const LayoutEntries = Type.Array(Type.Tuple([Type.Integer({ minimum: 1 }), Type.Number()]), { maxItems: 1_001 });
export type LayoutEntries = Static<typeof LayoutEntries>;

const Witness = Type.Object({
  format: Type.Literal(1),
  epoch: Type.Integer({ minimum: 1 }),
  /** Redis had counted so far. */
  beat: Type.Integer({ minimum: 0 }),
  since: Time,
  /** The same at the other places of a cluster (queues/store-epoch.ts), in their order. */
  nodes: Type.Optional(Type.Array(Type.Integer({ minimum: 0 }))),
  /** Which start of Redis that was, by its own name, with spaces between those of a cluster's places; absent in witnesses from before. */
  server: Type.Optional(Type.String()),
  /** The epoch has not begun: what was lost with the one before is being put back, and nothing was launched in it. */
  recovering: Type.Optional(Type.Boolean()),
  layout: Type.Optional(LayoutEntries),
});
export type Witness = Static<typeof Witness>;

const watermark = Compile(Watermark);
const witness = Compile(Witness);

/** A resource's watermark; undefined when the text is not one of that resource and bucket. */
export function readWatermark(text: string, resource: { readonly id: string; readonly bucket: string }): Watermark | undefined {
  const parsed = jsonOf(text);
  if (!watermark.Check(parsed) || parsed.resource !== resource.id || parsed.bucket !== resource.bucket) return undefined;
  return parsed.since <= parsed.at ? parsed : undefined;
}

/** The witness of the epoch; undefined when the text is none. */
export function readWitness(text: string): Witness | undefined {
  const parsed = jsonOf(text);
  return witness.Check(parsed) ? parsed : undefined;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // no JSON is no mark
    return undefined;
  }
}
