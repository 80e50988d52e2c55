import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startFakeRegistry } from '../support/fake-registry.ts'
import { generatedBytes } from '../support/fake-registry-bytes.ts'
import { redirectToCdn } from '../support/fake-registry-faults.ts'
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
