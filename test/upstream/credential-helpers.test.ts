import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { CredentialHelpers } from '../../src/upstream/credential-helpers.ts'
import type { Credentials } from '../../src/upstream/credentials.ts'
import { ManualClock } from '../support/clock.ts'
import { type HelperPrograms, helperPrograms } from '../support/credential-helper.ts'
import { MemoryLog } from '../support/log.ts'
import { until } from '../support/until.ts'

type Setup = { programs: HelperPrograms; helpers: CredentialHelpers; clock: ManualClock; log: MemoryLog }

async function setUp(t: TestContext): Promise<Setup> {
  const programs = await helperPrograms(t)
  const clock = new ManualClock()
  const log = new MemoryLog()
  const helpers = new CredentialHelpers({ env: programs.env, clock, log, timeoutMs: 10_000 })
  t.after(() => helpers.close())
  return { programs, helpers, clock, log }
}

const basic = (pair: string): string => `Basic ${Buffer.from(pair).toString('base64')}`

test('A helper is asked for the registry on its input, without a shell, with the whole environment', async (t) => {
  const { programs, helpers } = await setUp(t)
  await programs.add('env', `echo "{\\"Username\\":\\"$HELPERS\\",\\"Secret\\":\\"pw\\"}"`)
  const server = '$(touch x); quay.io'
  assert.equal((await helpers.get('env', server))?.basic, basic(`${programs.directory}:pw`))
  assert.deepEqual(await programs.asked('env'), [`get ${server}`])
})

test('An identity token is no password', async (t) => {
  const { programs, helpers } = await setUp(t)
  await programs.answering('acr', '<token>', 'tok')
  const { basic: header, identityToken, user } = (await helpers.get('acr', 'x.azurecr.io')) as Credentials
  assert.deepEqual([header, identityToken, user], [undefined, 'tok', undefined])
})

test('An answer is kept for ten minutes, for each helper and registry, also that there is none', async (t) => {
  const { programs, helpers, clock } = await setUp(t)
  await programs.answering('a', 'ann', 'pw')
  await programs.add('none', 'echo "credentials not found in native keychain"; exit 1')
  for (const wait of [0, 599_999, 1]) {
    await clock.advance(wait)
    await helpers.get('a', 'one.io')
    assert.equal(await helpers.get('none', 'one.io'), undefined)
  }
  await helpers.get('a', 'two.io')
  assert.deepEqual(await programs.asked('a'), ['get one.io', 'get one.io', 'get two.io'])
  assert.equal((await programs.asked('none')).length, 2)
})

const encoded = (claims: object) => Buffer.from(JSON.stringify(claims)).toString('base64url')
const START_S = new ManualClock().now() / 1000
const lives: [sentence: string, secret: string, usableMs: number][] = [
  ['The password of ECR is used until a minute before it expires', encoded({ expiration: START_S + 3600 }), 3540_000],
  ['A JWT is used until a minute before it expires', `x.${encoded({ exp: START_S + 300 })}.y`, 240_000],
  ['A secret is used for no longer than twelve hours', encoded({ expiration: START_S + 100 * 3600 }), 12 * 3600_000],
  ['A secret that has expired by our clock is used for ten seconds', encoded({ expiration: START_S - 5 }), 10_000],
]
for (const [sentence, secret, usableMs] of lives) {
  test(sentence, async (t) => {
    const { programs, helpers, clock } = await setUp(t)
    await programs.answering('ecr', 'AWS', secret)
    await helpers.get('ecr', 'r.io')
    await clock.advance(usableMs - 1)
    await helpers.get('ecr', 'r.io')
    assert.equal((await programs.asked('ecr')).length, 1)
    await clock.advance(1)
    await helpers.get('ecr', 'r.io')
    assert.equal((await programs.asked('ecr')).length, 2)
  })
}

test('However many want it, a helper runs once for a registry', async (t) => {
  const { programs, helpers } = await setUp(t)
  await programs.answering('a', 'ann', 'pw')
  await Promise.all(Array.from({ length: 20 }, () => helpers.get('a', 'one.io')))
  assert.equal((await programs.asked('a')).length, 1)
})

test('What a registry refuses is asked for once more, at once, and then not again for ten seconds', async (t) => {
  const { programs, helpers, clock } = await setUp(t)
  await programs.answering('a', 'ann', 'old')
  const old = await helpers.get('a', 'r.io')
  await programs.answering('a', 'ann', 'new')
  const renewed = await Promise.all([helpers.get('a', 'r.io', old), helpers.get('a', 'r.io', old)])
  assert.deepEqual(
    renewed.map((credentials) => credentials?.basic),
    [basic('ann:new'), basic('ann:new')],
  )
  assert.equal((await programs.asked('a')).length, 2)
  await clock.advance(9_999)
  assert.equal((await helpers.get('a', 'r.io', renewed[0]))?.identity, renewed[0]?.identity)
  assert.equal((await programs.asked('a')).length, 2)
  await clock.advance(1)
  await helpers.get('a', 'r.io', renewed[0])
  assert.equal((await programs.asked('a')).length, 3)
})

