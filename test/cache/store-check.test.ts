import assert from 'node:assert/strict'
import { mkdir, rename, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { Inspector } from '../../src/cache/inspector.ts'
import { Pace } from '../../src/cache/pace.ts'
import { type CheckReport, type Finding, StoreCheck } from '../../src/cache/store-check.ts'
import { type Digest, digestFileName, digestOf } from '../../src/oci/digest.ts'
import { DirectoryStore } from '../../src/store/directory-store.ts'
import type { StoredBlob } from '../../src/store/store.ts'
import { type StoreFile, StoreFiles } from '../../src/store/store-files.ts'
import { isRoot, unprivileged } from '../store/support/privileges.ts'
import { ManualClock } from '../support/clock.ts'
import { FakeContent } from '../support/fake-registry-content.ts'
import { temporaryDirectory } from '../support/files.ts'
import { MemoryLog } from '../support/log.ts'
import { generations, snapshot, writeOldStore, writeSyncthingFiles } from '../support/old-store.ts'
import {
  blobFile,
  flipBit,
  flipBitOfManifest,
  recordFile,
  referenceFile,
  remove,
  type StoredImage,
  storeImage,
  storeIndex,
} from '../support/stored-image.ts'
import { bytes, KIB } from './support.ts'

const V1 = 'quay.io/team/app:v1'
const V2 = 'quay.io/team/app:v2'
const LAYER = bytes('layer', 200 * KIB)

type Under = { readonly path: string; readonly store: DirectoryStore; readonly image: StoredImage; readonly other: StoredImage }

/** A store with two images that share a layer. */
async function filled(t: TestContext): Promise<Under> {
  const path = await temporaryDirectory(t)
  const store = await DirectoryStore.open(path, new MemoryLog())
  const image = await storeImage(store, V1, { layers: [LAYER, Buffer.from('one')] })
  const other = await storeImage(store, V2, { layers: [LAYER, Buffer.from('two')] })
  return { path, store, image, other }
}

function check(path: string, files = new StoreFiles(path, new MemoryLog())): Promise<CheckReport> {
  return new StoreCheck(files, new Inspector(files, new Pace(new ManualClock(), undefined))).run()
}

const short = ({ verdict, kind, digest, references }: Finding) => [verdict, kind, digest, [...references].sort()]

test('A store in which all is right has no findings, and everything in it was read', async (t) => {
  const { path } = await filled(t)
  const { findings, checked, images, spool, quarantine } = await check(path)
  assert.deepEqual(findings, [])
  assert.deepEqual([checked.blobs.files, checked.records.files, checked.references.files], [5, 2, 2])
  assert.ok(checked.blobs.bytes > LAYER.length)
  assert.deepEqual(
    [images, spool, quarantine],
    [
      { complete: 2, incomplete: 0 },
      { files: 0, bytes: 0 },
      { files: 0, bytes: 0 },
    ],
  )
})

test('A flipped bit in a blob is found, with all images that need it', async (t) => {
  const { path, image } = await filled(t)
  const layer = digestOf(LAYER)
  await flipBit(blobFile(path, layer), 150_000)
  const { findings, images } = await check(path)
  assert.deepEqual(findings.map(short), [['wrong', 'blob', layer, [V1, V2]]])
  assert.match(findings[0]?.why ?? '', /^its bytes hash to sha256:/)
  assert.deepEqual(findings[0]?.sources.map(String).length, 1, 'both were pulled from the same repository')
  assert.deepEqual(images, { complete: 0, incomplete: 2 })
  assert.ok(image.layers.includes(layer))
})

test('A blob that was cut short is found', async (t) => {
  const { path, image } = await filled(t)
  await remove(blobFile(path, image.config))
  await writeFile(blobFile(path, image.config), '{')
  assert.deepEqual((await check(path)).findings.map(short), [['wrong', 'blob', image.config, [V1]]])
})

test('A blob that no image needs is checked all the same', async (t) => {
  const { path, store } = await filled(t)
  const lonely = digestOf(Buffer.from('lonely'))
  await store.putBlob(lonely, Buffer.from('lonely'))
  await flipBit(blobFile(path, lonely))
  const { findings } = await check(path)
  assert.deepEqual(findings.map(short), [['wrong', 'blob', lonely, []]])
  assert.deepEqual(findings[0]?.sources, [])
})

const recordDamages: [what: string, damage: (file: string) => Promise<void>][] = [
  ['has a flipped bit in its bytes', flipBitOfManifest],
  ['is empty', (file) => writeFile(file, '')],
  ['was cut short', (file) => truncate(file, 100)],
]
for (const [what, damage] of recordDamages) {
  test(`A record that ${what} is found, with its references`, async (t) => {
    const { path, image } = await filled(t)
    await damage(recordFile(path, image.digest))
    const { findings } = await check(path)
    assert.deepEqual(findings.map(short), [['wrong', 'record', image.digest, [V1]]])
    assert.deepEqual(findings[0]?.sources, [{ registry: 'quay.io', repository: 'team/app' }])
  })
}

test('A record that is missing is found by the reference that points at it', async (t) => {
  const { path, image } = await filled(t)
  await remove(recordFile(path, image.digest))
  assert.deepEqual((await check(path)).findings.map(short), [['wrong', 'record', image.digest, [V1]]])
})

test('A reference under the name of another one, and one that cannot be read, are found', async (t) => {
  const { path } = await filled(t)
  await rename(referenceFile(path, V1), join(path, 'refs', 'a'.repeat(64)))
  await writeFile(referenceFile(path, V2), '{')
  const { findings } = await check(path)
  assert.deepEqual(
    findings.map(({ verdict, kind }) => `${verdict} ${kind}`),
    ['wrong reference', 'wrong reference'],
  )
})

test('A blob that was never pulled makes its image incomplete, and is not wrong', async (t) => {
  const { path, image, other } = await filled(t)
  await remove(...image.layers.map((layer) => blobFile(path, layer)))
  const { findings, images } = await check(path)
  const why = new Map(findings.map(({ verdict, kind, digest, references, why }) => [`${verdict} ${kind} ${digest} ${references}`, why]))
  assert.deepEqual(
    why,
    new Map([
      [`incomplete image ${image.digest} ${V1}`, '2 of its 3 blobs (204803 bytes) are not in the store'],
      [`incomplete image ${other.digest} ${V2}`, '1 of its 3 blobs (204800 bytes) are not in the store'],
    ]),
  )
  assert.deepEqual(images, { complete: 0, incomplete: 2 })
})

test('What was found damaged before, and is still needed, is wrong until it is back', async (t) => {
  const { path, image, store } = await filled(t)
  const [, own] = image.layers as [Digest, Digest]
  for (const file of [`blobs/${digestFileName(own)}`, `img/${digestFileName(image.digest)}`]) {
    await rename(join(path, file), join(path, 'quarantine', `${file.replace('/', '-')}-1700000000000-0a1b2c3d`))
  }
  assert.deepEqual((await check(path)).findings.map(short), [['wrong', 'record', image.digest, [V1]]], 'nobody knows of its blobs')
  await storeImage(store, V1, { layers: [LAYER, Buffer.from('one')] })
  await remove(blobFile(path, own))
  assert.deepEqual((await check(path)).findings.map(short), [['wrong', 'blob', own, [V1]]])
  await store.putBlob(own, Buffer.from('one'))
  assert.deepEqual((await check(path)).findings, [])
})

test('A size that is not what the manifest says makes an image incomplete, where the digest is right', async (t) => {
  const path = await temporaryDirectory(t)
  const store = await DirectoryStore.open(path, new MemoryLog())
  const layers = [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: digestOf(LAYER), size: 7 }]
  await storeImage(store, V1, { fields: { layers } })
  await store.putBlob(digestOf(LAYER), LAYER)
  const { findings } = await check(path)
  assert.deepEqual(
    findings.map(({ verdict, kind }) => `${verdict} ${kind}`),
    ['incomplete image'],
  )
  assert.match(findings[0]?.why ?? '', /is right, but not 7 bytes long, as its manifest says/)
})

