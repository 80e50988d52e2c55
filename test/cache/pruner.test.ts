/** Removing images from a store: what is on the disk afterwards, after a restart, after a crash, and what clients meet meanwhile. */
import assert from 'node:assert/strict'
import { utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PruneRefused } from '../../src/cache/prune-report.ts'
import type { Pruner } from '../../src/cache/pruner.ts'
import { type PruneRules, REF_BYTES } from '../../src/cache/retention.ts'
import { surveyStore } from '../../src/cache/survey.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { formatReference } from '../../src/oci/reference.ts'
import { DirectoryStore } from '../../src/store/directory-store.ts'
import { Gate } from '../support/scripted-upstream.ts'
import { until } from '../support/until.ts'
import { ANY, CACHED, cacheTest, type Ground, later, overriding, readAll, ref, settle, source } from './support.ts'

const DAY = 24 * 3600_000

const matching = (part: string): PruneRules => ({ matches: (reference) => reference.includes(part) })

/** Pulls an image by its tag with all its blobs, as a client does. */
async function pull(ground: Ground, reference: string, options: Parameters<ReturnType<Ground['hub']>['content']['addImage']>[2] = {}) {
  const { repository, tag } = ref(reference)
  const image = ground.hub().content.addImage(repository, tag, options)
  await pullAgain(ground, reference, [image.config, ...image.layers])
  return image
}

async function pullAgain(ground: Ground, reference: string, blobs: readonly Digest[]): Promise<void> {
  const { registry, repository } = ref(reference)
  await ground.cache.manifests.get(ref(reference), ANY, true)
  for (const digest of blobs) await readAll((await ground.cache.blobs.open(digest, source(registry, repository), ANY)).blob)
  await until(() => ground.cache.fills().length === 0, 'every download is over')
  await settle()
}

/** Long enough for nobody to be in the middle of a pull, and for what nothing needs to be old. */
async function quiet(ground: Ground): Promise<void> {
  await ground.clock.advance(2 * DAY)
  for (const name of await ground.files('blobs')) await utimes(join(ground.path, 'blobs', name), 0, 0)
}

async function references(ground: Ground): Promise<string[]> {
  const found: string[] = []
  for await (const { reference } of ground.store.listRefs()) found.push(reference)
  return found.sort()
}

async function counts(ground: Ground): Promise<number[]> {
  const lists = await Promise.all((['refs', 'fat', 'img', 'blobs'] as const).map((directory) => ground.files(directory)))
  return lists.map((names) => names.filter((name) => !name.startsWith('.')).length) // access times may be on their way
}

const LAYER = Buffer.from('a layer that two images share')

cacheTest(
  'An image goes with its record, its reference and the blobs that are only its own; a restart brings nothing back',
  async (ground) => {
    await ground.start()
    await pull(ground, 'quay.io/some/app:1', { layers: [LAYER, Buffer.from('own')] })
    const stays = await pull(ground, 'quay.io/some/app:2', { layers: [LAYER] })
    await quiet(ground)
    const report = await ground.cache.pruner.prune(matching('app:1'))
    assert.deepEqual([report.references.map(({ reference }) => reference), report.blobs.length], [['quay.io/some/app:1'], 2])
    assert.deepEqual(await counts(ground), [1, 0, 1, 2])
    const { manifests } = await ground.restart()
    await assert.rejects(manifests.get(ref('quay.io/some/app:1'), CACHED, true), { status: 504 })
    assert.deepEqual((await manifests.get(ref('quay.io/some/app:2'), CACHED, true)).bytes, stays.bytes)
    assert.deepEqual(await references(ground), ['quay.io/some/app:2'])
  },
)

cacheTest('A dry run says the same, and changes nothing', async (ground) => {
  await ground.start()
  await pull(ground, 'quay.io/some/app:1')
  await quiet(ground)
  const before = await counts(ground)
  const look = await ground.cache.pruner.look(matching('app:1'))
  assert.deepEqual(await counts(ground), before)
  const { dryRun, ...rest } = await ground.cache.pruner.prune(matching('app:1'))
  assert.deepEqual({ ...rest, dryRun: true }, look)
  assert.equal(dryRun, false)
  assert.deepEqual(await counts(ground), [0, 0, 0, 0])
})

