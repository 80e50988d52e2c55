/** Clients pull while images are removed, by rules and for want of room: what is still there is there with every byte, and the store stays within its budget. */
import assert from 'node:assert/strict'
import { readdir, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import type { ManifestAnswer } from '../../src/cache/manifests.ts'
import type { PruneRules } from '../../src/cache/retention.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { parseManifest } from '../../src/oci/manifest.ts'
import { formatReference, type Reference } from '../../src/oci/reference.ts'
import { Random } from '../support/property.ts'
import { ANY, bytes, CACHED, cacheTest, type Ground, KIB, MIB, readAll, ref, settle, source } from './support.ts'

const SEEDS = 12
const STEPS = 40
/** Larger than what stays in memory. */
const LAYER_BYTES = 160 * KIB
const MAX_BYTES = 3 * MIB

/** Images of shared layers, tags and indexes of these: nobody keeps a list of what is in it. */
function fillRegistry(ground: Ground, random: Random): Reference[] {
  const { content } = ground.hub()
  const layers = Array.from({ length: 8 }, (_, i) => content.addBlob(bytes(`layer ${i}`, LAYER_BYTES), 'some/app'))
  const tags: Reference[] = []
  const known: Digest[] = []
  for (let i = 0; i < 10; i++) {
    const own = bytes(`own ${i}`, LAYER_BYTES)
    const { digest } = content.addImage('some/app', `image-${i}`, { layers: [random.pick(layers), random.pick(layers), own] })
    known.push(digest)
    tags.push(ref(`quay.io/some/app:image-${i}`))
  }
  for (let i = 0; i < 4; i++) {
    known.push(content.addIndex('some/app', `index-${i}`, [{ digest: random.pick(known) }, { digest: random.pick(known) }]))
    tags.push(ref(`quay.io/some/app:index-${i}`))
  }
  return tags
}

/** All of what a reference stands for, as a client gets it. @returns how many blobs came */
async function pullWhole(ground: Ground, reference: Reference, demand = ANY): Promise<number> {
  const answer: ManifestAnswer = await ground.cache.manifests.get(reference, demand, true)
  const manifest = parseManifest(answer.bytes ?? Buffer.alloc(0), answer.entry.mediaType)
  let blobs = 0
  for (const { digest } of manifest.manifests) blobs += await pullWhole(ground, ref(`quay.io/some/app@${digest}`), demand)
  for (const { digest, sizeBytes } of manifest.blobs) {
    const content = await readAll((await ground.cache.blobs.open(digest, source(), demand)).blob)
    assert.equal(content.byteLength, sizeBytes)
    blobs++
  }
  return blobs
}

function randomRules(random: Random): PruneRules {
  const pattern = random.pick(['image-1', 'index', 'image-[0-4]', '@sha256'])
  return random.pick<PruneRules>([
    { matches: (reference) => new RegExp(pattern).test(reference) },
    { olderThan: { by: 'accessed', ageMs: 3600_000 } },
    { olderThan: { by: 'created', ageMs: 2 * 3600_000 }, count: 2 },
    { maxBytes: random.below(3) * MIB },
    { orphansOnly: true },
  ])
}

async function storedBytes(ground: Ground): Promise<number> {
  let sum = 0
  for (const directory of ['blobs', 'pulls']) {
    for (const name of await readdir(join(ground.path, directory))) {
      sum += (await stat(join(ground.path, directory, name)).catch(() => ({ size: 0 }))).size
    }
  }
  return sum
}

/** As the clock of the test goes, not the machine's: what nothing needs is to be old enough to go. */
async function age(ground: Ground): Promise<void> {
  for (const name of await ground.files('blobs')) await utimes(join(ground.path, 'blobs', name), 0, 0).catch(() => {})
}

/** Everything that the store names is there, with all that was ever fetched of it, for a client without a registry. */
async function checkWhole(ground: Ground): Promise<void> {
  const references: string[] = []
  for await (const { reference } of ground.store.listRefs()) references.push(reference)
  for (const reference of references) await pullWhole(ground, ref(reference), CACHED)
}

for (let seed = 1; seed <= SEEDS; seed++) {
  const isBudgeted = seed % 2 === 0
  cacheTest(
    `Clients pull while images are removed${isBudgeted ? ', and within a budget' : ''}: no image that is kept loses a byte (seed ${seed})`,
    async (ground) => {
      const random = new Random(seed)
      const tags = fillRegistry(ground, random)
      await ground.start()
      const running = new Set<Promise<unknown>>()
      const begin = (work: Promise<unknown>) => {
        const tracked: Promise<unknown> = work.finally(() => running.delete(tracked))
        running.add(tracked)
      }
      for (let step = 0; step < STEPS; step++) {
        const what = random.below(6)
        if (what < 3) begin(pullWhole(ground, random.pick(tags)))
        else if (what === 3) begin(ground.cache.pruner.prune(randomRules(random)))
        else if (what === 4) await settle()
        else {
          await Promise.all(running) // no pull takes hours
          await ground.clock.advance(random.pick([60_000, 30 * 60_000, 26 * 3600_000]))
          await age(ground)
        }
        if (isBudgeted) assert.ok((await storedBytes(ground)) <= MAX_BYTES + LAYER_BYTES, 'no more is stored than the budget, and one blob')
      }
      await Promise.all(running)
      await settle()
      await ground.cache.pruner.prune({ orphansOnly: true }) // behind whatever made room
      await checkWhole(ground)
      await ground.restart()
      await checkWhole(ground)
      const kept = (await references(ground)).filter((reference) => tags.map(formatReference).includes(reference))
      ground.hub().down('unreachable')
      for (const reference of kept) assert.ok((await pullWhole(ground, ref(reference))) > 0)
    },
    { settings: isBudgeted ? { budget: { maxBytes: MAX_BYTES, highBytes: 0.95 * MAX_BYTES, lowBytes: 0.8 * MAX_BYTES } } : {} },
  )
}

async function references(ground: Ground): Promise<string[]> {
  const found: string[] = []
  for await (const { reference } of ground.store.listRefs()) found.push(reference)
  return found
}
