// Checks a JSON node against a TypeBox table and says in words what is wrong; the bounds are the table's own.
import { type Finding, pointerTo, quote } from './fault.ts';
import type { JsonNode, Member, ObjectNode } from './json-document.ts';
import { suggest } from './suggestion.ts';

/** The keywords of JSON Schema that our tables use. */
export interface Rule {
  readonly type?: string;
  readonly const?: unknown;
  readonly anyOf?: readonly Rule[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly items?: Rule;
  readonly properties?: Readonly<Record<string, Rule>>;
  readonly required?: readonly string[];
}

export type Note = (pointer: string, node: { readonly offset: number }, found: string, expected: string, hint?: Finding['hint']) => void;
export type Check = (note: Note, node: JsonNode, pointer: string) => void;

/** Unknown names of an object that are looked at when something is missing: a hostile document has thousands. */
export const MOST_MISSPELT = 8;

/** Unknown fields of one object that are noted. */
const MOST_UNKNOWN = 20;

/**
 * Gives a `note` that collects findings.
 */
export function noteInto(findings: Finding[]): Note {
  return (pointer, node, found, expected, hint) => findings.push({ pointer, offset: node.offset, found, expected, hint });
}

/**
 * Checks the members of an object: unknown ones, missing ones, and each known one by its rule or by the check that
 * `special` has for it. `synonyms` maps other systems' names (lower case, letters and digits) to ours.
 */
export function checkMembers(
  note: Note,
  node: ObjectNode,
  rule: Rule,
  pointer: string,
  extras: {
    readonly special?: Readonly<Record<string, Check>>;
    readonly synonyms?: ReadonlyMap<string, string>;
    /** A better hint for a name that is unknown here. */
    readonly hint?: (name: string) => string | undefined;
  } = {},
): void {
  const properties = new Map(Object.entries(rule.properties ?? {}));
  const names = [...properties.keys()];
  const meant = (name: string) => suggest(name, names, extras.synonyms);
  const unknown: string[] = [];
  const expected = `one of ${names.filter((name) => name !== '$schema').join(', ')}`;
  for (const member of node.members) {
    const inside = unknown.length > MOST_UNKNOWN ? pointer : pointerTo(pointer, member.name);
    const known = properties.get(member.name);
    const special = Object.hasOwn(extras.special ?? {}, member.name) ? extras.special?.[member.name] : undefined;
    if (known === undefined) {
      unknown.push(member.name);
      // more than are shown are not worth their words
      if (unknown.length > MOST_UNKNOWN) continue;
      note(
        inside,
        member,
        `the unknown field ${quote(member.name)}`,
        expected,
        () => extras.hint?.(member.name) ?? didYouMean(meant(member.name)),
      );
    } else if (special !== undefined) special(note, member.value, inside);
    else checkNode(note, member.value, known, inside);
  }
  for (const name of rule.required ?? []) {
    const isThere = memberOf(node, name) !== undefined || unknown.slice(0, MOST_MISSPELT).some((other) => meant(other) === name);
    if (!isThere) note(pointer, node, `no ${quote(name)}`, `${quote(name)}, ${wordsFor(properties.get(name) ?? {})}`);
  }
}

function didYouMean(word: string | undefined): string | undefined {
  return word === undefined ? undefined : `did you mean ${quote(word)}?`;
}

/**
 * The member of that name, the last one as in JSON.parse.
 */
export function memberOf(node: ObjectNode, name: string): Member | undefined {
  return node.members.findLast((member) => member.name === name);
}

/**
 * Checks a node against a rule.
 */
export function checkNode(note: Note, node: JsonNode, rule: Rule, pointer: string): void {
  const wrong = (hint?: string) => note(pointer, node, describe(node), wordsFor(rule), hint);
  if (node.kind === 'broken') return;
  const choices = rule.anyOf?.map((choice) => choice.const);
  if (choices !== undefined) {
    const texts = choices.filter((choice) => typeof choice === 'string');
    if (node.kind === 'string' && choices.includes(node.value)) return;
    const word = node.kind === 'string' ? suggest(node.value, texts) : undefined;
    wrong(didYouMean(word));
  } else if (!hasType(node, rule)) wrong(hintForType(node, rule));
  else if (node.kind === 'number') {
    if (node.value < (rule.minimum ?? -Infinity) || node.value > (rule.maximum ?? Infinity)) wrong();
  } else if (node.kind === 'string') {
    // Characters, as JSON Schema counts them: code points.
    const length = Array.from(node.value).length;
    if (length > (rule.maxLength ?? Infinity)) note(pointer, node, `a text of ${length} characters`, wordsFor(rule));
    else if (length < (rule.minLength ?? 0) || (rule.pattern !== undefined && !new RegExp(rule.pattern, 'u').test(node.value))) wrong();
  } else if (node.kind === 'array') {
    checkLength(note, node, rule, pointer);
    for (const [at, item] of itemsOf(node, rule)) checkNode(note, item, rule.items ?? {}, pointerTo(pointer, at));
  } else if (node.kind === 'object') checkMembers(note, node, rule, pointer);
}

/**
 * Checks how many items a list has.
 */
export function checkLength(note: Note, node: JsonNode & { kind: 'array' }, rule: Rule, pointer: string): void {
  const { length } = node.items;
  if (length < (rule.minItems ?? 0) || length > (rule.maxItems ?? Infinity)) {
    note(pointer, node, length === 0 ? 'an empty list' : `a list of ${length}`, wordsFor(rule));
  }
}

/**
 * The items of a list with their positions; those above the bound are not looked at.
 */
export function itemsOf(node: JsonNode & { kind: 'array' }, rule: Rule): [number, JsonNode][] {
  return [...node.items.slice(0, rule.maxItems).entries()];
}

function hasType(node: JsonNode, rule: Rule): boolean {
  if (rule.type === 'integer') return node.kind === 'number' && Number.isInteger(node.value);
  if (rule.type === 'number') return node.kind === 'number' && Number.isFinite(node.value);
  return rule.type === undefined || node.kind === rule.type;
}

function hintForType(node: JsonNode, rule: Rule): string | undefined {
  if (node.kind === 'null') return 'leave it out for its default';
  if (node.kind === 'string' && (rule.type === 'integer' || rule.type === 'number')) {
    const number = Number(node.value);
    return node.value.trim() !== '' && Number.isFinite(number) ? `write ${number} without quotes` : undefined;
  }
  if (node.kind === 'number' && rule.type === 'integer' && Number.isFinite(node.value))
    return `write a whole number such as ${Math.max(1, Math.round(node.value))}`;
  if (rule.type === 'boolean') {
    const text = node.kind === 'string' ? node.value.trim().toLowerCase() : node.kind === 'number' ? node.text : '';
    if (['true', '1', 'yes', 'on'].includes(text)) return 'write true without quotes';
    if (['false', '0', 'no', 'off'].includes(text)) return 'write false without quotes';
  }
  if (rule.type === 'string' && (node.kind === 'number' || node.kind === 'boolean')) return 'write it in double quotes';
  return undefined;
}

/**
 * What a node is, in words.
 */
export function describe(node: JsonNode): string {
  switch (node.kind) {
    case 'object':
      return 'an object';
    case 'array':
      return 'a list';
    case 'string':
      return `the text ${quote(node.value)}`;
    case 'number':
      return `the number ${node.text.slice(0, 30)}`;
    case 'boolean':
      return String(node.value);
    default:
      return 'null';
  }
}

/**
 * What a rule allows, in words.
 */
function wordsFor(rule: Rule): string {
  if (rule.anyOf !== undefined) return rule.anyOf.map((choice) => JSON.stringify(choice.const)).join(' or ');
  const { minimum, maximum, maxLength, minItems = 0, maxItems } = rule;
  switch (rule.type) {
    case 'integer':
    case 'number':
      return `a ${rule.type === 'integer' ? 'whole ' : ''}number from ${minimum} to ${maximum}`;
    case 'string':
      if (maxLength === undefined) return `a text that matches ${rule.pattern}`;
      return `a text of ${(rule.minLength ?? 0) > 0 ? `${rule.minLength} to` : 'at most'} ${maxLength} characters`;
    case 'boolean':
      return 'true or false';
    case 'array':
      return `a list of ${minItems > 0 ? `${minItems} to` : 'at most'} ${maxItems}`;
    default:
      return 'an object';
  }
}
