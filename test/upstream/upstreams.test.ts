/** Which upstream a registry has: by entry, by alias, or by nobody's leave. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { OciError } from '../../src/oci/error.ts'
import { DOCKER_HUB, parseRegistry } from '../../src/oci/name.ts'
import { ManualClock } from '../support/clock.ts'
import { startFakeRegistry } from '../support/fake-registry.ts'
import { hangAt } from '../support/fake-registry-faults.ts'
import { Gate } from '../support/fake-registry-reply.ts'
import { until } from '../support/until.ts'
import { bytesOfBody, entryOf, makeUpstreams, passing, REPOSITORY, TAG } from './support.ts'

test('an entry is found by its name and by its aliases, and lives where its address says', async (t) => {
  const registry = await startFakeRegistry(t)
  registry.addImage('team/app', 'v1')
  const [name, alias] = [parseRegistry('reg.example'), parseRegistry('mirror')]
  const { upstreams } = makeUpstreams(t, { registries: [entryOf(registry, { name, aliases: [alias] })] })
  assert.equal(upstreams.of(alias), upstreams.of(name))
  assert.equal(upstreams.of(alias).registry, name)
  await upstreams.of(alias).getManifest(REPOSITORY, TAG)
  assert.equal(registry.requests()[0]?.headers.host, registry.host)
})

test('an address is not a name: the registry there has an upstream of its own', async (t) => {
  const registry = await startFakeRegistry(t)
  const { upstreams } = makeUpstreams(t, { registries: [entryOf(registry, { name: parseRegistry('reg.example') })] })
  await assert.rejects(upstreams.of(registry.name).getManifest(REPOSITORY, TAG), { kind: 'refusedAddress' })
})

test('a registry without entry has an upstream, the same each time, unless that is closed', (t) => {
  const name = parseRegistry('quay.io')
  const { upstreams } = makeUpstreams(t)
  assert.equal(upstreams.of(name), upstreams.of(name))
  const { upstreams: closed } = makeUpstreams(t, { allowUnconfigured: false })
  assert.throws(
    () => closed.of(name),
    (error: unknown) => error instanceof OciError && error.status === 404 && error.code === 'NAME_UNKNOWN',
  )
})

test('a registry that no URL can name is refused as a name', (t) => {
  const { upstreams } = makeUpstreams(t)
  assert.throws(
    () => upstreams.of(parseRegistry('1.2.3.999')),
    (error: unknown) => error instanceof OciError && error.status === 400 && error.code === 'NAME_INVALID',
  )
})

test('Docker Hub without an entry lives at registry-1.docker.io, other registries where their name says, by https', async (t) => {
  for (const [name, host] of [
    [DOCKER_HUB, 'registry-1.docker.io'],
    [parseRegistry('quay.io'), 'quay.io'],
  ] as const) {
    const lookedUp: string[] = []
    const resolve = async (hostname: string) => {
      lookedUp.push(hostname)
      throw Object.assign(new Error('no network in tests'), { code: 'ENOTFOUND' })
    }
    const { upstreams } = makeUpstreams(t, { resolve })
    await assert.rejects(upstreams.of(name).getManifest(REPOSITORY, TAG), {
      kind: 'dns',
      message: new RegExp(`^cannot get \\S+ \\S+ from ${name}: `),
    })
    assert.deepEqual(lookedUp, [host])
  }
})

test('look-ups are shared by all registries: three that nobody knows at once', async (t) => {
  let running = 0
  const resolve = () => new Promise<never>(() => running++)
  const clock = new ManualClock()
  const { upstreams } = makeUpstreams(t, { resolve, clock, pullTimeoutMs: 1_000_000_000 })
  const names = Array.from({ length: 20 }, (_, index) => parseRegistry(`r${index}.example`))
  const failed = Promise.all(names.map((name) => assert.rejects(upstreams.of(name).getManifest(REPOSITORY, TAG), { kind: 'timeout' })))
  await passing(clock, failed)
  assert.equal(running, 3)
})

test('unconfigured upstreams are bounded; configured ones stay', (t) => {
  const { upstreams } = makeUpstreams(t, { budgets: { unconfigured: 2 } })
  const [a, b, c] = [parseRegistry('a.example'), parseRegistry('b.example'), parseRegistry('c.example')]
  const first = upstreams.of(a)
  upstreams.of(b)
  upstreams.of(c)
  assert.notEqual(upstreams.of(a), first)
})

test('an upstream that is let go of ends its connections when they are idle, and can still be asked', async (t) => {
  const registry = await startFakeRegistry(t)
  registry.addImage('team/app', 'v1')
  const entry = entryOf(registry)
  const upstream = makeUpstreams(t, { registries: [entry] }).upstreams.of(entry.name)
  const gate = new Gate()
  registry.fault({ match: { kind: 'blob' }, do: [hangAt(4, gate)] })
  const { body } = await upstream.openBlob(REPOSITORY, registry.addBlob('0123456789'), 0)
  upstream.retire()
  await upstream.getManifest(REPOSITORY, TAG)
  gate.open()
  assert.equal(String(await bytesOfBody(body)), '0123456789')
  upstream.retire()
  await until(() => registry.connections === 0)
})
