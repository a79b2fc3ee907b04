// Every event ends in exactly one decision, and a message goes only after it.
import { type CaseFile, identity, triggerOf } from './case-file.ts';
import { type Finding, look } from './verdict.ts';

/** Milliseconds, 15 days: longer than SQS redelivers. */
const MEMORY_MS = 15 * 86_400_000;

/** Milliseconds, two hours: the account of an older version may be forgotten, as the watermark has passed it. */
const ACCOUNT_MS = 7_200_000;

/** Milliseconds in which a message is received and decided; one of a killed receiver comes back after half a minute. */
const LOST_LATER_MS = 60_000;

/** Characters of a message that are kept of it when it is set aside. */
const SHOWN = 1_000;

export function exactlyOneRun(file: CaseFile): Finding {
  const i = look('I1', 'every upload and every output that is a trigger leads to exactly one run', [
    'uploads',
    'uploads whose event was lost',
    'uploads before the account of their bucket',
    'uploads deleted before they were read',
    'outputs that start a run',
    'events received twice',
  ]);
  const received = new Map<string, number>();
  for (const { records } of file.of('receive'))
    for (const record of records) received.set(identity(record), (received.get(identity(record)) ?? 0) + 1);
  for (const upload of file.of('upload')) {
    if (upload.expect === 'never') {
      const runs = file.runOf.get(identity(upload)) ?? [];
      i.holds('uploads before the account of their bucket', runs.length === 0, () => `${upload.key} led to ${runs.length} runs by itself`);
    }
    if (upload.expect === 'gone') {
      const runs = file.runOf.get(identity(upload)) ?? [];
      i.holds('uploads deleted before they were read', runs.length === 0, () => `${upload.key} was gone and led to ${runs.length} runs`);
    }
    if (upload.expect !== 'run' && upload.expect !== 'reject') continue;
    const id = identity(upload);
    const runs = file.runOf.get(id) ?? [];
    // only the sweep can find those
    const kind = file.puts.get(id)?.silent === true ? 'uploads whose event was lost' : 'uploads';
    i.holds(kind, runs.length === 1, () => `${upload.key} (${upload.shape}) led to ${runs.length} runs`);
    if (upload.expect === 'reject' && runs[0] !== undefined && runs[0].state !== 'rejected')
      i.wrong(`${upload.key} is no workflow and became ${runs[0].id}`);
    if (upload.expect === 'run' && runs[0]?.state === 'rejected') i.wrong(`${upload.key} was rejected: ${runs[0].record['error']}`);
    if ((received.get(id) ?? 0) > 1) i.saw('events received twice');
  }
  const uploads = new Set(file.of('upload').map((upload) => identity(upload)));
  for (const [id, put] of file.puts) {
    const owner = file.evidence.resources.find(({ bucket }) => bucket === put.bucket);
    if (owner === undefined || uploads.has(id) || (put.run !== true && put.code === undefined)) continue;
    const runs = file.runOf.get(id) ?? [];
    // the one that would be the 17th in a row starts none
    const setAside = owner.quarantine.some(({ entry }) => entry['key'] === put.key && entry['version_id'] === put.version);
    i.holds(
      'outputs that start a run',
      runs.length === 1 || (runs.length === 0 && setAside),
      () => `${put.key} of ${put.taskId} led to ${runs.length} runs`,
    );
  }
  return i.done();
}

export function noPhantom(file: CaseFile): Finding {
  const i = look('I2', 'every run was caused by an object version that was written', ['runs']);
  for (const run of file.runs) {
    const put = file.puts.get(identity(triggerOf(run)));
    i.holds(
      'runs',
      put !== undefined && (put.run === true || put.code !== undefined),
      () => `${run.id} names ${JSON.stringify(triggerOf(run))}`,
    );
  }
  return i.done();
}

/**
 * When all that an object version asks for was decided: a run, its delivery to a task, or both. undefined: it was not.
 */
