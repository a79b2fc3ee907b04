// Preloaded into a process: its clock is CHAOS_SKEW_MS milliseconds wrong, jumps by CHAOS_JUMP_MS two seconds after its start, and runs
// away by CHAOS_DRIFT_MS a second.
const JUMP_AFTER_MS = 2_000;
const [skew, jump, drift] = ['SKEW', 'JUMP', 'DRIFT'].map((name) => Number(process.env[`CHAOS_${name}_MS`] ?? 0));
const RealDate = Date;
const began = performance.now();
const now = () => {
  const age = performance.now() - began;
  return Math.round(RealDate.now() + skew + (age > JUMP_AFTER_MS ? jump : 0) + (drift * age) / 1_000);
};
globalThis.Date = new Proxy(RealDate, {
  construct: (target, args, newTarget) => Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget),
  apply: () => new RealDate(now()).toString(),
  get: (target, name) => (name === 'now' ? now : Reflect.get(target, name)),
});
