// The rules of a workflow that the tables alone cannot say well: what an entry is meant to be, groups, commands, options.
import { pointerTo, quote } from './fault.ts';
import {
  type Check,
  checkLength,
  checkMembers,
  checkNode,
  describe,
  itemsOf,
  MOST_MISSPELT,
  memberOf,
  type Note,
  type Rule,
} from './field-rules.ts';
import type { JsonNode, ObjectNode } from './json-document.ts';
import { readOption } from './option-entry.ts';
import { suggest } from './suggestion.ts';
import { Backoff, MAX_TASKS, Task, TaskGroup, Workflow } from './workflow.ts';

/** What other systems call our fields; keys in lower case, letters and digits alone. */
const SYNONYMS: ReadonlyMap<string, string> = new Map([
  ...['command', 'process', 'script', 'exec'].map((name) => [name, 'cmd'] as const),
  ...['size', 'dyno', 'dynosize', 'dynotype'].map((name) => [name, 'machine'] as const),
  ...['env', 'vars', 'args', 'environment'].map((name) => [name, 'options'] as const),
  ...['maxretries', 'attempts', 'retry'].map((name) => [name, 'retries'] as const),
  ...['wait', 'sleep'].map((name) => [name, 'wait_for'] as const),
  ...['group', 'concurrent'].map((name) => [name, 'parallel'] as const),
]);
const STEP_SYNONYMS = new Map([...SYNONYMS, ['title', 'name'], ['tasks', 'parallel'], ['run', 'cmd']]);
const WORKFLOW_SYNONYMS = new Map([['name', 'title'], ...['steps', 'tasks', 'jobs', 'workflow'].map((name) => [name, 'run'] as const)]);

const CMD: Rule = Task.properties.cmd;
const MACHINE: Rule = Task.properties.machine;
const OPTIONS: Rule = Task.properties.options;
const RUN: Rule = Workflow.properties.run;
const PARALLEL: Rule = TaskGroup.properties.parallel;
/** What makes an entry what it is is looked at before its fields. */
const TASK_FIELDS: Rule = { properties: Task.properties };
const GROUP_FIELDS: Rule = { properties: TaskGroup.properties };
const BOTH_FIELDS: Rule = { properties: { ...Task.properties, ...TaskGroup.properties } };

/**
 * Notes everything that is wrong with a workflow document. What this finds nothing wrong with is a valid workflow.
 */
export function checkDocument(note: Note, root: JsonNode): void {
  if (root.kind === 'object') {
    const overfull = countTasks(root) > MAX_TASKS;
    checkMembers(note, overfull ? firstTasksOf(root) : root, Workflow, '', { special: { run: checkRun }, synonyms: WORKFLOW_SYNONYMS });
    checkTaskCount(note, root);
  } else if (root.kind !== 'broken') note('', root, describe(root), 'an object with "run"', hintForRoot(root));
}

function hintForRoot(root: JsonNode): string | undefined {
  if (root.kind === 'array') return 'write {"run": […]} around the list';
  return root.kind === 'string' && root.value.trimStart().startsWith('{')
    ? 'this is JSON inside a JSON text: encode the workflow once'
    : undefined;
}

/** How many tasks the groups of a document have, at least. */
function countTasks(root: ObjectNode): number {
  const run = memberOf(root, 'run')?.value;
  return run?.kind === 'array' ? run.items.reduce((sum, item) => sum + (groupOf(item)?.items.length ?? 1), 0) : 0;
}

function groupOf(item: JsonNode): (JsonNode & { kind: 'array' }) | undefined {
  const group = item.kind === 'object' ? memberOf(item, 'parallel')?.value : undefined;
  return group?.kind === 'array' ? group : undefined;
}

/** The same document without the tasks above the bound: they are too many already, and there may be thousands. */
function firstTasksOf(root: ObjectNode): ObjectNode {
  let left = MAX_TASKS;
  const cut = (item: JsonNode): JsonNode => {
    const group = groupOf(item);
    if (item.kind !== 'object' || group === undefined) return item;
    const items = group.items.slice(0, Math.max(left, 1));
    left -= items.length;
    return {
      ...item,
      members: item.members.map((member) => (member.value === group ? { ...member, value: { ...group, items } } : member)),
    };
  };
  return {
    ...root,
    members: root.members.map((member) =>
      member.name === 'run' && member.value.kind === 'array'
        ? { ...member, value: { ...member.value, items: member.value.items.map(cut) } }
        : member,
    ),
  };
}