function decisions(file: CaseFile): { get(id: string): number | undefined } {
  const [runs, outputs] = [new Map<string, number>(), new Map<string, number>()];
  const noteIn = (decided: Map<string, number>, id: string, t: number) =>
    decided.set(id, Math.min(t, decided.get(id) ?? Number.POSITIVE_INFINITY));
  for (const run of file.runs) {
    const first = run.history[0];
    if (first !== undefined) noteIn(runs, identity(triggerOf(run)), first[0]);
    const bucket = file.evidence.resources.find(({ id }) => id === run.record['resource'])?.bucket ?? '';
    for (const [t, what, , , detail] of run.history) {
      if (what !== 'output' && what !== 'late_output' && what !== 'refused_output') continue;
      const output = JSON.parse(detail) as { key: string; version_id: string };
      noteIn(outputs, identity({ bucket, key: output.key, version: output.version_id }), t);
    }
  }
  for (const { t, entry } of [...file.evidence.resources.flatMap(({ quarantine }) => quarantine), ...file.evidence.nobody]) {
    if (entry['key'] === undefined) continue;
    const id = identity({ bucket: entry['bucket'] ?? '', key: entry['key'], version: entry['version_id'] ?? '' });
    // which of the two was refused does not stand there
    for (const decided of [runs, outputs]) if (!decided.has(id)) decided.set(id, t);
  }
  return {
    get: (id) => {
      const put = file.puts.get(id);
      const asked = [...(put?.run === true || put?.code !== undefined ? [runs] : []), ...(put?.taskId === undefined ? [] : [outputs])].map(
        (decided) => decided.get(id),
      );
      // one that asks for nothing may be set aside all the same
      if (asked.length === 0) return runs.get(id);
      return asked.some((t) => t === undefined) ? undefined : Math.max(...asked.map((t) => t ?? 0));
    },
  };
}

export function acknowledgedAfterDecided(file: CaseFile): Finding {
  const i = look('I3', 'a message is deleted only after each of its events is decided in Redis', [
    'messages of runs deleted',
    'messages of outputs deleted',
    'messages of plain objects deleted',
    'unreadable messages deleted',
  ]);
  const decided = decisions(file);
  // the records of removed resources are gone, and what was decided with them
  const kept = new Set(file.evidence.resources.map(({ bucket }) => bucket));
  const gone = new Set(file.of('upload').flatMap((upload) => (upload.expect === 'gone' ? [identity(upload)] : [])));
  const received = new Map(file.of('receive').map((one) => [one.message, one]));
  const unreadable = new Set(file.of('garbage').map(({ body }) => body.slice(0, SHOWN)));
  const setAside = new Map(file.evidence.nobody.map((one) => [one.entry['body'], one.t]));
  for (const { message, t, ok, accounts } of file.of('delete')) {
    if (!ok) continue;
    const handed = received.get(message);
    const aside = setAside.get(handed?.body);
    if (handed?.body !== undefined && unreadable.has(handed.body) && !file.lost(handed.t, t))
      i.holds(
        'unreadable messages deleted',
        aside !== undefined && aside <= t,
        () => `not set aside when it was deleted: ${handed.body?.slice(0, 80)}`,
      );
    // what was accounted for and lost with Redis comes back with the sweep
    for (const { key, accounted } of accounts ?? [])
      if (accounted || !file.lost(handed?.t ?? t, t))
        i.holds('messages of plain objects deleted', accounted, () => `${key} was deleted from the queue before it was accounted for`);
    for (const record of handed?.records ?? []) {
      if (!kept.has(record.bucket)) continue;
      const put = file.puts.get(identity(record));
      const isRun = put?.run === true || put?.code !== undefined;
      // what is merely ignored is in no history: the account was asked when its delete came
      if ((!isRun && put?.taskId === undefined) || gone.has(identity(record))) continue;
      const at = decided.get(identity(record));
      // what was decided and lost with Redis is decided again, and only that is known
      if (at !== undefined && at > t && file.lost(handed?.t ?? t, t)) continue;
      i.holds(isRun ? 'messages of runs deleted' : 'messages of outputs deleted', at !== undefined && at <= t, () =>
        at === undefined
          ? `${record.key} was deleted from the queue and never decided`
          : `${record.key} was deleted ${at - t} ms before its decision`,
      );
    }
  }
  return i.done();
}