test('Foreign layers and the blobs of attestations are nobody’s loss', async (t) => {
  const path = await temporaryDirectory(t)
  const store = await DirectoryStore.open(path, new MemoryLog())
  const windows = 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip'
  const foreign = await storeImage(store, V1, { layers: [Buffer.from('windows')], layerMediaType: windows })
  const statement = await storeImage(store, V2, { layers: [Buffer.from('sbom')], layerMediaType: 'application/vnd.in-toto+json' })
  await remove(...[...foreign.layers, ...statement.layers].map((layer) => blobFile(path, layer)))
  assert.deepEqual((await check(path)).findings, [])
})

test('Damage in an image of an index is told by the tag of the index, too', async (t) => {
  const path = await temporaryDirectory(t)
  const store = await DirectoryStore.open(path, new MemoryLog())
  const upstream = new FakeContent()
  const image = await storeImage(store, 'quay.io/team/app:amd64', {}, upstream)
  const index = await storeIndex(store, 'quay.io/team/app:all', [image], upstream)
  await flipBit(blobFile(path, image.config))
  const { findings } = await check(path)
  assert.deepEqual(findings.map(short), [['wrong', 'blob', image.config, ['quay.io/team/app:all', 'quay.io/team/app:amd64']]])
  assert.notEqual(index, image.digest)
})

