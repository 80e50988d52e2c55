/** An image that was loaded can be pulled without its registry: by tag, by the digest of its index, for the platforms that were wanted. */
import assert from 'node:assert/strict'
import { chmod, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import type { Cache } from '../../src/cache/cache.ts'
import type { LoadOptions } from '../../src/cache/image-load.ts'
import { BlobLedger, ImageProgress, type LoadResult } from '../../src/cache/image-progress.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { parseImageName } from '../../src/oci/image-name.ts'
import type { Platform } from '../../src/oci/manifest.ts'
import { parsePlatform } from '../../src/oci/platform.ts'
import type { StorageTrouble } from '../../src/store/space.ts'
import { UpstreamError } from '../../src/upstream/error.ts'
import type { AddedImage } from '../support/fake-registry-content.ts'
import { Tap } from '../support/scripted-upstream.ts'
import { flipBitOfManifest, recordFile } from '../support/stored-image.ts'
import { until } from '../support/until.ts'
import { ANY, bytes, CACHED, cacheTest, type Ground, later, MIB, readAll, ref, settle, source } from './support.ts'

const AMD: Platform = { os: 'linux', architecture: 'amd64' }
const ARM: Platform = { os: 'linux', architecture: 'arm64' }
const NAME = 'quay.io/some/app:1'
const DEFAULTS = { platforms: [AMD], referrers: false, urgency: 'client' as const }

type Options = Partial<Omit<LoadOptions, 'onlyLook'>>

function begin(cache: Cache, name: string, options: Options = {}, signal = new AbortController().signal) {
  const progress = new ImageProgress(name, new BlobLedger())
  const result = cache.newLoader({ ...DEFAULTS, ...options }).load(parseImageName(name), progress, signal)
  return { progress, result }
}

function load(cache: Cache, name = NAME, options: Options = {}): Promise<LoadResult> {
  return begin(cache, name, options).result
}

/** Lets time pass until it is over. */
async function inTime<T>(ground: Ground, work: Promise<T>): Promise<T> {
  let isOver = false
  const done = () => {
    isOver = true
  }
  later(work).then(done, done)
  for (let second = 0; second < 400 && !isOver; second++) {
    await settle()
    await ground.clock.advance(1000)
  }
  return work
}

type Multi = { readonly index: Digest; readonly amd: AddedImage; readonly arm: AddedImage; readonly attestation: AddedImage }

/** An index of two platforms, with an attestation of the first. */
function addMulti(ground: Ground, tag = '1', registry = 'quay.io'): Multi {
  const { content } = ground.hub(registry)
  const amd = content.addImage('some/app', undefined, {
    config: { amd: tag },
    layers: [bytes(`amd ${tag}`, 200_000), bytes('shared', 3000)],
  })
  const arm = content.addImage('some/app', undefined, {
    config: { arm: tag },
    layers: [bytes(`arm ${tag}`, 200_000), bytes('shared', 3000)],
  })
  const attestation = content.addImage('some/app', undefined, {
    config: { attestation: tag },
    layers: [Buffer.from(`attestation ${tag}`)],
    layerMediaType: 'application/vnd.in-toto+json',
  })
  const annotations = { 'vnd.docker.reference.type': 'attestation-manifest', 'vnd.docker.reference.digest': amd.digest }
  const index = content.addIndex('some/app', tag, [
    { digest: amd.digest, platform: AMD },
    { digest: arm.digest, platform: { ...ARM, variant: 'v8' } },
    { digest: attestation.digest, platform: { os: 'unknown', architecture: 'unknown' }, annotations },
  ])
  return { index, amd, arm, attestation }
}

async function assertWhole(cache: Cache, reference: string, image: AddedImage): Promise<void> {
  const { entry } = await cache.manifests.get(ref(reference), CACHED, true)
  assert.equal(entry.digest, image.digest)
  for (const digest of [image.config, ...image.layers]) {
    const { blob } = await cache.blobs.open(digest, source(), CACHED)
    assert.equal((await readAll(blob)).byteLength, blob.sizeBytes)
  }
}

function failure(result: LoadResult): string {
  assert.equal(result.is, 'failed')
  return result.is === 'failed' ? result.why : ''
}

cacheTest('A loaded image is whole, by tag and by digest, after a restart and without its registry', async (ground) => {
  await ground.start()
  const { index, amd, arm } = addMulti(ground)
  assert.deepEqual(await load(ground.cache), { is: 'loaded', digest: index, warnings: [] })
  const calls = ground.upstreams.calls
  const cache = await ground.restart()
  ground.hub().down('unreachable')
  const stored = ground.hub().content.manifest('some/app', index)
  for (const reference of [NAME, `quay.io/some/app@${index}`]) {
    const answer = await cache.manifests.get(ref(reference), ANY, true)
    assert.deepEqual([answer.entry.digest, answer.bytes], [index, stored?.bytes], 'the index has its own bytes')
  }
  await assertWhole(cache, `quay.io/some/app@${amd.digest}`, amd)
  await assert.rejects(cache.manifests.get(ref(`quay.io/some/app@${arm.digest}`), CACHED, true), {
    message: `linux/arm64/v8 of quay.io/some/app (${arm.digest}) is not cached; cached are linux/amd64, and only-if-cached was asked for`,
  })
  assert.equal(ground.upstreams.calls, calls)
})

cacheTest('What is complete is not asked for again', async (ground) => {
  await ground.start()
  addMulti(ground)
  await load(ground.cache)
  const calls = ground.upstreams.calls
  await ground.restart()
  assert.equal((await load(ground.cache)).is, 'complete')
  assert.equal(ground.upstreams.calls, calls)
})

cacheTest('A load counts as a pull of what it names, also where all is there: of the index and of the images', async (ground) => {
  await ground.start()
  const { amd, arm } = addMulti(ground)
  await load(ground.cache, NAME, { platforms: [AMD, ARM] })
  await ground.restart()
  await ground.clock.advance(3600_000)
  const again = ground.clock.now()
  assert.equal((await load(ground.cache)).is, 'complete')
  const { catalog } = await ground.restart()
  const pulledMs = [NAME, `quay.io/some/app@${amd.digest}`, `quay.io/some/app@${arm.digest}`].map((name) => catalog.ref(name)?.pulledMs)
  assert.deepEqual(
    pulledMs.map((ms) => ms === again),
    [true, true, false],
    'what is not loaded again stays as old as it was',
  )
})

cacheTest('Another platform that is wanted later is added', async (ground) => {
  await ground.start()
  const { amd, arm } = addMulti(ground)
  await load(ground.cache)
  const result = await load(ground.cache, NAME, { platforms: [AMD, ARM] })
  assert.equal(result.is, 'loaded')
  for (const image of [amd, arm]) await assertWhole(ground.cache, `quay.io/some/app@${image.digest}`, image)
  assert.equal(ground.hub().callsOf('getManifest').length, 3, 'the index, and an image each')
})

cacheTest('All platforms are all but attestations', async (ground) => {
  const cache = await ground.start()
  const { amd, arm, attestation } = addMulti(ground)
  assert.equal((await load(cache, NAME, { platforms: 'all' })).is, 'loaded')
  for (const image of [amd, arm]) await assertWhole(cache, `quay.io/some/app@${image.digest}`, image)
  await assert.rejects(cache.manifests.get(ref(`quay.io/some/app@${attestation.digest}`), CACHED, false))
})

cacheTest('An index within an index is loaded, for the wanted platforms', async (ground) => {
  const cache = await ground.start()
  const { index, amd, arm } = addMulti(ground, 'inner')
  ground.hub().content.addIndex('some/app', '1', [{ digest: index }])
  assert.equal((await load(cache)).is, 'loaded')
  await assertWhole(cache, `quay.io/some/app@${amd.digest}`, amd)
  await assert.rejects(cache.manifests.get(ref(`quay.io/some/app@${arm.digest}`), CACHED, false))
})

cacheTest('An image whose index does not say its platform is loaded', async (ground) => {
  const cache = await ground.start()
  const image = ground.hub().content.addImage('some/app', undefined)
  ground.hub().content.addIndex('some/app', '1', [{ digest: image.digest }])
  assert.equal((await load(cache)).is, 'loaded')
  await assertWhole(cache, `quay.io/some/app@${image.digest}`, image)
})

cacheTest('An index without the wanted platform fails, and names those that it has', async (ground) => {
  const cache = await ground.start()
  addMulti(ground)
  const riscv = parsePlatform('linux/riscv64') as Platform
  assert.equal(
    failure(await load(cache, NAME, { platforms: [riscv] })),
    'it has no image for linux/riscv64; it has linux/amd64, linux/arm64/v8',
  )
  const both = await load(cache, NAME, { platforms: [AMD, riscv] })
  assert.deepEqual([both.is, both.warnings], ['loaded', ['it has no image for linux/riscv64; it has linux/amd64, linux/arm64/v8']])
})

const riscv = parsePlatform('linux/riscv64') as Platform
const OCI_ARTIFACT_FIELDS = { artifactType: 'application/vnd.example.thing' }
type Said = Readonly<Record<string, unknown>>
const own: [what: string, config: Said, wanted: readonly Platform[] | 'all', warnings: readonly string[], fields?: Said][] = [
  ['of a wanted platform is loaded without a word', { os: 'linux', architecture: 'amd64' }, [AMD], []],
  [
    'of another one is loaded with a warning',
    { os: 'linux', architecture: 'amd64' },
    [ARM],
    ['it is for linux/amd64, not for linux/arm64'],
  ],
  [
    'of one of several that are wanted is loaded with a warning',
    { os: 'linux', architecture: 'amd64' },
    [AMD, ARM, riscv],
    ['it is for linux/amd64, not for linux/arm64, linux/riscv64'],
  ],
  [
    'of another variant is loaded with a warning',
    { os: 'linux', architecture: 'arm', variant: 'v6' },
    [parsePlatform('linux/arm/v7') as Platform],
    ['it is for linux/arm/v6, not for linux/arm/v7'],
  ],
  [
    'of any variant will do where none is wanted',
    { os: 'linux', architecture: 'arm', variant: 'v6' },
    [parsePlatform('linux/arm') as Platform],
    [],
  ],
  ['of any platform will do where all are wanted', { os: 'linux', architecture: 'amd64' }, 'all', []],
  ['that does not say its platform is loaded without a word', { some: 'thing' }, [ARM], []],
  ['that says only half of it, too', { architecture: 'amd64' }, [ARM], []],
  ['that says no word of ours, too', { os: 'li nux', architecture: 'amd64' }, [ARM], []],
  ['that is for unknown/unknown, too', { os: 'unknown', architecture: 'unknown' }, [ARM], []],
  ['whose config is none, too', [] as never, [ARM], []],
  ['that is an artifact, too', { os: 'linux', architecture: 'amd64' }, [ARM], [], OCI_ARTIFACT_FIELDS],
]
for (const [what, config, platforms, warnings, fields] of own) {
  cacheTest(`A single image ${what}`, async (ground) => {
    const cache = await ground.start()
    const { digest } = ground.hub().content.addImage('some/app', '1', { config, fields: fields ?? {} })
    assert.deepEqual(await load(cache, NAME, { platforms }), { is: 'loaded', digest, warnings })
    assert.deepEqual(await load(cache, NAME, { platforms }), { is: 'complete', digest, warnings }, 'the next run says the same')
  })
}

cacheTest('A config of another type is not asked what it is for', async (ground) => {
  const cache = await ground.start()
  const { content } = ground.hub()
  const config = content.addBlob(JSON.stringify({ os: 'linux', architecture: 'amd64' }))
  const size = content.blob(undefined, config)?.sizeBytes
  const fields = { config: { mediaType: 'application/vnd.cncf.helm.config.v1+json', digest: config, size } }
  const { digest } = content.addImage('some/app', '1', { fields })
  assert.deepEqual(await load(cache, NAME, { platforms: [ARM] }), { is: 'loaded', digest, warnings: [] })
})

cacheTest('Foreign layers are left alone', async (ground) => {
  const cache = await ground.start()
  const { config } = ground
    .hub()
    .content.addImage('some/app', '1', { layerMediaType: 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip' })
  assert.equal((await load(cache)).is, 'loaded')
  assert.deepEqual(
    ground
      .hub()
      .callsOf('openBlob')
      .map(({ target }) => target),
    [config],
  )
})

cacheTest('Layers that images share are downloaded once, and counted once', async (ground) => {
  const cache = await ground.start()
  const ledger = new BlobLedger()
  const { content } = ground.hub()
  const layer = bytes('shared', 300_000)
  const images = ['a', 'b', 'c'].map((name) => content.addImage(`some/${name}`, '1', { config: { name }, layers: [layer] }))
  const loader = cache.newLoader(DEFAULTS)
  const signal = new AbortController().signal
  const progresses = images.map(() => new ImageProgress('', ledger))
  await Promise.all(progresses.map((progress, i) => loader.load(parseImageName(`quay.io/some/${'abc'[i]}:1`), progress, signal)))
  assert.equal(ground.hub().served(images[0]?.layers[0] as Digest), layer.byteLength)
  const configs = images.reduce((sum, { config }) => sum + (content.blob(undefined, config)?.sizeBytes ?? 0), 0)
  assert.deepEqual(ledger.amounts(), { totalBytes: layer.byteLength + configs, presentBytes: 0, fetchedBytes: layer.byteLength + configs })
})

cacheTest(
  'A load repairs what is broken: a layer cut short, one with wrong bytes, one that is gone, a damaged manifest',
  async (ground) => {
    await ground.start()
    const { content } = ground.hub()
    const layers = [bytes('cut', 200_000), bytes('wrong', 200_000), bytes('gone', 200_000), bytes('right', 200_000)]
    const image = content.addImage('some/app', '1', { layers })
    await load(ground.cache)
    await ground.cache.stop()
    const [cut, wrong, gone, right] = image.layers.map((digest) => ground.blobPath(digest)) as [string, string, string, string]
    for (const path of [cut, wrong, right]) await chmod(path, 0o644) // as a copy without modes leaves them
    await truncate(cut, 1000)
    await writeFile(wrong, bytes('other', 200_000))
    await rm(gone)
    await flipBitOfManifest(recordFile(ground.path, image.digest))
    const before = ground.hub().callsOf('openBlob').length
    await ground.restart()
    assert.equal((await load(ground.cache)).is, 'loaded')
    for (const [i, path] of [cut, wrong, gone, right].entries()) assert.ok((await readFile(path)).equals(layers[i] as Buffer), `layer ${i}`)
    assert.deepEqual(
      ground
        .hub()
        .callsOf('openBlob')
        .slice(before)
        .map(({ target }) => target)
        .sort(),
      image.layers.slice(0, 3).sort(),
    )
    assert.equal((await load(ground.cache)).is, 'complete')
  },
)

cacheTest('A verified layer whose length is wrong is fetched again', async (ground) => {
  await ground.start()
  const image = ground.hub().content.addImage('some/app', '1', { layers: [bytes('cut', 200_000)] })
  await load(ground.cache)
  const path = ground.blobPath(image.layers[0] as Digest)
  await truncate(path, 1000)
  await ground.restart()
  assert.equal((await load(ground.cache)).is, 'loaded')
  assert.equal((await readFile(path)).byteLength, 200_000)
})

cacheTest('A load that is stopped keeps what has come, and the next one goes on from there', async (ground) => {
  await ground.start()
  const layer = bytes('long', 4 * MIB)
  const image = ground.hub().content.addImage('some/app', '1', { layers: [layer] })
  const [digest] = image.layers as [Digest]
  const tap = new Tap()
  ground.hub().plan('openBlob', { of: digest, tap })
  tap.allow(3 * MIB)
  const stopping = new AbortController()
  const { progress, result } = begin(ground.cache, NAME, {}, stopping.signal)
  await until(() => progress.amounts().fetchedBytes >= 2 * MIB, 'most of it has come')
  stopping.abort(new Error('asked to stop'))
  assert.equal((await result).is, 'stopped')
  await ground.restart()
  const next = begin(ground.cache, NAME)
  assert.equal((await next.result).is, 'loaded')
  await assertWhole(ground.cache, NAME, image)
  const [, again] = ground
    .hub()
    .callsOf('openBlob')
    .filter(({ target }) => target === digest)
  const offset = again?.offset ?? 0
  assert.ok(offset >= 2 * MIB, `it went on from ${offset}`)
  const { presentBytes, fetchedBytes } = next.progress.needs(digest, layer.byteLength).amounts()
  assert.deepEqual([presentBytes, fetchedBytes], [offset, layer.byteLength - offset], 'what lay there was not fetched')
})

cacheTest('Trouble that passes is waited for', async (ground) => {
  await ground.start()
  const image = ground.hub().content.addImage('some/app', '1')
  ground
    .hub()
    .plan(
      'getManifest',
      { error: 'failed' },
      { error: new UpstreamError('limited', 'slowly', { retryAfterMs: 90_000 }) },
      { error: 'timeout' },
    )
  ground.hub().plan('openBlob', { error: 'unreachable' }, { error: 'circuitOpen' }, { error: 'failed' })
  const began = ground.clock.now()
  assert.equal((await inTime(ground, load(ground.cache))).is, 'loaded')
  assert.ok(ground.clock.now() - began >= 90_000, 'Retry-After is honoured')
  await assertWhole(ground.cache, NAME, image)
})

cacheTest('Trouble that does not pass fails the image in the end, and others of that registry at once', async (ground) => {
  await ground.start()
  ground.hub().down('unreachable')
  const loader = ground.cache.newLoader(DEFAULTS)
  const start = () => loader.load(parseImageName(NAME), new ImageProgress('', new BlobLedger()), new AbortController().signal)
  assert.match(failure(await inTime(ground, start())), /unreachable/)
  assert.equal(ground.hub().calls.length, 7)
  assert.match(failure(await start()), /unreachable/)
  assert.equal(ground.hub().calls.length, 8)
})

for (const kind of ['notFound', 'denied', 'corrupt', 'refusedAddress'] as const) {
  cacheTest(`A registry's word is final: ${kind} is not tried again`, async (ground) => {
    const cache = await ground.start()
    ground.hub().always('getManifest', { error: kind })
    assert.match(failure(await load(cache)), new RegExp(`quay.io: ${kind}`))
    assert.equal(ground.hub().calls.length, 1)
  })
}

cacheTest('A layer that the registry does not have fails the image, and the others are there', async (ground) => {
  const cache = await ground.start()
  const image = ground.hub().content.addImage('some/app', '1', { layers: [bytes('one', 1000), bytes('two', 1000)] })
  const [one, two] = image.layers as [Digest, Digest]
  ground.hub().content.removeBlob(two)
  assert.match(failure(await load(cache)), /notFound/)
  await ground.stored(one)
})

const full: StorageTrouble = { kind: 'full', why: 'the disk is full: make room on it' }
const unstorable: [what: string, trouble: StorageTrouble | undefined, freeBytes: number, why: string][] = [
  ['its disk is full', full, 1000, 'there is no room for 200000 bytes'],
  ['its disk takes nothing, whatever it says of its room', full, Number.POSITIVE_INFINITY, full.why],
  ['it is read-only', { kind: 'readOnly', why: 'mount it for writing' }, 1000, 'mount it for writing'],
  ['there is too little room for this one', undefined, 100_000, 'there is no room for 200000 bytes'],
]
for (const [what, trouble, freeBytes, why] of unstorable) {
  cacheTest(`What a store does not take since ${what} is named, with its size, the directory and the reason`, async (ground) => {
    const cache = await ground.start()
    const image = ground.hub().content.addImage('some/app', '1', { layers: [bytes('big', 200_000)] })
    ground.space.trouble = trouble
    ground.space.freeBytes = freeBytes
    const result = inTime(ground, load(cache))
    assert.equal(failure(await result), `cannot store the blob ${image.layers[0]} (195.3 KiB) in /srv/images: ${why}`)
    ground.space.trouble = undefined
    ground.space.freeBytes = Number.POSITIVE_INFINITY
  })
}

cacheTest('A manifest that a store does not take is named as well', async (ground) => {
  const cache = await ground.start()
  const index = ground.hub().content.addIndex('some/app', '1', [])
  ground.space.trouble = full
  assert.equal(
    failure(await load(cache, NAME, { platforms: 'all' })),
    `cannot store the manifest ${index} (4.0 KiB) in /srv/images: ${full.why}`,
  )
  ground.space.trouble = undefined
})

cacheTest('A tag beside a digest is recorded where the registry says that it names it', async (ground) => {
  const cache = await ground.start()
  const image = ground.hub().content.addImage('some/app', '1')
  assert.deepEqual(await load(cache, `${NAME}@${image.digest}`), { is: 'loaded', digest: image.digest, warnings: [] })
  assert.equal((await cache.manifests.get(ref(NAME), CACHED, false)).entry.digest, image.digest)
  const calls = ground.upstreams.calls
  await ground.restart()
  assert.equal((await load(ground.cache, `${NAME}@${image.digest}`)).is, 'complete')
  assert.equal(ground.upstreams.calls, calls)
})

cacheTest('A tag beside a digest is a warning where it has moved or is gone, and the digest is loaded', async (ground) => {
  const cache = await ground.start()
  const image = ground.hub().content.addImage('some/app', '1')
  const newer = ground.hub().content.addImage('some/app', '1', { config: { newer: true } })
  const moved = await load(cache, `${NAME}@${image.digest}`)
  assert.deepEqual(
    [moved.is, moved.warnings],
    ['loaded', [`${NAME} names ${newer.digest} at its registry by now: only the digest is loaded`]],
  )
  await assert.rejects(cache.manifests.get(ref(NAME), CACHED, false))
  ground.hub().content.removeTag('some/app', '1')
  const gone = await load(cache, `${NAME}@${image.digest}`)
  assert.equal(gone.is, 'complete')
  assert.match(gone.warnings.join(), /could not be confirmed, only the digest is loaded: .*notFound/)
})

cacheTest('Referrers come along: by the API, under the tags of cosign, and the attestations of the index', async (ground) => {
  await ground.start()
  const { index, amd, arm, attestation } = addMulti(ground)
  const { content } = ground.hub()
  ground.hub().referrersApi = true
  const sbom = content.addImage('some/app', undefined, {
    config: { sbom: 1 },
    fields: { subject: { mediaType: 'x/y', digest: amd.digest, size: 1 } },
  })
  const signature = content.addImage('some/app', `sha256-${index.slice(7)}.sig`, { config: { signature: 1 } })
  const ofArm = content.addImage('some/app', undefined, {
    config: { sbom: 2 },
    fields: { subject: { mediaType: 'x/y', digest: arm.digest, size: 1 } },
  })
  assert.deepEqual(await load(ground.cache, NAME, { referrers: true }), { is: 'loaded', digest: index, warnings: [] })
  const cache = await ground.restart()
  ground.hub().down('unreachable')
  for (const image of [sbom, attestation]) await assertWhole(cache, `quay.io/some/app@${image.digest}`, image)
  await assertWhole(cache, `quay.io/some/app:sha256-${index.slice(7)}.sig`, signature)
  await assert.rejects(cache.manifests.get(ref(`quay.io/some/app@${ofArm.digest}`), CACHED, false), 'nobody wanted that platform')
  const { registry, repository } = source()
  const { descriptors } = await cache.lists.referrers(registry, repository, amd.digest, CACHED)
  assert.deepEqual(
    descriptors.map((descriptor) => (descriptor as { digest: Digest }).digest),
    [sbom.digest],
  )
})

cacheTest('An image without referrers, at a registry without the API, is loaded all the same', async (ground) => {
  const cache = await ground.start()
  const { index } = addMulti(ground)
  assert.deepEqual(await load(cache, NAME, { referrers: true }), { is: 'loaded', digest: index, warnings: [] })
})

cacheTest('A registry that refuses to list referrers is a warning', async (ground) => {
  const cache = await ground.start()
  ground.hub().content.addImage('some/app', '1')
  ground.hub().always('listReferrers', { error: 'denied' })
  const { is, warnings } = await load(cache, NAME, { referrers: true })
  assert.equal(is, 'loaded')
  assert.match(warnings.join(), /what refers to sha256:\S+ may be missing: .*denied/)
})

cacheTest('A registry that fails to list referrers fails the image: nobody knows whether there are any', async (ground) => {
  await ground.start()
  ground.hub().content.addImage('some/app', '1')
  ground.hub().always('listReferrers', { error: 'failed' })
  assert.match(failure(await inTime(ground, load(ground.cache, NAME, { referrers: true }))), /failed/)
})

cacheTest(
  'An air-gapped cache is only looked at: what is missing is said, and nobody is asked',
  async (ground) => {
    const cache = await ground.start()
    const { upstreams } = ground
    assert.match(failure(await load(cache)), /quay\.io\/some\/app:1 is not cached, and the server is air-gapped/)
    assert.equal(upstreams.calls, 0)
  },
  { settings: { airGapped: true } },
)

cacheTest('In the background a registry in trouble is not waited for without end', async (ground) => {
  await ground.start()
  const image = ground.hub().content.addImage('some/app', '1')
  ground.hub().state = { state: 'troubled', why: 'it failed' }
  const result = await inTime(ground, load(ground.cache, NAME, { urgency: 'background' }))
  assert.match(failure(result), /quay\.io is in trouble: it failed/)
  ground.hub().state = { state: 'well' }
  for (const digest of [image.config, ...image.layers]) await ground.stored(digest)
})

cacheTest('In the background, what nobody has verified yet is left to whoever asks for it', async (ground) => {
  await ground.start()
  const image = ground.hub().content.addImage('some/app', '1', { layers: [bytes('one', 200_000)] })
  await load(ground.cache)
  const path = ground.blobPath(image.layers[0] as Digest)
  await chmod(path, 0o644)
  await writeFile(path, bytes('other', 200_000))
  await ground.restart()
  assert.equal((await load(ground.cache, NAME, { urgency: 'background' })).is, 'complete')
  assert.equal((await load(ground.cache)).is, 'loaded')
})