export function nothingDropped(file: CaseFile): Finding {
  const i = look('I4', 'nothing is silently dropped: every object version is a run, an output, ignored or quarantined', [
    'object versions',
    'quarantined',
    'plain objects',
  ]);
  const decided = decisions(file);
  const expected = new Map(file.of('upload').map((upload) => [identity(upload), upload.expect]));
  for (const resource of file.evidence.resources) {
    const accounted = new Set(resource.accounted.map((version) => identity(version)));
    for (const [id, put] of file.puts) {
      // what the engine writes itself is none of the tenant's doing
      if (put.bucket !== resource.bucket || put.key.startsWith('.autofiles/')) continue;
      i.saw('object versions');
      const decision = decided.get(id);
      const expect = expected.get(id);
      if (expect === 'never') continue;
      // what was decided and lost with Redis is nowhere to be found again
      if (expect === 'gone' && file.lost(put.t, put.t + LOST_LATER_MS)) i.saw('gone from S3 and from Redis');
      else if (expect === 'gone')
        i.holds('plain objects', accounted.has(id), () => `${put.key} was gone when it was looked at, and is not accounted for`);
      else if (expect === 'quarantine')
        i.holds('quarantined', decision !== undefined, () => `${put.key} was to be quarantined and is nowhere`);
      else if (put.run === true || put.code !== undefined || put.taskId !== undefined) {
        if (decision === undefined) i.wrong(`${put.key} (${put.taskId === undefined ? 'run' : `output of ${put.taskId}`}) has no decision`);
      }
      // each by itself: an event that comes twice is counted twice, and hides one that was dropped
      else if (file.evidence.phases.quiet - put.t > ACCOUNT_MS) i.saw('plain objects older than the account');
      else i.holds('plain objects', accounted.has(id), () => `${put.key} asks for nothing and is not accounted for`);
    }
  }
  if (!file.evidence.drained) i.wrong('messages were left in the queue');
  for (const what of file.evidence.unaccounted) i.wrong(what);
  return i.done();
}

export function memoryOutlivesRedelivery(file: CaseFile): Finding {
  const i = look('I5', 'the memory of an event outlives its redelivery (15 days)', ['ended runs', 'events received after their run ended']);
  const ends = new Map(file.runs.flatMap((run) => (run.ended === undefined ? [] : [[identity(triggerOf(run)), run.ended[0]]])));
  for (const run of file.runs) {
    if (run.ended !== undefined)
      i.holds('ended runs', run.ttl < 0 || run.ttl > MEMORY_MS - 86_400_000, () => `${run.id} is forgotten in ${run.ttl} ms`);
    else if (run.state !== 'rejected' && run.ttl >= 0) i.wrong(`${run.id} has not ended and is forgotten in ${run.ttl} ms`);
    const accepted = run.history.filter(([, what]) => what === 'accepted' || what === 'rejected');
    if (accepted.length !== 1) i.wrong(`${run.id} was accepted ${accepted.length} times`);
  }
  for (const { t, records } of file.of('receive')) {
    for (const record of records) if ((ends.get(identity(record)) ?? t) < t) i.saw('events received after their run ended');
  }
  return i.done();
}

export function poisonSetAside(file: CaseFile): Finding {
  const i = look('I19', 'what can never be read is set aside where it is seen, and holds nobody up', ['unreadable messages']);
  for (const { body, t } of file.of('garbage')) {
    // what nobody owns is not in any bucket, so nothing brings it back
    if (file.lost(t, t + LOST_LATER_MS)) continue;
    i.holds(
      'unreadable messages',
      file.evidence.nobody.some(({ entry }) => entry['body'] === body.slice(0, SHOWN)),
      () => `not set aside: ${body.slice(0, 80)}`,
    );
  }
  return i.done();
}

export function loopsEnd(file: CaseFile): Finding {
  const i = look('I31', 'runs that lead to one another end after 16', ['chains of 16', 'loops set aside']);
  const depth = (id: string, seen = 0): number => {
    const run = file.runs.find((one) => one.id === id);
    if (run === undefined || seen > 40) return 0;
    const cause = file.puts.get(identity(triggerOf(run)))?.taskId;
    return cause === undefined ? 0 : 1 + depth(cause.split('.')[0] ?? '', seen + 1);
  };
  for (const run of file.runs) {
    if (file.puts.get(identity(triggerOf(run)))?.code === undefined) continue;
    const found = depth(run.id);
    if (found > 16) i.wrong(`${run.id} is the ${found}th in a row`);
    if (found === 16) i.saw('chains of 16');
  }
  for (const { quarantine } of file.evidence.resources)
    for (const { entry } of quarantine) if (/loop/.test(entry['reason'] ?? '')) i.saw('loops set aside');
  return i.done();
}