test('The spool and the quarantine are counted, not judged, and foreign files are not even looked at', async (t) => {
  const { path } = await filled(t)
  await writeFile(join(path, 'pulls', 'a'.repeat(64)), 'half')
  await writeFile(join(path, 'quarantine', `blobs-${'a'.repeat(64)}-1700000000000-0a1b2c3d`), 'wrong')
  await writeSyncthingFiles(path, 'img', 'b'.repeat(64), '{"damaged')
  const { findings, spool, quarantine } = await check(path)
  assert.deepEqual([findings, spool, quarantine], [[], { files: 1, bytes: 4 }, { files: 1, bytes: 5 }])
})

test('A check changes nothing: no byte, no mode, no time, no file', async (t) => {
  const { path, image, other } = await filled(t)
  await flipBit(blobFile(path, image.config))
  await flipBitOfManifest(recordFile(path, other.digest))
  await writeFile(referenceFile(path, V2), 'damaged')
  const before = await snapshot(path)
  assert.equal((await check(path)).findings.length, 3)
  assert.deepEqual(await snapshot(path), before)
})

for (const generation of generations) {
  test(`A store of ${generation} is right as it is, and stays as it is`, async (t) => {
    const path = await temporaryDirectory(t)
    const { manifests, blobs } = await writeOldStore(path, generation)
    const before = await snapshot(path)
    const { findings, checked } = await check(path)
    assert.deepEqual(findings, [])
    assert.deepEqual([checked.blobs.files, checked.references.files], [blobs.size, 0])
    assert.ok(checked.records.files > 0 && checked.records.files <= manifests.length)
    assert.deepEqual(await snapshot(path), before)
  })
}

test('Damage in an older store is told by the references that its records name', async (t) => {
  const path = await temporaryDirectory(t)
  const { blobs } = await writeOldStore(path, '1.9')
  const [[damaged] = []] = blobs
  await flipBit(blobFile(path, damaged as Digest))
  const { findings } = await check(path)
  assert.deepEqual(
    findings.map(({ verdict, kind, digest }) => [verdict, kind, digest]),
    [['wrong', 'blob', damaged]],
  )
  assert.ok((findings[0]?.references.length ?? 0) > 0)
})