cacheTest('A tag that goes alone stays away after a restart, though the record was named by it', async (ground) => {
  await ground.start()
  const image = await pull(ground, 'quay.io/some/app:1')
  ground.hub().content.addManifest('some/app', '2', image.bytes)
  await ground.cache.manifests.get(ref('quay.io/some/app:2'), ANY, true)
  await quiet(ground)
  const report = await ground.cache.pruner.prune(matching('app:1'))
  assert.deepEqual([report.references.length, report.manifests.length, report.freedBytes], [1, 0, REF_BYTES])
  assert.deepEqual(
    report.references.map(({ reference, neededBy }) => [reference, neededBy]),
    [['quay.io/some/app:1', 'quay.io/some/app:2']],
  )
  assert.deepEqual(report.stays, [])
  const { manifests } = await ground.restart()
  await assert.rejects(manifests.get(ref('quay.io/some/app:1'), CACHED, true), { status: 504 })
  assert.deepEqual((await manifests.get(ref('quay.io/some/app:2'), CACHED, true)).bytes, image.bytes)
})

cacheTest(
  'A tag that moved, and goes, does not come back as what it was before',
  async (ground) => {
    await ground.start()
    const before = await pull(ground, 'quay.io/some/app:latest')
    await ground.cache.manifests.get(ref(`quay.io/some/app@${before.digest}`), ANY, true)
    ground.hub().content.addImage('some/app', 'latest', { config: { changed: true } })
    await ground.cache.manifests.get(ref('quay.io/some/app:latest'), ANY, true)
    await ground.cache.manifests.get(ref(`quay.io/some/app@${before.digest}`), ANY, true) // from now on it has a reference of its own
    await quiet(ground)
    await ground.cache.pruner.prune(matching('app:latest'))
    const { manifests } = await ground.restart()
    await assert.rejects(manifests.get(ref('quay.io/some/app:latest'), CACHED, true), { status: 504 })
    assert.deepEqual((await manifests.get(ref(`quay.io/some/app@${before.digest}`), CACHED, true)).bytes, before.bytes)
  },
  { settings: { alwaysPullLatest: true } },
)

cacheTest(
  'What a tag has moved away from is an orphan, unless somebody asks for it by its digest',
  async (ground) => {
    await ground.start()
    await pull(ground, 'quay.io/some/app:latest')
    for (const version of [2, 3]) {
      ground.hub().content.addImage('some/app', 'latest', { config: { version } })
      await ground.cache.manifests.get(ref('quay.io/some/app:latest'), ANY, true)
    }
    await quiet(ground)
    const { references, manifests } = await ground.cache.pruner.prune({ orphansOnly: true })
    assert.deepEqual([references.length, manifests.length, manifests.every(({ orphan }) => orphan)], [0, 2, true])
  },
  { settings: { alwaysPullLatest: true } },
)

cacheTest('An image whose record cannot be read loses nothing: no orphan goes as long as nobody can tell what is one', async (ground) => {
  await ground.start()
  await pull(ground, 'quay.io/some/app:1')
  await pull(ground, 'quay.io/some/app:2')
  const [name = ''] = await ground.files('img')
  await writeFile(join(ground.path, 'img', name), 'damaged')
  await ground.restart()
  await quiet(ground)
  const report = await ground.cache.pruner.prune({ orphansOnly: true })
  assert.deepEqual([report.blobs.length, (await ground.files('blobs')).length], [0, 4])
  assert.match(report.unsure ?? '', /^1 record\(s\) or reference\(s\) could not be read: ociregistry verify/)
  const again = await surveyStore(await DirectoryStore.open(ground.path, ground.log), {}, ground.clock, ground.log)
  assert.match(again.unsure ?? '', /^the manifest of quay\.io\/some\/app:\d is not there/)
})

