/** Registries that refuse: that is told until they grant something, and is no trouble. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { digestOf } from '../../src/oci/digest.ts'
import { ManualClock } from '../support/clock.ts'
import { startFakeRegistry } from '../support/fake-registry.ts'
import { FakeAuth } from '../support/fake-registry-auth.ts'
import { refuse, status } from '../support/fake-registry-faults.ts'
import { REPOSITORY, TAG, upstreamOf } from './support.ts'

const ABSENT = digestOf(Buffer.from('absent'))
const GRANTED = 200

/** What it answers, one after the other, and the status of the refusal that is told then. */
const cases: [what: string, answers: readonly (number | 'reset')[], told: number | undefined][] = [
  ['has refused nothing', [GRANTED], undefined],
  ['forbids', [403], 403],
  ['wants somebody else', [401], 401],
  ['refuses again and again', [401, 403, 401, 403], 403],
  ['grants after it refused', [403, GRANTED], undefined],
  ['refuses after it granted', [GRANTED, 403], 403],
  ['has not what it is asked for after it refused', [403, 404], 403],
  ['fails after it refused', [403, 500], 403],
  ['cannot be reached after it refused', [403, 'reset'], 403],
  ['has not what it is asked for', [404], undefined],
  ['fails', [500], undefined],
]
for (const [what, answers, told] of cases) {
  test(`A registry that ${what} ${told === undefined ? 'shows no refusal' : `shows ${told}`}`, async (t) => {
    const registry = await startFakeRegistry(t)
    registry.addImage('team/app', 'v1')
    const clock = new ManualClock()
    const upstream = upstreamOf(t, registry, {}, { clock, random: () => 0.5 })
    for (const answer of answers) {
      const fault = answer === GRANTED ? undefined : registry.fault({ match: {}, do: [answer === 'reset' ? refuse() : status(answer)] })
      await upstream.getManifest(REPOSITORY, TAG).catch(() => {})
      fault?.remove()
    }
    const { refused } = upstream.health()
    if (told === undefined) return assert.equal(refused, undefined)
    assert.equal(refused?.at, clock.now())
    assert.match(refused.why, new RegExp(`^cannot get manifest team/app:v1 from \\S+: http\\S+ answered ${told}`))
  })
}

test('A registry that refuses everything is asked on, in the background too', async (t) => {
  const registry = await startFakeRegistry(t)
  const upstream = upstreamOf(t, registry)
  registry.fault({ match: {}, do: [status(403)] })
  for (let n = 0; n < 10; n++) await assert.rejects(upstream.getManifest(REPOSITORY, TAG), { kind: 'denied' })
  assert.deepEqual([upstream.health().state, upstream.mayBeAsked('background')], ['well', true])
})

test('A token realm that refuses shows as well', async (t) => {
  const registry = await startFakeRegistry(t, { auth: new FakeAuth({ scheme: 'bearer', users: { u: 'p' } }) })
  const upstream = upstreamOf(t, registry)
  await assert.rejects(upstream.getManifest(REPOSITORY, TAG), { kind: 'denied' })
  assert.match(upstream.health().refused?.why ?? '', /401/)
})

test('A HEAD and a blob count as well, and what was not found does not', async (t) => {
  const registry = await startFakeRegistry(t)
  registry.addImage('team/app', 'v1')
  const upstream = upstreamOf(t, registry)
  const fault = registry.fault({ match: {}, do: [status(403)] })
  await assert.rejects(upstream.openBlob(REPOSITORY, ABSENT, 0), { kind: 'denied' })
  assert.ok(upstream.health().refused)
  fault.remove()
  const without = registry.fault({ match: {}, do: [status(404)] })
  assert.equal(await upstream.listReferrers(REPOSITORY, ABSENT), undefined)
  without.remove()
  await assert.rejects(upstream.openBlob(REPOSITORY, ABSENT, 0), { kind: 'notFound' })
  assert.ok(upstream.health().refused, 'no 404 grants anything')
  await upstream.headManifest(REPOSITORY, TAG)
  assert.equal(upstream.health().refused, undefined)
})
