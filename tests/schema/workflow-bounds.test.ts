// How large a document and each of its values may be.
import { describe, expect, it } from 'vitest';
import { REFUSED_OPTION_NAMES } from '../../src/schema/option-entry.ts';
import { MAX_DOCUMENT_BYTES, MAX_STEPS, MAX_TIMEOUT_S, MAX_WAIT_S } from '../../src/schema/workflow.ts';
import { faultsOf, messagesOf, taskMessages } from './parsed-document.ts';

describe('the bounds', () => {
  it('are 64 KB', () => {
    const text = JSON.stringify({ run: [{ cmd: 'a' }], title: 'ä'.repeat(MAX_DOCUMENT_BYTES / 2) });
    expect(messagesOf(text)).toEqual([expect.stringMatching(/found \d+ bytes, expected at most 65536 bytes of JSON/)]);
    expect(messagesOf('['.repeat(10_000_000))).toEqual([expect.stringContaining('found at least 10000000 bytes')]);
  });

  it('are 16 levels', () => {
    expect(messagesOf('['.repeat(60_000))).toEqual([expect.stringContaining('found level 17 of nesting, expected at most 16 levels')]);
    expect(messagesOf(`{"a":`.repeat(5000))).toEqual([expect.stringContaining('found level 17 of nesting')]);
    expect(messagesOf(`${'['.repeat(16)}${']'.repeat(16)}`)).toEqual([expect.stringContaining('found a list, expected an object')]);
  });

  it('are 100 steps and 200 tasks', () => {
    expect(messagesOf({ run: Array.from({ length: MAX_STEPS + 1 }, () => ({ cmd: 'a' })) })).toEqual([
      expect.stringContaining('/run (1:8): found a list of 101, expected a list of 1 to 100'),
    ]);
    const run = [{ parallel: Array.from({ length: 199 }, () => ({ cmd: 'a' })) }, { cmd: 'b' }, { cmd: 'c' }];
    expect(messagesOf({ run })).toEqual([expect.stringContaining('found task 201 of 201, expected at most 200 tasks in all')]);
    expect(faultsOf({ run })[0]?.pointer).toBe('/run/2');
    expect(messagesOf({ run: [{ parallel: Array.from({ length: 201 }, () => ({ cmd: 'a' })) }] })).toHaveLength(1);
  });

  it.each([
    [{ timeout: 0 }, 'found the number 0, expected a whole number from 1 to 14400.'],
    [{ timeout: MAX_TIMEOUT_S + 1 }, 'found the number 14401'],
    [{ timeout: 1.5 }, 'found the number 1.5, expected a whole number from 1 to 14400; write a whole number such as 2.'],
    [{ timeout: null }, 'found null, expected a whole number from 1 to 14400; leave it out for its default.'],
    [{ timeout: '1m' }, 'found the text "1m", expected a whole number from 1 to 14400.'],
    [{ timeout: [60] }, 'found a list'],
    [{ wait_for: -1 }, 'found the number -1, expected a whole number from 0 to 86400.'],
    [{ wait_for: MAX_WAIT_S + 1 }, 'found the number 86401'],
    [{ retries: 21 }, 'expected a whole number from 0 to 20'],
    [{ no_output: 'true' }, 'found the text "true", expected true or false; write true without quotes.'],
    [{ no_output: 'False' }, 'write false without quotes'],
    [{ no_output: 1 }, 'found the number 1, expected true or false; write true without quotes.'],
    [{ name: 5 }, 'found the number 5, expected a text of at most 200 characters; write it in double quotes.'],
    [{ name: 'x'.repeat(201) }, 'found a text of 201 characters, expected a text of at most 200 characters.'],
    [
      { machine: 'dyno_size' },
      'expected the name of a dyno size such as basic or standard-1x; dyno_size only stands for a size: write "basic".',
    ],
    [{ machine: '' }, 'expected the name of a dyno size'],
    [{ machine: 1 }, 'found the number 1'],
    [{ cmd: '' }, 'found a blank text, expected a process type of the Procfile, or a command.'],
    [{ cmd: ' \n\t' }, 'found a blank text'],
    [{ cmd: 'a\0b' }, 'found a NUL character, expected a command without one'],
    [{ cmd: ['python', 'x.py'] }, 'found a list, expected the command as one text; write it as in a shell'],
    [{ cmd: 1 }, 'found the number 1, expected a text of 1 to 8192 characters; write it in double quotes.'],
    [{ cmd: 'x'.repeat(8193) }, 'found a text of 8193 characters'],
    [{ options: 'a=b' }, 'found the text "a=b", expected a list of "name=value" texts; write ["a=b"].'],
    [{ options: { a: 'b' } }, 'found an object, expected a list of "name=value" texts; write ["a=b"].'],
    [{ options: {} }, 'found an object'],
    [{ options: [1] }, '/run/0/options/0'],
    [{ options: ['a'] }, 'write "a=" with the value behind it'],
    [{ options: ['a: b'] }, 'write = between name and value'],
    [
      { options: ['a-b=1'] },
      'found the name "a-b", expected "name=value" with a name of letters, digits and _ that does not begin with a digit; did you mean a_b?',
    ],
    [{ options: ['1a=1'] }, 'found the name "1a"'],
    [{ options: ['=1'] }, 'found the name ""'],
    [{ options: ['ä=1'] }, 'found the name "ä"'],
    [{ options: [' a=1'] }, 'did you mean a?'],
    [{ options: ['a=\0'] }, 'found a NUL character'],
    [{ options: ['a=1', 'b=1', 'a=2'] }, '/run/0/options/2'],
    [{ options: ['a=1', 'a=1'] }, 'found the name "a" a second time, expected each name once; remove one of them.'],
    [{ options: Array.from({ length: 101 }, (_, at) => `a${at}=1`) }, 'found a list of 101, expected a list of at most 100.'],
    [{ options: [`a=${'x'.repeat(32_768)}`] }, 'found a text of 32770 characters'],
    [{ backoff: 'fixed' }, 'found the text "fixed", expected an object'],
    [{ backoff: {} }, 'found no "type", expected "type", "fixed" or "exponential".'],
    [{ backoff: { type: 'expo' } }, 'expected "fixed" or "exponential"; did you mean "exponential"?'],
    [{ backoff: { type: 'fixed', delay: '5' } }, 'write 5 without quotes'],
    [
      { backoff: { type: 'fixed', delay: 5, max: 1 } },
      '/run/0/backoff/max (1:62): found 1, which is less than "delay", expected at least the delay.',
    ],
    [{ backoff: { type: 'fixed', base: 1 } }, 'found the unknown field "base", expected one of type, delay, max.'],
  ])('refuse the task %j', (fields, message) => {
    expect(taskMessages(fields)).toEqual([expect.stringContaining(message)]);
  });

  it.each(REFUSED_OPTION_NAMES.map((name) => [name.replace('*', 'X')]))('refuse the option %s', (name) => {
    expect(taskMessages({ options: [`${name}=1`] })).toEqual([
      expect.stringContaining(`found the name "${name}", expected a name that is not reserved; choose another name.`),
    ]);
  });

  it.each([
    ['LD_PRELOAD'],
    ['LD_LIBRARY_PATH'],
    ['LD_AUDIT'],
    ['LD_S3_BUCKET'],
    ['line_D'],
    ['GIT_SSH_COMMAND'],
    ['BASH_FUNC_x'],
    ['AWS_ENDPOINT_URL_S3'],
    ['npm_config_script_shell'],
  ])('refuse the option %s', (name) => {
    expect(taskMessages({ options: [`${name}=1`] })).toHaveLength(1);
  });
});