cacheTest('What was served in the last ten minutes stays, and so does what somebody reads', async (ground) => {
  await ground.start()
  const image = await pull(ground, 'quay.io/some/app:1', { layers: [Buffer.alloc(200_000, 'x')] })
  await quiet(ground)
  await ground.cache.manifests.get(ref('quay.io/some/app:1'), ANY, true)
  const { stays } = await ground.cache.pruner.prune(matching('app:1'))
  assert.deepEqual(
    stays.map(({ why }) => why),
    ['served lately'],
  )
  await quiet(ground)
  const { blob } = await ground.cache.blobs.open(image.layers[0] as Digest, source(), ANY)
  await quiet(ground)
  const report = await ground.cache.pruner.prune(matching('app:1'))
  assert.deepEqual([report.manifests.length, report.blobs.map(({ digest }) => digest)], [1, [image.config]])
  assert.equal((await readAll(blob)).byteLength, 200_000)
  await quiet(ground)
  assert.equal((await ground.cache.pruner.prune({ orphansOnly: true })).blobs.length, 1)
})

cacheTest('Nothing is pruned by age while the clock is behind what the store has seen', async (ground) => {
  await ground.start()
  await pull(ground, 'quay.io/some/app:1')
  await quiet(ground)
  ground.clock.setBack(10 * DAY)
  const rules: PruneRules = { olderThan: { by: 'accessed', ageMs: 0 } }
  await assert.rejects(ground.cache.pruner.prune(rules), PruneRefused)
  await assert.rejects(ground.cache.pruner.look(rules), /cannot tell ages: the clock says .* \(quay\.io\/some\/app:1\); set the clock/)
  assert.equal((await ground.cache.pruner.prune(matching('app:1'))).manifests.length, 1)
})

cacheTest('Nothing is pruned before the catalog is complete', async (ground) => {
  let isOver = false
  const pruning = ground.cache.pruner.prune(matching('')).then(() => {
    isOver = true
  })
  await settle()
  assert.equal(isOver, false)
  await ground.start()
  await pruning
})

cacheTest('A client that comes while its image is being removed gets it again, and it stays', async (ground) => {
  const gate = new Gate()
  const { store } = ground
  await ground.start()
  const image = await pull(ground, 'quay.io/some/app:1', { layers: [Buffer.alloc(100_000, 'y')] })
  await quiet(ground)
  const removals = ground.upstreams.calls
  const deleteRef = store.deleteRef.bind(store)
  store.deleteRef = async (reference) => {
    await gate.opened
    await deleteRef(reference)
  }
  const pruning = later(ground.cache.pruner.prune(matching('app:1')))
  await until(() => ground.cache.catalog.ref('quay.io/some/app:1') === undefined, 'the catalog has let go of it')
  const again = pullAgain(ground, 'quay.io/some/app:1', [image.config, ...image.layers])
  await until(() => ground.upstreams.calls > removals, 'the upstream is asked')
  gate.open()
  await Promise.all([pruning, again])
  await settle()
  const { manifests, blobs } = await ground.restart()
  assert.deepEqual((await manifests.get(ref('quay.io/some/app:1'), CACHED, true)).bytes, image.bytes)
  for (const digest of [image.config, ...image.layers]) await readAll((await blobs.open(digest, source(), CACHED)).blob)
})

cacheTest(
  'What cannot be removed is said, stays whole, and goes with the next prune',
  async (ground) => {
    await ground.start()
    await pull(ground, 'quay.io/some/app:1')
    await quiet(ground)
    const planned = await ground.cache.pruner.look(matching('app:1'))
    failing = true
    const report = await ground.cache.pruner.prune(matching('app:1'))
    assert.equal(report.failures.length, 1)
    assert.match(report.failures[0]?.why ?? '', /EIO/)
    const { manifests, blobs } = report
    assert.deepEqual([manifests, blobs.length], [[], 2])
    assert.equal(report.freedBytes, REF_BYTES + blobs.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0))
    assert.equal(report.freedBytes + report.keptBytes, planned.freedBytes + planned.keptBytes)
    assert.equal(ground.cache.pruner.last?.freedBytes, report.freedBytes)
    failing = false
    await ground.restart()
    assert.equal((await ground.cache.pruner.prune(matching('app:1'))).failures.length, 0)
    assert.deepEqual(await counts(ground), [0, 0, 0, 0])
  },
  {
    store: (store) =>
      overriding(store, {
        deleteRecord: (digest) => (failing ? Promise.reject(new Error('EIO: scripted')) : store.deleteRecord(digest)),
      }),
  },
)
let failing = false