test('A blob that may not be read is wrong, and it is said why', async (t) => {
  if (!isRoot) {
    t.skip('needs root, to become another user')
    return
  }
  const { path, image } = await filled(t)
  const { chmod } = await import('node:fs/promises')
  await chmod(path, 0o755)
  await chmod(blobFile(path, image.config), 0o000)
  await unprivileged(async () => {
    const { findings } = await check(path)
    assert.deepEqual(findings.map(short), [['wrong', 'blob', image.config, [V1]]])
    assert.match(findings[0]?.why ?? '', /^it cannot be read: EACCES/)
  })
})

test('Directories under the names of blobs and records are left alone', async (t) => {
  const { path } = await filled(t)
  for (const directory of ['blobs', 'img', 'fat', 'refs']) await mkdir(join(path, directory, 'c'.repeat(64)))
  assert.deepEqual((await check(path)).findings, [])
})

/** Does something to a file after it has been opened and before it is read: what a server may do meanwhile. */
class Meddled extends StoreFiles {
  constructor(
    path: string,
    private readonly meddle: (file: StoreFile) => Promise<void>,
  ) {
    super(path, new MemoryLog())
  }

  override async open(file: StoreFile): Promise<StoredBlob | undefined> {
    const blob = await super.open(file)
    await this.meddle(file)
    return blob
  }
}

function once(digest: Digest, work: () => Promise<void>): (file: StoreFile) => Promise<void> {
  let done = false
  return async (file) => {
    if (done || file.digest !== digest) return
    done = true
    await work()
  }
}

test('A damaged blob that is replaced while it is read is looked at again, and right', async (t) => {
  const { path, store, image } = await filled(t)
  await flipBit(blobFile(path, image.layers[1] as Digest))
  const replace = once(image.layers[1] as Digest, () => store.putBlob(image.layers[1] as Digest, Buffer.from('one')))
  assert.deepEqual((await check(path, new Meddled(path, replace))).findings, [])
})

test('A blob that is cut while it is read, and then replaced, is right', async (t) => {
  const { path, store } = await filled(t)
  const layer = digestOf(LAYER)
  const cut = once(layer, async () => {
    await truncate(blobFile(path, layer), 10)
  })
  const mending: Promise<void>[] = []
  const mend = async (file: StoreFile) => {
    await cut(file)
    if (file.digest === layer) mending.push(new Promise((resolve) => setImmediate(resolve)).then(() => store.putBlob(layer, LAYER)))
  }
  await rm(blobFile(path, layer))
  await writeFile(blobFile(path, layer), LAYER)
  const { findings } = await check(path, new Meddled(path, mend))
  await Promise.all(mending)
  assert.ok(
    findings.every(({ why }) => !why.includes('ended at byte')),
    JSON.stringify(findings),
  )
})

test('A damaged blob that vanishes while it is read is not reported as wrong', async (t) => {
  const { path, image } = await filled(t)
  await flipBit(blobFile(path, image.config))
  const vanish = once(image.config, () => remove(blobFile(path, image.config)))
  const { findings } = await check(path, new Meddled(path, vanish))
  assert.deepEqual(findings.map(short), [['incomplete', 'image', image.digest, [V1]]])
})

test('A reference that moves, and an image that comes, while the store is read are right', async (t) => {
  const { path, store, other } = await filled(t)
  const move = once(other.config, async () => {
    await storeImage(store, V1, { layers: [Buffer.from('newer')] })
  })
  const { findings } = await check(path, new Meddled(path, move))
  assert.deepEqual(findings, [])
})

test('An image that is removed while the store is read is not reported', async (t) => {
  const { path, image } = await filled(t)
  const removed = once(image.config, () =>
    remove(
      referenceFile(path, V1),
      recordFile(path, image.digest),
      blobFile(path, image.config),
      blobFile(path, image.layers[1] as Digest),
    ),
  )
  assert.deepEqual((await check(path, new Meddled(path, removed))).findings, [])
})