const failures: [sentence: string, script: string | undefined, message: RegExp][] = [
  ['fails', 'echo "gpg: no key"; exit 2', /^docker-credential-a gave no credentials for r\.io: it failed with exit code 2: gpg: no key$/],
  ['is not there', undefined, /^docker-credential-a gave no credentials for r\.io: there is no program docker-credential-a in PATH$/],
  ['talks nonsense', 'echo "s3cr3t"', /its answer is not the JSON that it should be$/],
  ['writes without end', 'exec cat /dev/zero', /it wrote more than 65536 bytes$/],
  ['is ended by a signal', 'kill -9 $$', /it was ended by a signal$/],
]
for (const [sentence, script, message] of failures) {
  test(`A helper that ${sentence} is denied, logged once, and asked again after ten seconds`, async (t) => {
    const { programs, helpers, clock, log } = await setUp(t)
    if (script !== undefined) await programs.add('a', script)
    for (let i = 0; i < 2; i++) await assert.rejects(helpers.get('a', 'r.io'), { kind: 'denied', message })
    assert.equal(log.lines.length, 1)
    assert.deepEqual([log.lines[0]?.level, log.lines[0]?.fields.helper], ['error', 'docker-credential-a'])
    assert.doesNotMatch(JSON.stringify(log.lines), /s3cr3t/)
    await programs.answering('a', 'ann', 'pw')
    await clock.advance(10_000)
    assert.equal((await helpers.get('a', 'r.io'))?.basic, basic('ann:pw'))
  })
}

test('A helper that may not be run says so', async (t) => {
  const { programs, helpers } = await setUp(t)
  await programs.add('a', 'true', 0o644)
  await assert.rejects(helpers.get('a', 'r.io'), { kind: 'denied', message: /docker-credential-a may not be run$/ })
})

test('A helper that hangs is killed after ten seconds, with all that it has started', async (t) => {
  const { programs, helpers, clock, log } = await setUp(t)
  await programs.add('a', 'sleep 1000 & echo "$$ $!" > "$HELPERS/pids"; wait')
  const late = assert.rejects(helpers.get('a', 'r.io'), { kind: 'timeout', message: /it did not answer within 10000 ms$/ })
  const pids = () => readFile(join(programs.directory, 'pids'), 'utf8').catch(() => '')
  await until(async () => (await pids()).endsWith('\n'), 'the helper has started')
  await clock.advance(10_000)
  await late
  for (const pid of (await pids()).trim().split(' ')) await until(() => isGone(pid), `${pid} is gone`)
  assert.equal(log.lines.length, 1)
  await assert.rejects(helpers.get('a', 'r.io'), { kind: 'timeout' })
  assert.equal((await programs.asked('a')).length, 1, 'the next pull does not wait for it again')
})

test('A helper that leaves somebody behind with its output open has ten seconds, too', async (t) => {
  const { programs, helpers, clock } = await setUp(t)
  await programs.add('a', 'sleep 1000 & echo "$!" > "$HELPERS/pids"')
  const late = assert.rejects(helpers.get('a', 'r.io'), { kind: 'timeout' })
  const pids = () => readFile(join(programs.directory, 'pids'), 'utf8').catch(() => '')
  await until(async () => (await pids()).endsWith('\n'), 'the helper has started')
  await clock.advance(10_000)
  await late
  await until(async () => isGone((await pids()).trim()), 'what it left is gone')
})

test('A helper that runs is killed when the server stops', async (t) => {
  const { programs, helpers, log } = await setUp(t)
  await programs.add('a', 'echo $$ > "$HELPERS/pids"; exec sleep 1000')
  const ended = assert.rejects(helpers.get('a', 'r.io'), { kind: 'denied', message: /it was ended$/ })
  const pid = () => readFile(join(programs.directory, 'pids'), 'utf8').catch(() => '')
  await until(async () => (await pid()).endsWith('\n'), 'the helper has started')
  await helpers.close()
  await ended
  await until(async () => isGone((await pid()).trim()), 'the helper is gone')
  assert.deepEqual(log.lines, [])
})

/** Or waits only for somebody to take note of it. */
async function isGone(pid: string): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined)
  return status === undefined || / Z /.test(status.slice(status.lastIndexOf(')')))
}