cacheTest(
  'A blob that cannot be removed is not said to have come free',
  async (ground) => {
    await ground.start()
    const { config } = await pull(ground, 'quay.io/some/app:1')
    await quiet(ground)
    stuck = config
    const planned = await ground.cache.pruner.look(matching('app:1'))
    const report = await ground.cache.pruner.prune(matching('app:1'))
    assert.deepEqual(
      report.failures.map(({ what }) => what),
      [config],
    )
    const stays = planned.blobs.filter(({ digest }) => digest === config)
    assert.deepEqual(
      report.blobs,
      planned.blobs.filter(({ digest }) => digest !== config),
    )
    assert.deepEqual([stays.length, report.freedBytes], [1, planned.freedBytes - (stays[0]?.sizeBytes ?? 0)])
    assert.equal(report.keptBytes, planned.keptBytes + (stays[0]?.sizeBytes ?? 0))
    const { references, manifests, blobs } = ground.cache.pruner.last ?? {}
    assert.deepEqual([references, manifests, blobs], [1, 1, planned.blobs.length - 1])
  },
  {
    store: (store) =>
      overriding(store, {
        deleteBlob: (digest) => (digest === stuck ? Promise.reject(new Error('EIO: scripted')) : store.deleteBlob(digest)),
      }),
  },
)
let stuck: string | undefined

/** Every file operation that a prune makes may be its last one. */
for (let steps = 0; steps < 12; steps++) {
  let left = Number.POSITIVE_INFINITY
  const last = <Args extends unknown[], T>(call: (...args: Args) => Promise<T>) => {
    return (...args: Args): Promise<T> => (left-- > 0 ? call(...args) : Promise.reject(new Error('EIO: the power is gone')))
  }
  cacheTest(
    `A crash after ${steps} steps of a prune costs nothing that stays, and the next prune finishes`,
    async (ground) => {
      await ground.start()
      const one = await pull(ground, 'quay.io/some/app:1', { layers: [LAYER, Buffer.from('one')] })
      ground.hub().content.addManifest('some/app', 'same', one.bytes)
      await ground.cache.manifests.get(ref('quay.io/some/app:same'), ANY, true)
      await pull(ground, 'quay.io/some/app:2', { layers: [LAYER, Buffer.from('two')] })
      const three = await pull(ground, 'quay.io/some/app:3', { layers: [LAYER, Buffer.from('three')] })
      await quiet(ground)
      left = steps
      await later(ground.cache.pruner.prune({ matches: (reference) => /app:[12]$/.test(reference) })).catch(() => {})
      left = Number.POSITIVE_INFINITY
      await ground.restart()
      for (const [name, image] of [
        ['same', one],
        ['3', three],
      ] as const) {
        const reference = ref(`quay.io/some/app:${name}`)
        assert.deepEqual((await ground.cache.manifests.get(reference, CACHED, true)).bytes, image.bytes, formatReference(reference))
        for (const digest of [image.config, ...image.layers]) await readAll((await ground.cache.blobs.open(digest, source(), CACHED)).blob)
      }
      await quiet(ground)
      await prunedWhole(ground.cache.pruner)
      assert.deepEqual(await references(ground), ['quay.io/some/app:3', 'quay.io/some/app:same'])
      assert.deepEqual(await counts(ground), [2, 0, 2, 5])
    },
    {
      store: (store) =>
        overriding(store, {
          putRecord: last((record) => store.putRecord(record)),
          deleteRef: last((reference) => store.deleteRef(reference)),
          deleteRecord: last((digest) => store.deleteRecord(digest)),
          syncDeletions: last(() => store.syncDeletions()),
          deleteBlob: last((digest) => store.deleteBlob(digest)),
        }),
    },
  )
}

async function prunedWhole(pruner: Pruner): Promise<void> {
  const { failures } = await pruner.prune({ matches: (reference) => /app:[12]$/.test(reference) })
  assert.deepEqual(failures, [])
}
