import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Digest } from '../../src/oci/digest.ts'
import { startFakeRegistry } from '../support/fake-registry.ts'
import { generatedBytes } from '../support/fake-registry-bytes.ts'
import { hangAt, redirectToCdn } from '../support/fake-registry-faults.ts'
import { Gate } from '../support/fake-registry-reply.ts'
import { entry, startServer } from '../support/server.ts'
import { assertBlob, HIT, MISS } from './answers.ts'

test('stargz probes with bytes=0-1, then reads pieces; it never sees the redirect of the upstream', async (t) => {
  const hub = await startFakeRegistry(t)
  const cdn = await startFakeRegistry(t, { content: hub.content })
  const server = await startServer(t, { registries: [entry(hub, 'docker.io')] })
  const size = 500_000
  const digest = hub.addGeneratedBlob('stargz', size)
  const bytes = Buffer.concat([...generatedBytes('stargz', size).read(0, size)])
  hub.fault({ match: { kind: 'blob' }, do: [redirectToCdn(cdn.origin)] })
  const target = `/v2/library/alpine/blobs/${digest}?ns=docker.io`
  const identity = { 'accept-encoding': 'identity' }
  const probe = await server.get(target, { range: 'bytes=0-1', ...identity })
  assertBlob(probe, { digest, bytes, part: [0, 1] }, { ns: 'docker.io', cache: MISS })
  await server.settled()
  assertBlob(await server.head(target), { digest, bytes }, { method: 'HEAD', ns: 'docker.io' })
  for (let first = 0; first < size; first += 50_000) {
    const last = Math.min(first + 49_999, size - 1)
    const piece = await server.get(target, { range: `bytes=${first}-${last}`, ...identity })
    assertBlob(piece, { digest, bytes, part: [first, last] }, { ns: 'docker.io', cache: HIT })
  }
  const many = await server.get(target, { range: 'bytes=0-49999,100000-149999', ...identity })
  assertBlob(many, { digest, bytes }, { ns: 'docker.io' }) // or multipart, or 400; a single part would be the wrong bytes
  assert.equal(hub.count(), 1)
  assert.equal(cdn.count(), 1)
})

test('stargz reads pieces of a layer that is still being downloaded: it waits 30 s for each, and not for the whole', async (t) => {
  const hub = await startFakeRegistry(t)
  const server = await startServer(t, { registries: [entry(hub, 'docker.io')] })
  const size = 500_000
  const digest = hub.addGeneratedBlob('half', size)
  const bytes = Buffer.concat([...generatedBytes('half', size).read(0, size)])
  const rest = new Gate()
  hub.fault({ match: { kind: 'blob' }, do: [hangAt(250_000, rest)] })
  const target = `/v2/library/alpine/blobs/${digest}?ns=docker.io`
  const piece = async (first: number, last: number, cache: string) => {
    const answer = await server.get(target, { range: `bytes=${first}-${last}`, 'accept-encoding': 'identity' })
    assertBlob(answer, { digest, bytes, part: [first, last] }, { ns: 'docker.io', cache })
  }
  await piece(0, 1, MISS)
  assertBlob(await server.head(target), { digest, bytes }, { method: 'HEAD', ns: 'docker.io', cache: `${MISS}; collapsed` })
  await piece(100_000, 149_999, `${MISS}; collapsed`)
  const waiting = [piece(240_000, 289_999, `${MISS}; collapsed`), piece(size - 100, size - 1, `${MISS}; collapsed`)]
  await piece(0, 49_999, `${MISS}; collapsed`)
  rest.open()
  await Promise.all(waiting)
  await server.settled()
  await piece(size - 50_000, size - 1, HIT)
  assert.equal(hub.count(), 1)
})

test('stargz looks at its layers again and again: a hit, and the upstream is not asked', async (t) => {
  const hub = await startFakeRegistry(t)
  const server = await startServer(t, { registries: [entry(hub, 'docker.io')] })
  const digest = hub.addBlob(Buffer.alloc(100_000, 'looked at'))
  const target = `/v2/library/alpine/blobs/${digest}?ns=docker.io`
  assert.equal((await server.get(target)).status, 200)
  await server.settled()
  await hub.stop()
  const connection = await server.connect()
  for (let i = 0; i < 10; i++) {
    assertBlob(await connection.ask({ method: 'HEAD', target }), wanted(digest), { method: 'HEAD', ns: 'docker.io' })
    const probe = await connection.ask({ target, headers: { range: 'bytes=0-1' } })
    assertBlob(probe, { ...wanted(digest), part: [0, 1] }, { ns: 'docker.io' })
  }
  assert.equal(hub.count(), 1)
})

const wanted = (digest: Digest) => ({ digest, bytes: Buffer.alloc(100_000, 'looked at') })
