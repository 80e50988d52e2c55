import assert from 'node:assert/strict'
import { test } from 'node:test'
import { expiryOf, readHelperAnswer } from '../../src/upstream/helper-answer.ts'

const ok = (answer: unknown) => ({ code: 0, stdout: typeof answer === 'string' ? answer : JSON.stringify(answer) })

const answers: [sentence: string, answer: { code: number; stdout: string }, stored: object | undefined][] = [
  [
    'A user and a secret are a password',
    ok({ ServerURL: 'a.io', Username: 'ann', Secret: 'pw' }),
    { kind: 'password', user: 'ann', password: 'pw' },
  ],
  ['The user <token> has an identity token', ok({ Username: '<token>', Secret: 'tok' }), { kind: 'identityToken', token: 'tok' }],
  ['A user may be empty', ok({ Username: '', Secret: 'pw' }), { kind: 'password', user: '', password: 'pw' }],
  ['Nothing found is nothing', { code: 1, stdout: 'credentials not found in native keychain\n' }, undefined],
  ['An answer with nothing in it is nothing', ok({ ServerURL: '', Username: '', Secret: '' }), undefined],
  ['An empty map is nothing', ok({}), undefined],
]
for (const [sentence, answer, stored] of answers) test(sentence, () => assert.deepEqual(readHelperAnswer(answer), stored))

const failures: [sentence: string, answer: { code: number | null; stdout: string }, message: string][] = [
  [
    'What a helper says about its failure is passed on',
    { code: 1, stdout: 'exit status 2: gpg: no key\nmore' },
    'it failed with exit code 1: exit status 2: gpg: no key',
  ],
  ['A helper that says nothing failed all the same', { code: 3, stdout: '' }, 'it failed with exit code 3'],
  ['What looks like an answer is not shown', { code: 1, stdout: '{"Username":"ann","Secret":"s3cr3t"}' }, 'it failed with exit code 1'],
  ['What talks of a secret is not shown', { code: 1, stdout: 'bad Secret: s3cr3t' }, 'it failed with exit code 1'],
  ['A long word is cut', { code: 1, stdout: 'x'.repeat(500) }, `it failed with exit code 1: ${'x'.repeat(200)}`],
  [
    'An answer that is cut is none, and is not shown',
    ok('{"Username":"ann","Secret":"s3cr'),
    'its answer is not the JSON that it should be',
  ],
  ['A word is no answer', ok('"s3cr3t"'), 'its answer is not the JSON that it should be'],
  ['A user without a secret is no answer', ok({ Username: 'ann' }), 'its answer has no user name and secret'],
  ['A secret is text', ok({ Username: 'ann', Secret: 7 }), 'its answer has no user name and secret'],
]
for (const [sentence, answer, message] of failures) test(sentence, () => assert.throws(() => readHelperAnswer(answer), { message }))

const base64 = (claims: unknown, form: 'base64' | 'base64url' = 'base64') => Buffer.from(JSON.stringify(claims)).toString(form)

const expiries: [sentence: string, secret: string, expiry: number | undefined][] = [
  [
    'A JWT names its end',
    `${base64({ alg: 'x' }, 'base64url')}.${base64({ exp: 1_800_000_000, n: '??>>' }, 'base64url')}.c2ln`,
    1_800_000_000_000,
  ],
  ['A JWT without an end names none', `x.${base64({ sub: 'a' }, 'base64url')}.y`, undefined],
  [
    'The password of ECR names its end',
    base64({ payload: 'x', datakey: 'y', version: '2', type: 'DATA_KEY', expiration: 1_800_000_000 }),
    1_800_000_000_000,
  ],
  ['A plain password names none', 'hunter2', undefined],
  ['A password with two dots names none', 'a.b.c', undefined],
  ['An end that is no number is none', base64({ expiration: 'soon' }), undefined],
  ['An end before all time is none', base64({ expiration: -1 }), undefined],
  ['JSON that is no map names none', base64(7), undefined],
]
for (const [sentence, secret, expiry] of expiries) test(sentence, () => assert.equal(expiryOf(secret), expiry))
