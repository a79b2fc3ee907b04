import Type from 'typebox';
import { Compile } from 'typebox/compile';

const Chance = Type.Number({ minimum: 0, maximum: 1 });
const Milliseconds = Type.Number({ minimum: 0, maximum: 900_000 });
const Settings = Type.Object(
  {
    duplicate: Type.Optional(Chance),
    reorder: Type.Optional(Chance),
    delay_ms: Type.Optional(Type.Union([Milliseconds, Type.Array(Milliseconds, { minItems: 2, maxItems: 2 })])),
  },
  { additionalProperties: false },
);
/** How S3 events are mistreated: the share that comes twice, the share held back so that others overtake, the delay in milliseconds. */
export type ChaosSettings = Type.Static<typeof Settings>;

const settings = Compile(Settings);

/** The chaos switch of a store. It concerns S3 events alone; messages that clients send are left in peace. */
export type Chaos = {
  current(): ChaosSettings;
  set(settings: ChaosSettings): void;
  /** The delays, in milliseconds, of the copies of one event to be sent: [0] without chaos. */
  deliveries(): number[];
};

// A held-back event waits up to this long, so that events up to so much younger overtake it.
const REORDER_MS = 1000;

/** Makes the switch; `random` gives numbers in [0, 1). */
export function createChaos(deps: { random: () => number; initial: ChaosSettings }): Chaos {
  const { random } = deps;
  let current = deps.initial;

  function delay(): number {
    const { delay_ms = 0, reorder = 0 } = current;
    const [from, to] = typeof delay_ms === 'number' ? [delay_ms, delay_ms] : [delay_ms[0] ?? 0, delay_ms[1] ?? 0];
    const held = reorder > 0 && random() < reorder ? random() * REORDER_MS : 0;
    return Math.round(from + random() * (to - from) + held);
  }

  return {
    current: () => current,
    set(next) {
      current = next;
    },
    deliveries() {
      const { duplicate = 0 } = current;
      return duplicate > 0 && random() < duplicate ? [delay(), delay()] : [delay()];
    },
  };
}

/**
 * Reads chaos settings from JSON text, `{"duplicate": 0.1, "reorder": 0.2, "delay_ms": [100, 500]}`.
 * Throws an Error that says what was expected.
 */
export function parseChaos(text: string): ChaosSettings {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw new Error(`The chaos settings are not JSON: found ${JSON.stringify(text.slice(0, 100))}`, { cause });
  }
  if (settings.Check(parsed)) return parsed;
  const fault = settings.Errors(parsed)[0];
  throw new Error(
    `The chaos settings are wrong at ${fault?.instancePath || '/'}: ${fault?.message ?? 'not as expected'}; expected {"duplicate": 0…1, "reorder": 0…1, "delay_ms": n or [min, max], at most 900000}`,
  );
}
