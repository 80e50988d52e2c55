/** Whatever a store holds and whatever the rules say: nothing that stays loses anything, and what goes was meant to. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RefEntry } from '../../src/cache/catalog.ts'
import { reportOf } from '../../src/cache/prune-report.ts'
import { type Guards, type PrunePlan, type PruneRules, planPrune, storedBytes } from '../../src/cache/retention.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { forAll, type Random } from '../support/property.ts'
import { Sketch } from './sketch.ts'

const NOW = 10 * 86_400_000

type Case = { readonly sketch: Sketch; readonly rules: PruneRules; readonly toJSON: () => unknown }

function times<T>(count: number, make: (i: number) => T): T[] {
  return Array.from({ length: count }, (_, i) => make(i))
}

/** Images that share layers, indexes of these and of each other, signatures, tags and digests in several repositories, and what nobody needs. */
function randomSketch(random: Random): Sketch {
  const sketch = new Sketch(1000)
  const layers = times(6, (i) => `layer${i}`)
  const images = times(random.between(1, 6), (i) => `image${i}`)
  for (const [i, image] of images.entries()) {
    const blobs = [`config of ${image}`, ...times(random.below(4), () => random.pick(layers))]
    const subject = i > 0 && random.below(4) === 0 ? { subject: random.pick(images.slice(0, i)) } : {} // a hash cannot know its own future
    sketch.manifest(image, { blobs: [...new Set(blobs)], ...subject })
  }
  const known = [...images]
  for (const index of times(random.below(4), (i) => `index${i}`)) {
    sketch.manifest(index, { lists: [...times(random.between(1, 3), () => random.pick(known)), 'absent'] })
    known.push(index)
  }
  for (let i = random.below(8); i >= 0; i--) {
    const [repository, name, day] = [random.pick(['a.io/x', 'a.io/y', 'b.io/x']), random.pick(known), random.below(5)]
    if (random.below(2) === 0) sketch.ref(`${repository}:${random.below(4)}`, name, day * 86_400_000)
    else sketch.ref(`${repository}@${name}`, name, day * 86_400_000)
  }
  if (random.below(3) === 0) sketch.blob('stray')
  return sketch
}

function randomRules(random: Random): PruneRules {
  const pattern = random.pick(['a.io', 'x', ':1', ':2', '@', 'nothing', ''])
  const kept = random.pick([undefined, ':3', 'b.io', '@'])
  return {
    ...(random.below(2) === 0 ? {} : { matches: (reference: string) => reference.includes(pattern) }),
    ...(random.below(2) === 0
      ? {}
      : { olderThan: { by: random.pick(['accessed', 'created'] as const), ageMs: NOW - random.below(6) * 86_400_000 } }),
    ...(random.below(3) === 0 ? { maxBytes: random.below(20) * 1000 * 10 } : {}),
    ...(random.below(3) === 0 ? { count: random.between(1, 3) } : {}),
    ...(kept === undefined ? {} : { keep: (reference: string) => reference.includes(kept) }),
    ...(random.below(6) === 0 ? { orphansOnly: true } : {}),
  }
}

function randomCase(random: Random): Case {
  const sketch = randomSketch(random)
  const rules = randomRules(random)
  return { sketch, rules, toJSON: () => ({ refs: [...sketch.catalog.refs()].map(({ reference }) => sketch.spell(reference)), rules }) }
}

/** Manifests and blobs that are to be had under a reference. */
function contentOf(sketch: Sketch, { digest }: RefEntry): { manifests: Set<Digest>; blobs: Set<Digest> } {
  const found = { manifests: new Set<Digest>(), blobs: new Set<Digest>() }
  const todo = [digest]
  for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
    const entry = found.manifests.has(next) ? undefined : sketch.catalog.manifest(next)
    if (entry === undefined) continue
    found.manifests.add(next)
    for (const blob of entry.blobs) found.blobs.add(blob.digest)
    todo.push(...entry.manifests)
  }
  return found
}

/** Of a running server, to which the last image is being downloaded. */
function guardsOf({ catalog }: Sketch): Guards {
  const blobs = [...catalog.manifests()].flatMap((manifest) => manifest.blobs.map(({ digest }) => digest))
  return { servedSinceMs: 4 * 86_400_000, isInUse: () => false, filled: new Set(blobs.slice(-1)), orphansSinceMs: NOW }
}

