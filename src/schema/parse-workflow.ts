// From the text of a workflow to what the engine runs, or to everything that is wrong with it.
import { Compile } from 'typebox/compile';
import { type Fault, type Finding, faultsOf } from './fault.ts';
import { noteInto } from './field-rules.ts';
import { readJson } from './json-document.ts';
import { planWorkflow } from './plan-workflow.ts';
import { MAX_DEPTH, MAX_DOCUMENT_BYTES, Workflow, type WorkflowPlan } from './workflow.ts';
import { checkDocument } from './workflow-rules.ts';

/** Faults that are reported of one document. */
const MAX_FAULTS = 20;

export type ParsedWorkflow =
  | { readonly ok: true; readonly workflow: Workflow; readonly plan: WorkflowPlan }
  | { readonly ok: false; readonly faults: readonly Fault[] };

const WorkflowCheck = Compile(Workflow);

/**
 * Reads the text of a workflow: strict JSON (a byte order mark is tolerated) within the bounds of DESIGN §4. Gives the
 * workflow as written and its plan with all defaults, or its faults in the order of their places, at most 20.
 * Never throws.
 */
export function parseWorkflow(text: string): ParsedWorkflow {
  const document = text.startsWith('\ufeff') ? text.slice(1) : text;
  const findings: Finding[] = [];
  const note = noteInto(findings);
  const size = sizeOf(document);
  if (size.bytes > MAX_DOCUMENT_BYTES) {
    note(
      '',
      { offset: 0 },
      `${size.words} bytes`,
      `at most ${MAX_DOCUMENT_BYTES} bytes of JSON`,
      'pass data as files, not in the workflow',
    );
    return refuse(document, findings);
  }
  const read = readJson(document, MAX_DEPTH);
  findings.push(...read.findings);
  if (read.root !== undefined) checkDocument(note, read.root);
  if (findings.length > 0) return refuse(document, findings);
  const value: unknown = JSON.parse(document);
  if (WorkflowCheck.Check(value)) return { ok: true, workflow: value, plan: planWorkflow(value) };
  // Our checks are stricter than the table; should they ever not be, the table's word counts.
  for (const error of WorkflowCheck.Errors(value)) note(error.instancePath, { offset: 0 }, 'what the table does not allow', error.message);
  return refuse(document, findings);
}

function refuse(document: string, findings: readonly Finding[]): ParsedWorkflow {
  return { ok: false, faults: faultsOf(document, findings, MAX_FAULTS) };
}

function sizeOf(document: string): { bytes: number; words: string } {
  // No UTF-16 unit is less than a byte of UTF-8: what is far too large need not be encoded to know it.
  if (document.length > MAX_DOCUMENT_BYTES) return { bytes: document.length, words: `at least ${document.length}` };
  const bytes = new TextEncoder().encode(document).length;
  return { bytes, words: String(bytes) };
}
