/** A bug that the engine might have had: one change of one file, and the test that must notice it. */
export interface SeededBug {
  readonly name: string;
  /** Below src/. */
  readonly file: string;
  /** What stands there, once. */
  readonly from: string;
  readonly to: string;
  readonly caughtBy: string;
  /** What its failure says, name of the test and first line: red for another reason is not caught. `hung`: the test must not end in its time. */
  readonly says: RegExp | 'hung';
}

/** The comparison with the model, run by itself: a test runner would take longer than the comparison. */
export const MODEL = 'tests/model/main.ts';
/** A bug of a script below src/queues/lua/. */
export const luaBug = (script: string, name: string, from: string, to: string, says: RegExp, caughtBy = MODEL): SeededBug => ({
  name,
  file: `queues/lua/${script}.lua`,
  from,
  to,
  caughtBy,
  says,
});