function goneWith(plan: PrunePlan): { manifests: Set<Digest>; blobs: Set<Digest>; references: Set<string> } {
  return {
    manifests: new Set(plan.manifests.map(({ entry }) => entry.digest)),
    blobs: new Set(plan.blobs.map(({ digest }) => digest)),
    references: new Set(plan.references.map(({ reference }) => reference)),
  }
}

test('No reference that stays ever loses a manifest or a blob', () => {
  forAll(randomCase, ({ sketch, rules }) => {
    const gone = goneWith(planPrune(sketch.content, rules, NOW))
    for (const ref of sketch.catalog.refs()) {
      if (gone.references.has(ref.reference)) continue
      const { manifests, blobs } = contentOf(sketch, ref)
      for (const digest of manifests)
        assert.ok(!gone.manifests.has(digest), `${sketch.spell(ref.reference)} loses ${sketch.nameOf(digest)}`)
      for (const digest of blobs) assert.ok(!gone.blobs.has(digest), `${sketch.spell(ref.reference)} loses ${sketch.nameOf(digest)}`)
    }
  })
})

test('A report names each reference once, among what goes or among what stays, and says of what goes alone what keeps its content', () => {
  forAll(randomCase, ({ sketch, rules }) => {
    const { references, manifests, stays } = reportOf(planPrune(sketch.content, rules, NOW, guardsOf(sketch)), true)
    const told = [...references, ...stays].map(({ reference }) => reference)
    assert.equal(new Set(told).size, told.length, told.map((reference) => sketch.spell(reference)).join(' '))
    const gone = new Set([...references.map(({ reference }) => reference), ...manifests.map(({ digest }) => digest)])
    for (const { reference, digest, neededBy } of references) {
      assert.ok(neededBy === undefined || !manifests.some((manifest) => manifest.digest === digest), sketch.spell(reference))
      assert.ok(neededBy === undefined || !gone.has(neededBy), `${sketch.spell(reference)} is needed by what goes`)
    }
  })
})

test('What is to be kept stays, and so does a tag that the rules do not pick', () => {
  forAll(randomCase, ({ sketch, rules }) => {
    const gone = goneWith(planPrune(sketch.content, rules, NOW))
    for (const { reference } of sketch.catalog.refs()) {
      if (!gone.references.has(reference)) continue
      assert.notEqual(rules.keep?.(reference), true, `${sketch.spell(reference)} was to be kept`)
      if (!reference.includes('@')) assert.notEqual(rules.matches?.(reference), false, `${sketch.spell(reference)} was not picked`)
    }
  })
})

test('What no reference leads to goes, and nothing goes twice: a second prune finds no more orphans', () => {
  forAll(randomCase, ({ sketch, rules }) => {
    const plan = planPrune(sketch.content, rules, NOW)
    for (const { reference } of plan.references) sketch.catalog.removeRef(reference)
    for (const { entry } of plan.manifests) sketch.catalog.removeManifest(entry.digest)
    for (const { digest } of plan.blobs) sketch.blobs.delete(digest)
    const again = planPrune(sketch.content, { orphansOnly: true }, NOW)
    assert.deepEqual([again.references, again.manifests, again.blobs], [[], [], []])
    assert.equal(storedBytes(sketch.content), plan.keptBytes)
  })
})

test('A size is kept to, as long as nothing has to stay; and no more goes than has to', () => {
  forAll(
    (random) => ({ sketch: randomSketch(random), maxBytes: random.below(40) * 5000, toJSON: () => ({}) }),
    ({ sketch, maxBytes }) => {
      const plan = planPrune(sketch.content, { maxBytes }, NOW)
      assert.ok(plan.keptBytes <= maxBytes || plan.keptBytes === 0, `${plan.keptBytes} of ${maxBytes}`)
      const { keptBytes } = planPrune(sketch.content, { orphansOnly: true }, NOW)
      if (keptBytes <= maxBytes)
        assert.deepEqual(
          plan.references.filter(({ reference }) => !reference.includes('@')),
          [],
        )
    },
  )
})
