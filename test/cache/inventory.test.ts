/** What is listed of a store: references, manifests without one, platforms, sizes, what is complete; and totals that count nothing twice. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Catalog } from '../../src/cache/catalog.ts'
import { blobsOf, type InventoryRow, type Stored, takeInventory, totalsOf } from '../../src/cache/inventory.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { parseManifest } from '../../src/oci/manifest.ts'
import { OCI_INDEX, OCI_MANIFEST } from '../../src/oci/media-type.ts'
import { parseReference } from '../../src/oci/reference.ts'

const CONFIG = blob('config')
const [ONE, TWO, OWN] = [blob('one'), blob('two'), blob('own')]
const PAYLOAD = 'application/vnd.in-toto+json'

function blob(text: string): Digest {
  return digestOf(Buffer.from(text))
}

type Entry = { readonly digest: Digest; readonly platform?: string }

/** A catalog in the making, and what lies beside it. */
class World implements Stored {
  readonly catalog = new Catalog()
  readonly stored = new Set<Digest>([CONFIG, ONE, TWO, OWN])
  readonly hasBlob = (digest: Digest) => this.stored.has(digest)

  /** Layers of 10 bytes each, a config of 2; in the order in which they are named. */
  image(reference: string, layers: readonly Digest[], more: object = {}, layer: object = {}): Digest {
    const config = { mediaType: 'application/vnd.oci.image.config.v1+json', digest: CONFIG, size: 2 }
    const listed = layers.map((digest) => ({ mediaType: 'a/layer', digest, size: 10, ...layer }))
    return this.#add(reference, { schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: listed, ...more })
  }

  index(reference: string, entries: readonly Entry[]): Digest {
    const manifests = entries.map(({ digest, platform }) => {
      const [os, architecture, variant] = platform?.split('/') ?? []
      return { mediaType: OCI_MANIFEST, digest, size: 1, ...(platform !== undefined && { platform: { os, architecture, variant } }) }
    })
    return this.#add(reference, { schemaVersion: 2, mediaType: OCI_INDEX, manifests })
  }

  name(reference: string, digest: Digest): void {
    this.catalog.setRef({ reference, digest, createdMs: 1000, pulledMs: 2000, checkedMs: 2000 }, 0)
  }

  rows(): readonly InventoryRow[] {
    return takeInventory(this)
  }

  row(reference: string): InventoryRow {
    const row = this.rows().find((each) => each.reference === reference)
    assert.ok(row, reference)
    return row
  }

  /** @param reference where it has no tag, only its manifest is there, and nothing that names it */
  #add(reference: string, json: object): Digest {
    const bytes = Buffer.from(JSON.stringify(json))
    const digest = digestOf(bytes)
    const { registry, repository } = parseReference(reference.includes(':') ? reference : `${reference}:none`)
    const mediaType = 'manifests' in json ? OCI_INDEX : OCI_MANIFEST
    const record = { digest, mediaType, bytes, imageUrl: reference, registry, repository, createdMs: 500, pulledMs: 0 }
    this.catalog.addManifest(record, parseManifest(bytes, mediaType))
    if (reference.includes(':')) this.name(reference, digest)
    return digest
  }
}

test('Every reference has a row, and every manifest that none names; sorted by reference', () => {
  const world = new World()
  const image = world.image('quay.io/team/app:v2', [ONE])
  world.name('docker.io/library/alpine:3', image)
  world.name(`quay.io/team/app@${image}`, image)
  const nameless = world.image('quay.io/team/app', [TWO])
  assert.deepEqual(
    world.rows().map(({ reference, isNamed, pulledMs, createdMs }) => [reference, isNamed, createdMs, pulledMs]),
    [
      ['docker.io/library/alpine:3', true, 1000, 2000],
      ['quay.io/team/app:v2', true, 1000, 2000],
      ...[
        [`quay.io/team/app@${image}`, true, 1000, 2000],
        [`quay.io/team/app@${nameless}`, false, 500, undefined],
      ].sort(([a], [b]) => (String(a) < String(b) ? -1 : 1)),
    ],
  )
  assert.equal(world.row('docker.io/library/alpine:3').manifest.digest, image)
})

test('A reference whose manifest is not there is not listed', () => {
  const world = new World()
  world.name('quay.io/team/app:v1', ONE)
  assert.deepEqual(world.rows(), [])
})

test('An image is as large as its manifest says, and complete when all of it is there', () => {
  const world = new World()
  world.image('quay.io/team/app:v1', [ONE, TWO])
  assert.deepEqual(world.row('quay.io/team/app:v1').holding, {
    type: 'image',
    sizeBytes: 22,
    complete: true,
    platforms: [],
    images: [],
  })
  world.stored.delete(TWO)
  assert.equal(world.row('quay.io/team/app:v1').holding.complete, false)
})

test('What registries do not have is not missing', () => {
  const world = new World()
  world.image('quay.io/team/app:v1', [blob('elsewhere')], {}, { urls: ['https://elsewhere.example/'] })
  const row = world.row('quay.io/team/app:v1')
  assert.equal(row.holding.complete, true)
  assert.deepEqual(
    blobsOf(row, world).map(({ digest, foreign, stored }) => [digest, foreign, stored]),
    [
      [CONFIG, false, true],
      [blob('elsewhere'), true, false],
    ],
  )
})

test('An artifact is listed as an image', () => {
  const world = new World()
  world.image('quay.io/team/app:sbom', [ONE], { artifactType: 'application/spdx+json' })
  assert.equal(world.row('quay.io/team/app:sbom').holding.type, 'image')
})

