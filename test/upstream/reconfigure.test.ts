/** Upstreams by other settings: what goes on as it was, what begins anew, and what is still under way with the old ones. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseRegistry } from '../../src/oci/name.ts'
import type { UpstreamSettings } from '../../src/upstream/upstreams.ts'
import { startFakeRegistry } from '../support/fake-registry.ts'
import { hangAt, status } from '../support/fake-registry-faults.ts'
import { Gate } from '../support/fake-registry-reply.ts'
import { bytesOfBody, entryOf, makeUpstreams, password, REPOSITORY, TAG } from './support.ts'

const [QUAY, OTHER] = [parseRegistry('quay.io'), parseRegistry('other.example')]
const BEFORE: UpstreamSettings = { registries: [], allowUnconfigured: true, pullTimeoutMs: 5_000 }

test('an entry about which nothing has changed keeps its upstream, and another one gets a new one', async (t) => {
  const registry = await startFakeRegistry(t)
  const [kept, changed] = [entryOf(registry, { name: QUAY }), entryOf(registry, { name: OTHER })]
  const { upstreams } = makeUpstreams(t, { registries: [kept, changed] })
  const [first, second] = [upstreams.of(QUAY), upstreams.of(OTHER)]
  upstreams.reconfigure({ ...BEFORE, registries: [{ ...changed, auth: password('ann', 'pw') }, { ...kept }] })
  assert.equal(upstreams.of(QUAY), first)
  assert.notEqual(upstreams.of(OTHER), second)
  assert.deepEqual([...upstreams.all()], [upstreams.of(OTHER), first])
})

const forAll: [what: string, settings: Partial<UpstreamSettings>][] = [
  ['the time for an answer', { pullTimeoutMs: 1_000 }],
  ['a file of credentials', { credentials: { dockerConfig: '/x' } }],
]
for (const [what, settings] of forAll) {
  test(`${what} concerns every registry`, (t) => {
    const { upstreams } = makeUpstreams(t)
    const first = upstreams.of(QUAY)
    upstreams.reconfigure({ ...BEFORE, ...settings })
    assert.notEqual(upstreams.of(QUAY), first)
  })
}

test('a registry without an entry keeps its upstream until it gets an entry, or registries without one are closed', async (t) => {
  const registry = await startFakeRegistry(t)
  const { upstreams } = makeUpstreams(t)
  const first = upstreams.of(QUAY)
  upstreams.reconfigure({ ...BEFORE, registries: [entryOf(registry, { name: OTHER })] })
  assert.equal(upstreams.of(QUAY), first)
  upstreams.reconfigure({ ...BEFORE, allowUnconfigured: false })
  assert.throws(() => upstreams.of(QUAY), { status: 404 })
  upstreams.reconfigure({ ...BEFORE, registries: [entryOf(registry, { name: QUAY })] })
  assert.notEqual(upstreams.of(QUAY), first)
})

test('in an air gap there is no upstream, and after it there are the same as before', (t) => {
  const { upstreams } = makeUpstreams(t)
  const first = upstreams.of(QUAY)
  upstreams.reconfigure({ ...BEFORE, airGapped: true })
  assert.throws(() => upstreams.of(QUAY), { status: 404, message: 'quay.io is not asked: the server is air-gapped' })
  upstreams.reconfigure(BEFORE)
  assert.equal(upstreams.of(QUAY), first)
})

test('a body that is under way ends, though its registry is configured in another way by then', async (t) => {
  const registry = await startFakeRegistry(t)
  const bytes = Buffer.alloc(500_000, 'x')
  const digest = registry.addBlob(bytes)
  const gate = new Gate()
  registry.fault({ match: { kind: 'blob' }, do: [hangAt(100_000, gate)] })
  const { upstreams } = makeUpstreams(t, { registries: [entryOf(registry, { name: QUAY })] })
  const { body } = await upstreams.of(QUAY).openBlob(REPOSITORY, digest, 0)
  upstreams.reconfigure(BEFORE)
  gate.open()
  assert.ok((await bytesOfBody(body)).equals(bytes))
})

test('whoever waits for a registry that is down is told when it is configured in another way', async (t) => {
  const registry = await startFakeRegistry(t)
  registry.fault({ match: {}, do: [status(500)] })
  const { upstreams } = makeUpstreams(t, { registries: [entryOf(registry, { name: QUAY })] })
  const first = upstreams.of(QUAY)
  for (let i = 0; i < 4; i++) await assert.rejects(first.getManifest(REPOSITORY, TAG))
  while (first.mayBeAsked('client')) await first.getManifest(REPOSITORY, TAG).catch(() => {})
  const waiting = first.untilMayBeAsked('client')
  upstreams.reconfigure(BEFORE)
  await assert.rejects(waiting, { kind: 'unreachable' })
})
