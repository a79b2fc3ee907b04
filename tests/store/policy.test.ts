import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parsePolicy } from '../../src/local/store/policy.ts';

const policy = (...statements: object[]) => parsePolicy(JSON.stringify({ Version: '2012-10-17', Statement: statements }));

describe('a session policy', () => {
  it('allows what it lists and nothing else', () => {
    const { allows } = policy({ Effect: 'Allow', Action: ['s3:Get*', 's3:PutObject'], Resource: 'arn:aws:s3:::one/*' });
    expect(allows('s3:GetObject', 'arn:aws:s3:::one/a/b')).toBe(true);
    expect(allows('S3:putobject', 'arn:aws:s3:::one/x')).toBe(true);
    expect(allows('s3:DeleteObject', 'arn:aws:s3:::one/x')).toBe(false);
    expect(allows('s3:GetObject', 'arn:aws:s3:::one')).toBe(false);
    expect(allows('s3:GetObject', 'arn:aws:s3:::one-more/x')).toBe(false);
    expect(allows('s3:GetObject', 'arn:aws:s3:::two/arn:aws:s3:::one/x')).toBe(false);
  });

  it('denies before it allows, whatever the order', () => {
    const allow = { Effect: 'Allow', Action: 's3:*', Resource: '*' };
    const deny = { Effect: 'Deny', Action: 's3:DeleteObject', Resource: 'arn:aws:s3:::one/keep/*' };
    for (const { allows } of [policy(allow, deny), policy(deny, allow)]) {
      expect(allows('s3:DeleteObject', 'arn:aws:s3:::one/keep/x')).toBe(false);
      expect(allows('s3:DeleteObject', 'arn:aws:s3:::one/x')).toBe(true);
    }
  });

  it('takes every character of a pattern for itself, but * and ?', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1, maxLength: 20 }), fc.string({ maxLength: 20 }), (bucket, other) => {
        fc.pre(!/[*?]/.test(bucket));
        const { allows } = policy({ Effect: 'Allow', Action: 's3:GetObject', Resource: `arn:aws:s3:::${bucket}` });
        expect(allows('s3:GetObject', `arn:aws:s3:::${bucket}`)).toBe(true);
        expect(allows('s3:GetObject', `arn:aws:s3:::${other}`)).toBe(other === bucket);
      }),
    );
    const { allows } = policy({ Effect: 'Allow', Action: 's3:GetObject', Resource: 'arn:aws:s3:::b/?x*' });
    expect([
      allows('s3:GetObject', 'arn:aws:s3:::b/1x'),
      allows('s3:GetObject', 'arn:aws:s3:::b/1x\n2'),
      allows('s3:GetObject', 'arn:aws:s3:::b/x'),
    ]).toEqual([true, true, false]);
  });

  it('is refused when it says something that would not be obeyed', () => {
    const base = { Effect: 'Allow', Action: 's3:*', Resource: '*' };
    for (const statement of [
      { ...base, Condition: {} },
      { ...base, Principal: '*' },
      { Effect: 'Allow', NotAction: 's3:x', Resource: '*' },
      { ...base, Effect: 'allow' },
      {},
    ]) {
      expect(() => policy(statement)).toThrow('not one this store can enforce');
    }
    expect(() => parsePolicy('{')).toThrow('not JSON');
    expect(() => parsePolicy(`{"Statement":[${' '.repeat(2048)}]}`)).toThrow('expected at most 2048');
  });
});