/** Counts the tasks of all steps; the fault is at the first one too many. */
function checkTaskCount(note: Note, root: ObjectNode): void {
  const run = memberOf(root, 'run')?.value;
  const total = countTasks(root);
  if (run?.kind !== 'array' || total <= MAX_TASKS) return;
  let left = MAX_TASKS;
  for (const [at, item] of run.items.entries()) {
    const group = groupOf(item);
    const count = group?.items.length ?? 1;
    if (count <= left) {
      left -= count;
      continue;
    }
    const step = pointerTo('/run', at);
    const pointer = group === undefined ? step : pointerTo(`${step}/parallel`, left);
    note(pointer, group?.items[left] ?? item, `task ${MAX_TASKS + 1} of ${total}`, `at most ${MAX_TASKS} tasks in all`);
    return;
  }
}

const checkRun: Check = (note, node, pointer) => {
  if (node.kind === 'object') note(pointer, node, 'an object', 'a list of tasks and task groups', 'write […] around it');
  else if (node.kind !== 'array') checkNode(note, node, RUN, pointer);
  else {
    checkLength(note, node, RUN, pointer);
    for (const [at, item] of itemsOf(node, RUN)) checkStep(note, item, pointerTo(pointer, at));
  }
};

const checkStep: Check = (note, node, pointer) => {
  if (node.kind !== 'object') return checkEntry(note, node, pointer, 'a task or a task group');
  const kinds = kindsOf(node);
  if (kinds.has('cmd') && kinds.has('parallel')) {
    const hint = 'a task has "cmd", a task group has "parallel": make two entries of it';
    note(pointer, node, 'both "cmd" and "parallel" in one entry', 'one of them', hint);
    checkMembers(note, node, BOTH_FIELDS, pointer, { special: { ...TASK_CHECKS, parallel: checkParallel }, synonyms: STEP_SYNONYMS });
  } else if (kinds.has('parallel')) {
    checkMembers(note, node, GROUP_FIELDS, pointer, { special: { parallel: checkParallel }, synonyms: STEP_SYNONYMS, hint: hintInGroup });
  } else {
    if (!kinds.has('cmd'))
      note(pointer, node, 'an entry with neither "cmd" nor "parallel"', '"cmd" for a task or "parallel" for a task group');
    checkMembers(note, node, TASK_FIELDS, pointer, { special: TASK_CHECKS, synonyms: STEP_SYNONYMS });
  }
};

/** Which of the two an entry has; without either, what a misspelt name of it was meant to be. */
function kindsOf(node: ObjectNode): ReadonlySet<string> {
  const names = node.members.map((member) => member.name);
  const kinds = names.filter((name) => name === 'cmd' || name === 'parallel');
  if (kinds.length > 0) return new Set(kinds);
  const unknown = names.filter((name) => !Object.hasOwn(BOTH_FIELDS.properties ?? {}, name));
  const fields = Object.keys(BOTH_FIELDS.properties ?? {});
  return new Set(
    unknown
      .slice(0, MOST_MISSPELT)
      .map((name) => suggest(name, fields, STEP_SYNONYMS))
      .filter((name) => name === 'cmd' || name === 'parallel'),
  );
}

function hintInGroup(name: string): string | undefined {
  return Object.hasOwn(Task.properties, name)
    ? `a task group has only a name and tasks: write ${quote(name)} into each of its tasks`
    : undefined;
}

const checkParallel: Check = (note, node, pointer) => {
  if (node.kind === 'object') return note(pointer, node, 'an object', 'a list of tasks', 'write […] around it');
  if (node.kind !== 'array') return checkNode(note, node, PARALLEL, pointer);
  // Its upper bound is that of all tasks together, which is checked for the document.
  if (node.items.length === 0) checkLength(note, node, PARALLEL, pointer);
  for (const [at, item] of itemsOf(node, PARALLEL)) checkGroupTask(note, item, pointerTo(pointer, at));
};

