/** What must hold for every sequence of pulls, moved tags, outages and restarts: names that look alike never get each other's content. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { parseRegistry } from '../../src/oci/name.ts'
import { formatReference, makeReference, type Reference } from '../../src/oci/reference.ts'
import { UpstreamError } from '../../src/upstream/error.ts'
import { MemoryStore } from '../support/memory-store.ts'
import { Random } from '../support/property.ts'
import { ANY, CACHED, Ground, Reader, source } from './support.ts'

/** One is a part of the other, or differs in what a careless key would leave out. */
const REGISTRIES = ['docker.io', 'a.example', 'a.example:5000', 'a.example.b']
const REPOSITORIES = ['library/x', 'x', 'x/y', 'a.example/x']
const TAGS = ['1', '1.0', 'latest']

type Image = { readonly bytes: Buffer; readonly digest: Digest; readonly layer: Buffer; readonly layerDigest: Digest }

/** Images whose digests all begin alike. */
const IMAGES: readonly Image[] = Array.from({ length: 6 }, (_, i) => alike(i))

function alike(number: number): Image {
  const layer = Buffer.from(`layer ${number}`)
  const layerDigest = digestOf(layer)
  for (let attempt = 0; ; attempt++) {
    const config = { mediaType: 'application/vnd.oci.image.config.v1+json', digest: layerDigest, size: layer.byteLength }
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, config, layers: [], annotations: { number, attempt } }))
    const digest = digestOf(bytes)
    if (digest.startsWith('sha256:ab')) return { bytes, digest, layer, layerDigest }
  }
}

/** The simplest cache there is: what each name should say, and which content is there. */
class Model {
  readonly tags = new Map<string, Image>()
  readonly manifests = new Set<Digest>()
  readonly blobs = new Set<Digest>()
  down = false

  constructor(private readonly ground: Ground) {}

  manifest(reference: Reference): Image | undefined {
    const known = this.#known(reference)
    const mayChange = reference.tag === 'latest'
    if (known !== undefined && !(mayChange && !this.down)) return known
    const answer = this.#upstream(reference)
    if (answer !== undefined) this.#keep(reference, answer)
    return answer ?? known
  }

  blob(registry: string, image: Image): Buffer | undefined {
    if (!this.blobs.has(image.layerDigest) && (this.down || !this.#content(registry).blob(undefined, image.layerDigest))) return undefined
    this.blobs.add(image.layerDigest)
    return image.layer
  }

  cachedTags(registry: string, repository: string): string[] {
    return TAGS.filter((tag) => this.tags.has(formatReference(makeReference(parseRegistry(registry), repository, tag))))
  }

  #known(reference: Reference): Image | undefined {
    if (reference.digest === undefined) return this.tags.get(formatReference(reference))
    return this.manifests.has(reference.digest) ? imageOf(reference.digest) : undefined
  }

  #upstream({ registry, repository, tag, digest }: Reference): Image | undefined {
    if (this.down) return undefined
    const stored = this.#content(registry).manifest(repository, tag ?? digest)
    return stored === undefined ? undefined : imageOf(stored.digest)
  }

  #keep(reference: Reference, image: Image): void {
    this.manifests.add(image.digest)
    if (reference.digest === undefined) this.tags.set(formatReference(reference), image)
  }

  #content(registry: string) {
    return this.ground.hub(registry).content
  }
}

function imageOf(digest: Digest): Image | undefined {
  return IMAGES.find((image) => image.digest === digest)
}

/** Longer than "not found" and a failed check are remembered. */
const A_WHILE_MS = 10_000

async function push(ground: Ground, _model: Model, random: Random): Promise<string> {
  const [registry, repository, tag, image] = [random.pick(REGISTRIES), random.pick(REPOSITORIES), random.pick(TAGS), random.pick(IMAGES)]
  const { content } = ground.hub(registry)
  const reference = makeReference(parseRegistry(registry), repository, tag)
  content.addBlob(image.layer)
  content.addManifest(reference.repository, tag, image.bytes)
  await ground.clock.advance(A_WHILE_MS)
  return `push ${formatReference(reference)} = ${image.digest}`
}

async function pullManifest(ground: Ground, model: Model, random: Random): Promise<string> {
  const [registry, repository] = [random.pick(REGISTRIES), random.pick(REPOSITORIES)]
  const target = random.pick([...TAGS, ...TAGS, random.pick(IMAGES).digest])
  const reference = makeReference(parseRegistry(registry), repository, target)
  const want = model.manifest(reference)
  const answer = await ground.cache.manifests.get(reference, ANY, random.pick([true, false])).catch(onlyUpstreamErrors)
  assert.equal(answer?.entry.digest, want?.digest)
  if (answer?.bytes !== undefined) assert.deepEqual(answer.bytes, want?.bytes)
  return `pull ${formatReference(reference)} = ${want?.digest}`
}

async function pullBlob(ground: Ground, model: Model, random: Random): Promise<string> {
  const [registry, repository, image] = [random.pick(REGISTRIES), random.pick(REPOSITORIES), random.pick(IMAGES)]
  const want = model.blob(registry, image)
  const answer = await ground.cache.blobs.open(image.layerDigest, source(registry, repository), ANY).catch(onlyUpstreamErrors)
  assert.deepEqual(answer === undefined ? undefined : await new Reader(answer.blob).done, want)
  return `blob ${registry}/${repository}@${image.layerDigest}`
}

async function list(ground: Ground, model: Model, random: Random): Promise<string> {
  const { registry, repository } = source(random.pick(REGISTRIES), random.pick(REPOSITORIES))
  const answer = await ground.cache.lists.tags(registry, repository, CACHED).catch(() => ({ tags: [] }))
  assert.deepEqual(answer.tags, model.cachedTags(registry, repository))
  return `list ${registry}/${repository}`
}

async function outage(ground: Ground, model: Model): Promise<string> {
  model.down = !model.down
  for (const registry of REGISTRIES) ground.hub(registry).down(model.down ? 'unreachable' : undefined)
  await ground.clock.advance(A_WHILE_MS)
  return model.down ? 'down' : 'up'
}

async function restart(ground: Ground): Promise<string> {
  await ground.restart()
  return 'restart'
}

function onlyUpstreamErrors(error: unknown): undefined {
  if (!(error instanceof UpstreamError)) throw error
}

async function walk(ground: Ground, seed: number, steps: number): Promise<void> {
  const random = new Random(seed)
  const model = new Model(ground)
  const done: string[] = []
  await ground.start()
  for (let step = 0; step < steps; step++) {
    const act = random.pick([
      push,
      push,
      push,
      pullManifest,
      pullManifest,
      pullManifest,
      pullManifest,
      pullBlob,
      pullBlob,
      list,
      outage,
      restart,
    ])
    try {
      done.push(await act(ground, model, random))
    } catch (cause) {
      throw new Error(`seed ${seed} refutes it at '${act.name}' after\n${done.join('\n')}`, { cause })
    }
  }
}

const SETTINGS = { alwaysPullLatest: true }
for (const [where, options, seeds] of [
  ['in memory', { settings: SETTINGS, store: () => new MemoryStore() }, 40],
  ['on disk', { settings: SETTINGS }, 5],
] as const) {
  test(`Names that look alike never get each other's content, whatever is pulled, moved, lost and restarted (${where})`, async (t) => {
    for (let seed = 1; seed <= seeds; seed++) {
      const ground = await Ground.lay(t, options)
      await walk(ground, seed, 150)
      await ground.leave()
    }
  })
}
