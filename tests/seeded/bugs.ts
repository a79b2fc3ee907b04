// Bugs that the engine might have had: each is one change of one file, and names the test that must notice it.

export interface SeededBug {
  readonly name: string;
  /** Below src/. */
  readonly file: string;
  /** What stands there, once. */
  readonly from: string;
  readonly to: string;
  readonly caughtBy: string;
}

/** The comparison with the model, run by itself: a test runner would take longer than the comparison. */
export const MODEL = 'tests/model/main.ts';
const lua = (script: string, name: string, from: string, to: string, caughtBy = MODEL): SeededBug => ({
  name,
  file: `queues/lua/${script}.lua`,
  from,
  to,
  caughtBy,
});

export const SEEDED_BUGS: readonly SeededBug[] = [
  lua('accept', 'dedupe dropped: the same event makes its run anew', 'if state then return state end', ''),
  lua('enter', 'siblings are never released', 'if s > 0 and i == 0 and gate and rel < s then', 'if false then'),
  lua(
    'enter',
    'step off by one: a step begins before the one before it has settled',
    "tonumber(v[15] or '0') >= tonumber(v[14] or '0')",
    "tonumber(v[15] or '0') + 1 >= tonumber(v[14] or '0')",
  ),
  lua('enter', 'order between steps ignored', 'local gate = s == 0 or', 'local gate = true or'),
  lua('enter', 'cancel not looked at', 'if cancel then\n  stop_dyno()', 'if false then\n  stop_dyno()'),
  lua('enter', 'a cancel skips what has succeeded and cools', "if cancel and phase == 'cool' then", 'if false then'),
  lua('enter', 'new attempts begin in a failing run', 'if failing and not launched and not out then', 'if false then'),
  lua(
    'enter',
    'a failure skips what was launched',
    "local launched = phase == 'intent' or phase == 'await' or phase == 'cool'",
    "local launched = phase == 'intent'",
  ),
  lua('enter', 'wait_for forgotten', "tonumber(string.match(out, '^%d+')) + tonumber(ARGV[7])", "tonumber(string.match(out, '^%d+'))"),
  lua(
    'enter',
    'fence skipped: somebody else’s intent is sent again',
    'if token == ARGV[5] then return launch() end',
    'if true then return launch() end',
  ),
  lua('enter', 'the deadline is not waited for', "  if now < due then return reply('park', due - now) end\n  if ARGV[15]", '  if ARGV[15]'),
  lua('enter', 'exit treated as failure without grace', "local grace = ARGV[12] == '1' and 0 or tonumber(ARGV[14])", 'local grace = 0'),
  lua('enter', 'one retry too few', 'used <= tonumber(ARGV[8])', 'used < tonumber(ARGV[8])'),
  lua('enter', 'one retry too many', 'used <= tonumber(ARGV[8])', 'used <= tonumber(ARGV[8]) + 1'),
  lua(
    'enter',
    'a retry keeps the number of its attempt',
    "'backoff', 'a:' .. t, attempt + 1, 'dl:'",
    "'backoff', 'a:' .. t, attempt, 'dl:'",
  ),
  lua('enter', 'the backoff is not waited for', "if phase == 'backoff' and now < tonumber(v[11]) then", 'if false then'),
  lua('enter', 'a task settles twice', "if settled(phase) then return reply('settled', 0, phase) end", ''),
  lua('enter', 'a settled task is counted twice', "redis.call('HINCRBY', run, 'd' .. s, 1)", "redis.call('HINCRBY', run, 'd' .. s, 2)"),
  lua('enter', 'a failed task does not fail its run', "redis.call('HSET', run, 'failing', failing)", ''),
  lua(
    'enter',
    'the intent is not recorded',
    "redis.call('HSET', run, 'p:' .. t, 'intent', 'a:' .. t, attempt, 'i:' .. t, ARGV[5] .. '|' .. now)",
    '',
  ),
  lua('deliver', 'bucket ignored: any resource’s object counts', "if v[2] ~= ARGV[4] then return 'foreign' end", ''),
  lua('deliver', 'completed twice: a later output replaces the first', 'if settled(v[3]) or v[5] then', 'if settled(v[3]) then'),
  lua('deliver', 'an output counts after the end of its task', 'if settled(v[3]) or v[5] then', 'if v[5] then'),
  lua(
    'deliver',
    'an output counts for a task that was never launched',
    "if not (v[5] or v[7] or v[8] or v[10] or tonumber(v[4] or '1') > 1) then",
    'if false then',
  ),
  lua(
    'deliver',
    'the same output twice is taken for a second one',
    "if first and cjson.decode(first).version_id == ARGV[5] then return 'duplicate' end",
    '',
  ),
  lua(
    'launched',
    'a launch of an attempt that was closed counts',
    "if v[2] ~= ARGV[4] or not (v[1] == 'intent' or v[1] == 'cool') then",
    "if not (v[1] == 'intent' or v[1] == 'cool') then",
  ),
  lua(
    'launched',
    'the deadline never starts',
    "redis.call('HSET', run, 'p:' .. t, 'await', 'dl:' .. t, now + tonumber(ARGV[5]))",
    "redis.call('HSET', run, 'dl:' .. t, now + tonumber(ARGV[5]))",
  ),
  lua('observe', 'the end of an old attempt’s dyno counts', "if v[1] ~= 'await' or v[2] ~= ARGV[4] then", "if v[1] ~= 'await' then"),
  lua('refused', 'what is called lost wins over its output', "if ARGV[5] == 'lost' and v[4] then return 0 end", ''),
  lua(
    'refused',
    'a refused launch stays an intent',
    "redis.call('HSET', run, 'p:' .. t, 'backoff', 'dl:' .. t, now + tonumber(ARGV[6]))\n  redis.call('HSETNX'",
    "redis.call('HSETNX'",
  ),
  lua('refused', 'a refusal for good does not settle its task', "redis.call('HINCRBY', run, 'd' .. string.match(t, '^%d+'), 1)", ''),
  lua('finish', 'a run ends while tasks are open', "then return 'open' end", 'then break end'),
  lua('finish', 'a run ends twice', "if v[2] then return 'ended:' .. v[1] end", ''),
  lua('finish', 'a failed run is called succeeded', "  state = 'failed'\n", "  state = 'succeeded'\n"),
  lua('cancel', 'a cancel before the tree is forgotten', "redis.call('HSET', KEYS[1], 'state', state, 'cancel', now, 'end', now)", ''),
  {
    name: '5xx taken for a refusal, so that the launch is sent again',
    file: 'clients/heroku-launch.ts',
    from: 'status >= 400 && status < 500',
    to: 'status >= 400 && status < 600',
    caughtBy: 'tests/clients-ports/heroku-launch.test.ts',
  },
  {
    name: 'keys of events not decoded',
    file: 'schema/s3-event.ts',
    from: 'decodeURIComponent(',
    to: 'String(',
    caughtBy: 'tests/schema/s3-event.test.ts',
  },
  {
    name: 'reserved option names let through',
    file: 'schema/option-entry.ts',
    from: 'if (isRefused(name))',
    to: 'if (false)',
    caughtBy: 'tests/fuzz/fuzz.test.ts',
  },
  lua(
    'enter',
    'drain without promotion: a failing run leaves the held siblings where they are',
    'and gate and rel < s then',
    'and gate and rel < s and not failing then',
    // the model sees what a task that is handed out answers, not that a parked one never is
    'tests/engine/branches.test.ts',
  ),
  {
    name: 'intent kept in BullMQ’s job: whoever is handed the job again sends it again',
    file: 'processors/task.ts',
    from: 'let own = deps.token();',
    to: 'let own = activation.ref.id;',
    caughtBy: 'tests/faults/frozen-workers.test.ts',
  },
  lua(
    'recheck',
    'park in two calls: what changes between decision and park is not looked at',
    'v[7]) == ARGV[4] then return 0 end',
    'v[7]) ~= nil then return 0 end',
    'tests/engine/bullmq-contract.test.ts',
  ),
  {
    name: 'sweep without watermark: what was saved before the account runs by itself',
    file: 'processors/begin-account.ts',
    from: 'since: versions.length === 0 ? 0 : now, begun',
    to: 'since: 0, begun',
    caughtBy: 'tests/ledger/sweep.test.ts',
  },
  {
    name: 'watermark passes a run that has not ended',
    file: 'processors/sweep-buckets.ts',
    from: '(oldest ?? began) - 1, (open ?? began) - 1)',
    to: '(oldest ?? began) - 1)',
    caughtBy: 'tests/ledger/sweep.test.ts',
  },
  {
    name: 'message deleted before the decision',
    file: 'processors/events.ts',
    from: 'return { done: false, againIn };',
    to: 'return DONE;',
    caughtBy: 'tests/engine/outputs.test.ts',
  },
  {
    name: 'local clock for timers: a park by the clock of a worker that is five minutes ahead',
    file: 'queues/parking.ts',
    from: 'backend.moveToDelayedArgs(id, now, token',
    to: 'backend.moveToDelayedArgs(id, now + 300_000, token',
    caughtBy: 'tests/engine/bullmq-contract.test.ts',
  },
  {
    name: 'epoch raised by what a worker saw before it froze',
    file: 'processors/epoch.ts',
    from: 'const found = await read();\n      const behind',
    to: 'const found = seen;\n      const behind',
    caughtBy: 'tests/ledger/epoch.test.ts',
  },
  {
    name: 'a loss that others have counted past is forgotten',
    file: 'processors/signs-of-loss.ts',
    from: 'return anew.includes(place) && since.some',
    to: 'return anew.length < 0 && since.some',
    caughtBy: 'tests/ledger/epoch.test.ts',
  },
  {
    name: 'a beat sent again after a break counts as seen on the Redis before it',
    file: 'processors/epoch.ts',
    from: 'if (state.epoch === undefined || deps.epochs.breaks() !== breaks) return;',
    to: 'if (state.epoch === undefined) return;',
    caughtBy: 'tests/ledger/epoch.test.ts',
  },
  {
    name: 'what a node of a cluster has lost is not looked for',
    file: 'queues/store-epoch.ts',
    from: '[STORE_KEY, ...NODE_KEYS]',
    to: '[STORE_KEY]',
    caughtBy: 'tests/cluster/loss.test.ts',
  },
  {
    name: 'a first look that broke off counts as one',
    file: 'processors/epoch.ts',
    from: 'turnedBack || restarted || fresh();',
    to: 'turnedBack || restarted || !Number.isFinite(witnessed);',
    caughtBy: 'tests/ledger/epoch.test.ts',
  },
  {
    name: 'epoch raised anew by each try to recover',
    file: 'processors/epoch.ts',
    from: 'witness.recovering === true &&',
    to: 'witness.beat < 0 &&',
    caughtBy: 'tests/ledger/epoch.test.ts',
  },
  {
    name: 'launches on a Redis that may have forgotten what was launched',
    file: 'processors/engine.ts',
    from: 'whole: () => (books.recall === undefined ? 0 : books.recall.whole()),',
    to: 'whole: () => 0,',
    caughtBy: 'tests/ledger/loss.test.ts',
  },
  lua(
    'redo',
    'attempts after a loss are numbered as before it',
    "redis.call('HSET', KEYS[1], 'redo', ARGV[3])",
    '',
    'tests/ledger/loss.test.ts',
  ),
  {
    name: 'a removal that a rolled-back Redis forgot is forgotten',
    file: 'queues/lua/resource-merge.lua',
    from: 'if not newer then return',
    to: 'if stands >= 0 then return',
    caughtBy: 'tests/addon/loss.test.ts',
  },
  {
    name: 'ended runs run again after a loss of Redis',
    file: 'processors/recovery.ts',
    from: 'if (archived === undefined) return false;',
    to: 'if (archived !== undefined) return false;\n    if (archived === undefined) return false;',
    caughtBy: 'tests/ledger/loss.test.ts',
  },
];