const checkGroupTask: Check = (note, node, pointer) => {
  if (node.kind !== 'object') return checkEntry(note, node, pointer, 'a task');
  const inner = memberOf(node, 'parallel');
  if (inner !== undefined) {
    const hint = 'groups do not nest: put the inner tasks into this group, or make the inner group a step of its own';
    return note(pointerTo(pointer, 'parallel'), inner, 'a task group inside a task group', 'a task with "cmd"', hint);
  }
  if (!kindsOf(node).has('cmd')) note(pointer, node, 'a task without "cmd"', '"cmd", the command to run');
  checkMembers(note, node, TASK_FIELDS, pointer, { special: TASK_CHECKS, synonyms: STEP_SYNONYMS });
};

const checkEntry = (note: Note, node: JsonNode, pointer: string, expected: string): void => {
  if (node.kind === 'broken') return;
  const hint = node.kind === 'string' ? `write {"cmd": ${quote(node.value)}}` : undefined;
  note(pointer, node, describe(node), expected, node.kind === 'array' ? 'tasks that run in parallel are written {"parallel": […]}' : hint);
};

const checkCmd: Check = (note, node, pointer) => {
  if (node.kind === 'array') {
    return note(pointer, node, 'a list', 'the command as one text', 'write it as in a shell: "process_image --size 100"');
  }
  if (node.kind === 'string' && node.value.trim() === '')
    return note(pointer, node, 'a blank text', 'a process type of the Procfile, or a command');
  if (node.kind === 'string' && node.value.includes('\0'))
    return note(pointer, node, 'a NUL character', 'a command without one: no process can get it');
  checkNode(note, node, CMD, pointer);
};

const checkMachine: Check = (note, node, pointer) => {
  if (node.kind !== 'string' || new RegExp(MACHINE.pattern ?? '', 'u').test(node.value)) return checkNode(note, node, MACHINE, pointer);
  const hint = node.value === 'dyno_size' ? 'dyno_size only stands for a size: write "basic"' : undefined;
  note(pointer, node, describe(node), 'the name of a dyno size such as basic or standard-1x', hint);
};

const checkOptions: Check = (note, node, pointer) => {
  if (node.kind === 'object') {
    const [first] = node.members;
    const value = first?.value.kind === 'string' ? first.value.value : '…';
    return note(pointer, node, 'an object', 'a list of "name=value" texts', `write [${quote(`${first?.name ?? 'name'}=${value}`)}]`);
  }
  if (node.kind === 'string') return note(pointer, node, describe(node), 'a list of "name=value" texts', `write [${quote(node.value)}]`);
  if (node.kind !== 'array') return checkNode(note, node, OPTIONS, pointer);
  checkLength(note, node, OPTIONS, pointer);
  const names = new Set<string>();
  for (const [at, item] of itemsOf(node, OPTIONS)) {
    const inside = pointerTo(pointer, at);
    if (item.kind !== 'string') {
      checkNode(note, item, OPTIONS.items ?? {}, inside);
      continue;
    }
    const option = readOption(item.value);
    if ('found' in option) note(inside, item, option.found, option.expected, option.hint);
    else if (names.has(option.name))
      note(inside, item, `the name ${quote(option.name)} a second time`, 'each name once', 'remove one of them');
    else {
      names.add(option.name);
      checkNode(note, item, OPTIONS.items ?? {}, inside);
    }
  }
};

const checkBackoff: Check = (note, node, pointer) => {
  checkNode(note, node, Backoff, pointer);
  if (node.kind !== 'object') return;
  const delay = memberOf(node, 'delay')?.value;
  const max = memberOf(node, 'max')?.value;
  if (delay?.kind === 'number' && max?.kind === 'number' && delay.value > max.value) {
    note(pointerTo(pointer, 'max'), max, `${max.text}, which is less than "delay"`, 'at least the delay');
  }
};

const TASK_CHECKS: Readonly<Record<string, Check>> = { cmd: checkCmd, machine: checkMachine, options: checkOptions, backoff: checkBackoff };
