import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Credentials } from '../../src/upstream/credentials.ts'
import { type TokenQuestion, Tokens } from '../../src/upstream/tokens.ts'
import { ManualClock } from '../support/clock.ts'
import { Gate } from '../support/fake-registry-reply.ts'

const who = (identity: string): Credentials => ({
  basic: `Basic ${identity}`,
  identityToken: undefined,
  user: identity,
  from: 'a file',
  identity,
})
const question: TokenQuestion = {
  origin: 'https://r.example',
  realm: new URL('https://auth.example/token'),
  service: 's',
  scope: 'repository:a:pull',
  credentials: undefined,
}

type Setup = { tokens: Tokens; asked: string[]; clock: ManualClock }

/** A realm that numbers its tokens. */
function setUp(answer: (n: number) => object = (n) => ({ token: `t${n}`, expires_in: 300 })): Setup {
  const asked: string[] = []
  const clock = new ManualClock()
  const ask = async (url: URL): Promise<Buffer> => {
    asked.push(url.href)
    return Buffer.from(JSON.stringify(answer(asked.length)))
  }
  return { tokens: new Tokens(ask, clock), asked, clock }
}

const urls: [title: string, part: Partial<TokenQuestion>, url: string][] = [
  ['service and scope', {}, 'https://auth.example/token?service=s&scope=repository%3Aa%3Apull'],
  ['no service, where the challenge has none', { service: undefined }, 'https://auth.example/token?scope=repository%3Aa%3Apull'],
  [
    "the realm's own query, as it was written",
    { realm: new URL('https://auth.example/jwt?a=%20b&c'), scope: 'aws' },
    'https://auth.example/jwt?a=%20b&c&service=s&scope=aws',
  ],
]
for (const [title, part, url] of urls) {
  test(`a realm is asked with ${title}`, async () => {
    const { tokens, asked } = setUp()
    await tokens.get({ ...question, ...part })
    assert.deepEqual(asked, [url])
  })
}

const lives: [title: string, answer: object, usableMs: number][] = [
  ['for its life less ten seconds', { token: 't', expires_in: 300 }, 290_000],
  ['for fifty seconds if the realm does not say', { token: 't' }, 50_000],
  ['for half its life if that is short', { token: 't', expires_in: 8 }, 4_000],
  ['as told by a number in quotes', { access_token: 't', expires_in: '100' }, 90_000],
  ['for fifty seconds if the realm talks nonsense', { token: 't', expires_in: -5 }, 50_000],
]
for (const [title, answer, usableMs] of lives) {
  test(`a token is used again ${title}`, async () => {
    const { tokens, asked, clock } = setUp(() => answer)
    assert.deepEqual(await tokens.get(question), { token: 't', fresh: true })
    await clock.advance(usableMs - 1)
    assert.deepEqual(await tokens.get(question), { token: 't', fresh: false })
    await clock.advance(1)
    assert.equal((await tokens.get(question)).fresh, true)
    assert.equal(asked.length, 2)
  })
}

const different: [title: string, part: Partial<TokenQuestion>][] = [
  ['origin', { origin: 'https://other.example' }],
  ['realm', { realm: new URL('https://auth.example/other') }],
  ['service', { service: 'other' }],
  ['scope', { scope: 'repository:b:pull' }],
  ['user', { credentials: who('ann') }],
]
for (const [title, part] of different) {
  test(`a token is not used for another ${title}`, async () => {
    const { tokens } = setUp()
    await tokens.get(question)
    assert.deepEqual(await tokens.get({ ...question, ...part }), { token: 't2', fresh: true })
    assert.deepEqual(await tokens.get(question), { token: 't1', fresh: false })
  })
}

test('a token is asked for once, however many want it', async () => {
  const { tokens, asked } = setUp()
  const all = await Promise.all(Array.from({ length: 20 }, () => tokens.get(question)))
  assert.deepEqual(new Set(all.map(({ token }) => token)), new Set(['t1']))
  assert.equal(asked.length, 1)
})

test('a refused token is not handed out again, and those who were refused together share the next', async () => {
  const { tokens, asked } = setUp()
  const { token } = await tokens.get(question)
  const renewed = await Promise.all([tokens.get(question, token), tokens.get(question, token)])
  assert.deepEqual(
    renewed.map((got) => got.token),
    ['t2', 't2'],
  )
  assert.deepEqual(await tokens.get(question, token), { token: 't2', fresh: false })
  assert.equal(asked.length, 2)
})

test('whoever loses patience is reported with the reason, and takes the token from nobody', async () => {
  const gate = new Gate()
  const givenUp: unknown[] = []
  const ask = (): Promise<Buffer> => gate.opened.then(() => Buffer.from('{"token":"t"}'))
  const tokens = new Tokens(ask, new ManualClock(), (realm, reason) => givenUp.push(realm.href, reason))
  const impatient = new AbortController()
  const both = Promise.all([tokens.get(question, undefined, impatient.signal), tokens.get(question)])
  impatient.abort('too late')
  gate.open()
  assert.deepEqual(
    (await both).map(({ token }) => token),
    ['t', 't'],
  )
  impatient.abort('again')
  assert.deepEqual(givenUp, [question.realm.href, 'too late'])
})

test('a failure is told to all who wait, and not remembered', async () => {
  let failing = true
  const tokens = new Tokens(async () => {
    if (failing) throw new Error('realm down')
    return Buffer.from('{"token":"t"}')
  }, new ManualClock())
  const both = await Promise.allSettled([tokens.get(question), tokens.get(question)])
  assert.deepEqual(
    both.map(({ status }) => status),
    ['rejected', 'rejected'],
  )
  failing = false
  assert.equal((await tokens.get(question)).token, 't')
})

for (const answer of [{}, { token: '' }, { token: 7 }, { token: 'two words' }, { token: 'line\nbreak' }, { access_token: null }, []]) {
  test(`no token in ${JSON.stringify(answer)}`, async () => {
    const { tokens } = setUp(() => answer)
    await assert.rejects(tokens.get(question), { kind: 'failed', message: /auth\.example answered without a token/ })
  })
}

test('a token that is longer than any real one is none, and long ones take the place of others', async () => {
  const endless = setUp(() => ({ token: 'x'.repeat(64 * 1024 + 1) }))
  await assert.rejects(endless.tokens.get(question), { kind: 'failed', message: /auth\.example answered with a token of more than 65536/ })
  const { tokens } = setUp(() => ({ token: 'x'.repeat(64 * 1024), expires_in: 300 }))
  for (let n = 0; n < 64; n++) await tokens.get({ ...question, scope: `repository:${n}:pull` })
  assert.equal((await tokens.get({ ...question, scope: 'repository:63:pull' })).fresh, false)
  assert.equal((await tokens.get({ ...question, scope: 'repository:0:pull' })).fresh, true)
})

test('a realm that answers with a page is no realm', async () => {
  const tokens = new Tokens(async () => Buffer.from('<html>log in</html>'), new ManualClock())
  await assert.rejects(tokens.get(question), { kind: 'failed' })
})