type Case = {
  readonly what: string
  /** Of images by name, the platforms under which the index lists them. */
  readonly lists: readonly (readonly [image: 'whole' | 'cut' | 'absent' | 'other' | 'attestation', platform?: string])[]
  readonly platforms: readonly string[]
  readonly states: readonly string[]
  readonly complete: boolean
  readonly sizeBytes: number
}
const cases: readonly Case[] = [
  {
    what: 'of which all is there',
    lists: [['whole', 'linux/amd64']],
    platforms: ['linux/amd64'],
    states: ['complete'],
    complete: true,
    sizeBytes: 22,
  },
  {
    what: 'of which another platform was never pulled',
    lists: [
      ['whole', 'linux/amd64'],
      ['absent', 'linux/arm64'],
    ],
    platforms: ['linux/amd64'],
    states: ['complete', 'absent'],
    complete: true,
    sizeBytes: 22,
  },
  {
    what: 'of which another platform was pulled in part',
    lists: [
      ['whole', 'linux/amd64'],
      ['cut', 'linux/arm/v7'],
    ],
    platforms: ['linux/amd64'],
    states: ['complete', 'incomplete'],
    complete: false,
    sizeBytes: 32,
  },
  {
    what: 'of which nothing was pulled',
    lists: [['absent', 'linux/amd64']],
    platforms: [],
    states: ['absent'],
    complete: false,
    sizeBytes: 0,
  },
  {
    what: 'whose images share a layer, which counts once',
    lists: [
      ['whole', 'linux/amd64'],
      ['other', 'linux/arm64'],
    ],
    platforms: ['linux/amd64', 'linux/arm64'],
    states: ['complete', 'complete'],
    complete: true,
    sizeBytes: 32,
  },
  {
    what: 'with an attestation whose layers nobody pulled',
    lists: [
      ['whole', 'linux/amd64'],
      ['attestation', 'unknown/unknown'],
    ],
    platforms: ['linux/amd64'],
    states: ['complete', 'incomplete'],
    complete: true,
    sizeBytes: 32,
  },
  { what: 'that names no platform', lists: [['whole']], platforms: [], states: ['complete'], complete: true, sizeBytes: 22 },
  {
    what: 'that lists one image for two platforms',
    lists: [
      ['whole', 'linux/amd64'],
      ['whole', 'linux/386'],
    ],
    platforms: ['linux/amd64', 'linux/386'],
    states: ['complete', 'complete'],
    complete: true,
    sizeBytes: 22,
  },
]
for (const { what, lists, platforms, states, complete, sizeBytes } of cases) {
  test(`An index ${what}`, () => {
    const world = new World()
    const digests = {
      whole: world.image('quay.io/team/app', [ONE, TWO]),
      other: world.image('quay.io/team/app', [ONE, TWO, OWN]),
      cut: world.image('quay.io/team/app', [ONE, blob('missing')]),
      attestation: world.image('quay.io/team/app', [blob('statement')], {}, { mediaType: PAYLOAD }),
      absent: blob('an image that was never pulled'),
    }
    world.index(
      'quay.io/team/app:v1',
      lists.map(([name, platform]) => ({ digest: digests[name], ...(platform !== undefined && { platform }) })),
    )
    const { holding } = world.row('quay.io/team/app:v1')
    assert.deepEqual(
      [holding.type, holding.platforms, holding.images.map(({ state }) => state), holding.complete, holding.sizeBytes],
      ['list', platforms, states, complete, sizeBytes],
    )
  })
}

test('An image has the platforms that the indexes say, which list it', () => {
  const world = new World()
  const image = world.image('quay.io/team/app', [ONE])
  world.index('quay.io/team/app:v1', [{ digest: image, platform: 'linux/amd64' }])
  world.index('quay.io/team/app:v2', [
    { digest: TWO, platform: 'linux/s390x' },
    { digest: image, platform: 'linux/amd64' },
  ])
  world.index('quay.io/team/app:v3', [{ digest: image }])
  assert.deepEqual(world.row(`quay.io/team/app@${image}`).holding.platforms, ['linux/amd64'])
})

test('An index within an index gives way to what it lists', () => {
  const world = new World()
  const image = world.image('quay.io/team/app', [ONE])
  const inner = world.index('quay.io/team/app', [{ digest: image, platform: 'linux/amd64' }])
  world.index('quay.io/team/app:v1', [{ digest: inner }])
  const { platforms, images, sizeBytes } = world.row('quay.io/team/app:v1').holding
  assert.deepEqual([platforms, images, sizeBytes], [['linux/amd64'], [{ digest: image, platform: 'linux/amd64', state: 'complete' }], 12])
})

test('Totals count what images share once, and only what is there', () => {
  const world = new World()
  const one = world.image('quay.io/team/app:v1', [ONE, TWO])
  world.name('quay.io/team/app:latest', one)
  world.image('quay.io/team/app:v2', [ONE, OWN, blob('missing')])
  assert.deepEqual(totalsOf(world.rows(), world), { references: 3, manifests: 2, blobs: 4, bytes: 32, incomplete: 1, lostReferences: 0 })
})

test('Totals of an index are those of its images, also where only the index is listed', () => {
  const world = new World()
  const image = world.image('quay.io/team/app', [ONE])
  world.index('quay.io/team/app:v1', [{ digest: image, platform: 'linux/amd64' }])
  assert.deepEqual(totalsOf([world.row('quay.io/team/app:v1')], world), {
    references: 1,
    manifests: 1,
    blobs: 2,
    bytes: 12,
    incomplete: 0,
    lostReferences: 0,
  })
})

test('Three thousand indexes, each in the next one, are listed', () => {
  const world = new World()
  let digest = world.image('quay.io/team/app', [ONE])
  for (let i = 0; i < 3000; i++) digest = world.index('quay.io/team/app', [{ digest }])
  world.name('quay.io/team/app:deep', digest)
  assert.equal(world.row('quay.io/team/app:deep').holding.complete, true)
})
