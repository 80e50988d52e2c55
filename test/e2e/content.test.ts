/** What the server keeps: every kind of content byte for byte, images complete, all of it there after a restart and without the upstream. */
import assert from 'node:assert/strict'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'
import { sha256 } from './support/bytes.ts'
import { openCountingUpstream } from './support/counting-upstream.ts'
import { pushForeignImage } from './support/foreign-image.ts'
import { ask } from './support/http-client.ts'
import { until } from './support/poll.ts'
import { lacks } from './support/requirements.ts'
import { digestsOf, type Entry, registryNames, type SeededImage } from './support/seeds.ts'
import { type Installation, install } from './support/server.ts'
import { openStage } from './support/stage.ts'

const skip = lacks('docker-registry')

/** Asks for one manifest or blob by HEAD and GET; both must tell the truth about it. */
async function check(url: string, { digest, sizeBytes, mediaType }: Entry, wantedType = mediaType): Promise<void> {
  for (const method of ['HEAD', 'GET'] as const) {
    const { status, headers, bytes } = await ask(url, { method, headers: { accept: `${mediaType}, */*` } })
    const seen = { status, type: headers['content-type'], length: headers['content-length'], digest: headers['docker-content-digest'] }
    assert.deepEqual(seen, { status: 200, type: wantedType, length: String(sizeBytes), digest }, `${method} ${url}`)
    if (method === 'GET') assert.equal(sha256(bytes), digest, `${method} ${url}`)
  }
}

/** Everything that belongs to an image, in the order in which a client asks. */
async function checkImage(server: string, registry: string, { repository, tag, manifest, images }: SeededImage): Promise<void> {
  const base = `${server}/v2/${registry}/${repository}`
  await check(`${base}/manifests/${tag}`, manifest)
  for (const one of images) {
    await check(`${base}/manifests/${one.manifest.digest}`, one.manifest)
    for (const blob of one.blobs) await check(`${base}/blobs/${blob.digest}`, blob, 'application/octet-stream')
  }
}

/** The blob files that are there for good (verified ones are read-only), as digests. */
async function storedBlobs({ imagePath }: Installation): Promise<string[]> {
  const directory = join(imagePath, 'blobs')
  const names = await readdir(directory).catch(() => [])
  const modes = await Promise.all(names.map(async (name) => ({ name, mode: (await stat(join(directory, name))).mode & 0o777 })))
  return modes.filter(({ mode }) => mode === 0o444).map(({ name }) => `sha256:${name}`)
}

/** Digests of the manifests whose records are there. */
async function storedManifests({ imagePath }: Installation): Promise<string[]> {
  const names = await Promise.all(['img', 'fat'].map((name) => readdir(join(imagePath, name)).catch(() => [])))
  return names.flat().map((name) => `sha256:${name}`)
}

/** The files of all references, as they are; not those that are being written. */
async function storedReferences({ imagePath }: Installation): Promise<string> {
  const directory = join(imagePath, 'refs')
  const names = (await readdir(directory).catch(() => [])).filter((name) => !name.startsWith('.'))
  return (await Promise.all(names.map((name) => readFile(join(directory, name), 'utf8')))).join('\n')
}

/** Waits until nothing of an image would be lost, whatever happens to the server: answers come before the disk has synced. */
async function untilStored(
  installation: Installation,
  registry: string,
  { repository, tag, manifest, images }: SeededImage,
): Promise<void> {
  await until(`${registry}/${repository}:${tag} is in the store`, async () => {
    const references = await storedReferences(installation)
    if (!references.includes(`"${registry}/${repository}:${tag}"`)) return false
    const [manifests, blobs] = [await storedManifests(installation), await storedBlobs(installation)]
    const hasManifest = ({ digest }: Entry) => manifests.includes(digest)
    const hasBlob = ({ digest }: Entry) => blobs.includes(digest)
    return hasManifest(manifest) && images.every((one) => hasManifest(one.manifest) && one.blobs.every(hasBlob))
  })
}

test('every kind of content of every registry comes back byte for byte, also after a restart without the upstreams', {
  skip,
}, async (t) => {
  const stage = await openStage(t)
  const checkAll = async () => {
    for (const registry of registryNames) for (const image of stage.images(registry)) await checkImage(stage.url, registry, image)
  }
  await checkAll()
  await stage.stopUpstreams()
  assert.deepEqual(await stage.server.stop(), { code: 0, signal: null }, 'SIGTERM ends the server in good order')
  await stage.start()
  await checkAll()
})

test('what is in the store survives a server that is killed', { skip }, async (t) => {
  const stage = await openStage(t)
  const images = (['index', 'dockerList', 'fiveSegments', 'emptyBlob'] as const).map((name) => stage.image('quay.io', name))
  for (const image of images) await checkImage(stage.url, 'quay.io', image)
  for (const image of images) await untilStored(stage, 'quay.io', image)
  await stage.stopUpstreams()
  await stage.server.stop('SIGKILL')
  await stage.start()
  for (const image of images) await checkImage(stage.url, 'quay.io', image)
})

test('an image whose manifest a client has fetched becomes complete in the background', { skip }, async (t) => {
  const stage = await openStage(t)
  const image = stage.image('docker.io', 'dockerImage')
  await check(`${stage.url}/v2/${image.repository}/manifests/${image.tag}?ns=docker.io`, image.manifest)
  await untilStored(stage, 'docker.io', image)
  await stage.stopUpstreams()
  await checkImage(stage.url, 'docker.io', image)
})

test('the log says for each image whether it came from the upstream or from the cache', { skip }, async (t) => {
  const stage = await openStage(t)
  const { repository, tag, manifest } = stage.image('quay.io', 'ociImage')
  const says = (what: string) => until(what, () => stage.server.output().includes(`${what} reference=quay.io/${repository}:${tag}`))
  await check(`${stage.url}/v2/${repository}/manifests/${tag}?ns=quay.io`, manifest)
  await says('pulling from upstream')
  await check(`${stage.url}/v2/${repository}/manifests/${tag}?ns=quay.io`, manifest)
  await says('serving from cache')
})

test('the address of a foreign layer is never contacted, and the rest of its image is cached', { skip }, async (t) => {
  const { seeded, layer, host, upstream } = await pushForeignImage(t)
  const counting = await openCountingUpstream(t, upstream.url, Number.POSITIVE_INFINITY)
  const installation = await install(t, [{ name: 'docker.io', url: counting.url }])
  await installation.start()
  await checkImage(installation.url, 'docker.io', seeded)
  await untilStored(installation, 'docker.io', seeded)
  const asked = counting.exchanges.filter(({ path }) => path.includes(layer.digest))
  assert.deepEqual(asked, [], 'nobody wanted it')
  const answer = await ask(`${installation.url}/v2/docker.io/${seeded.repository}/blobs/${layer.digest}`)
  assert.equal(answer.status, 404, answer.bytes.toString())
  await upstream.process.stop()
  await checkImage(installation.url, 'docker.io', seeded)
  const blobs = digestsOf(seeded).filter((digest) => digest !== seeded.manifest.digest)
  assert.deepEqual((await storedBlobs(installation)).sort(), blobs)
  assert.deepEqual(host.requests, [])
})
