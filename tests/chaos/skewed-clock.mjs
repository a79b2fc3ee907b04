// Preloaded into a worker: its clock is CHAOS_SKEW_MS milliseconds wrong.
const skew = Number(process.env.CHAOS_SKEW_MS ?? 0);
const RealDate = Date;
const now = () => RealDate.now() + skew;
globalThis.Date = new Proxy(RealDate, {
  construct: (target, args, newTarget) => Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget),
  apply: () => new RealDate(now()).toString(),
  get: (target, name) => (name === 'now' ? now : Reflect.get(target, name)),
});
