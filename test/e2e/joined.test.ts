/** Twenty clients want the same 200 MB at the same time: one download, every byte right, nobody held up by a slow or leaving one. */
import assert from 'node:assert/strict'
import type { IncomingMessage } from 'node:http'
import test from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { sha256 } from './support/bytes.ts'
import { openCountingUpstream } from './support/counting-upstream.ts'
import { startDockerRegistry } from './support/docker-registry.ts'
import { ask, digestOfBody, open } from './support/http-client.ts'
import { lacks } from './support/requirements.ts'
import { seeds } from './support/seeds.ts'
import { install } from './support/server.ts'

/** Slow enough that everybody joins while it runs: the blob takes five seconds. */
const upstreamBytesPerSecond = 40_000_000

/** Reads a byte a second until `hurry` says otherwise, then the rest; answers with the digest of all. */
async function readSlowly(response: IncomingMessage, hurry: AbortSignal): Promise<string> {
  const bytes: Buffer[] = []
  while (!hurry.aborted) {
    const byte = response.read(1)
    if (byte !== null) bytes.push(byte)
    await sleep(1000, undefined, { signal: hurry }).catch(() => {})
  }
  for await (const chunk of response) bytes.push(chunk)
  return sha256(Buffer.concat(bytes))
}

/** Takes a little and goes away, without a word. */
async function leaveAfter(response: IncomingMessage, sizeBytes: number): Promise<void> {
  let seenBytes = 0
  for await (const chunk of response) {
    seenBytes += chunk.length
    if (seenBytes >= sizeBytes) break
  }
  response.destroy()
}

/** Resolves when the body has brought so many bytes; the body is then as if nobody had read it. */
async function hasBrought(response: IncomingMessage, sizeBytes: number): Promise<void> {
  const seen: Buffer[] = []
  let seenBytes = 0
  while (seenBytes < sizeBytes) {
    const chunk: Buffer | null = response.read()
    if (chunk === null) await new Promise((resolve) => response.once('readable', resolve))
    else {
      seen.push(chunk)
      seenBytes += chunk.length
    }
  }
  response.unshift(Buffer.concat(seen))
}

test('twenty clients join one download of 200 MB', { skip: lacks('docker-registry') }, async (t) => {
  const { storage, images } = (await seeds(t))['docker.io']
  const registry = await startDockerRegistry(t, storage)
  const upstream = await openCountingUpstream(t, registry.url, upstreamBytesPerSecond)
  const { start, url } = await install(t, [{ name: 'docker.io', url: upstream.url }])
  await start()

  const { repository, images: [only] = [] } = images.largeLayer ?? assert.fail()
  const layer = only?.blobs.find(({ sizeBytes }) => sizeBytes > 100_000_000) ?? assert.fail()
  const blobUrl = `${url}/v2/docker.io/${repository}/blobs/${layer.digest}`
  const client = async () => {
    const response = await open(blobUrl)
    assert.equal(response.statusCode, 200)
    assert.equal(response.headers['content-length'], String(layer.sizeBytes))
    return response
  }

  const hurry = new AbortController()
  const slow = readSlowly(await client(), hurry.signal)
  const leaver = leaveAfter(await client(), 20_000_000)
  const first = await Promise.all(Array.from({ length: 8 }, client))
  // the others come in the middle: 10 MB are there, 190 MB are not
  const [early] = first
  assert.ok(early)
  await hasBrought(early, 10_000_000)
  const later = await Promise.all(Array.from({ length: 10 }, client))

  await leaver
  const digests = await Promise.all([...first, ...later].map(digestOfBody))
  assert.deepEqual(new Set(digests), new Set([layer.digest]))
  assert.equal(digests.length, 18)
  hurry.abort()
  assert.equal(await slow, layer.digest)

  const downloads = upstream.exchanges.filter(({ path, method }) => method === 'GET' && path.includes('/blobs/'))
  assert.deepEqual(
    downloads.map(({ path, sentBytes }) => ({ path, sentBytes })),
    [{ path: `/v2/${repository}/blobs/${layer.digest}`, sentBytes: layer.sizeBytes }],
  )
  await registry.process.stop()
  const again = await ask(blobUrl)
  assert.equal(sha256(again.bytes), layer.digest)
})
