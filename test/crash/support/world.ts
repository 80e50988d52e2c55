/** The registry that a server under test pulls from: images of random bytes that come and move while it runs, and what is true of them. */
import type { Digest } from '../../../src/oci/digest.ts'
import type { FakeRegistry } from '../../support/fake-registry.ts'
import type { Random } from '../../support/property.ts'

const KIB = 1024
const MIB = 1024 * KIB

/** What the configuration calls the registry. */
export const REGISTRY = 'upstream.example'
/** The tag that moves. */
export const MOVING = 'latest'
const REPOSITORIES = ['library/base', 'edge/app', 'edge/site/7/tool']

export type Blob = { readonly repository: string; readonly digest: Digest; readonly sizeBytes: number }
export type Image = { readonly repository: string; readonly digest: Digest; readonly blobs: readonly Blob[] }
/** An image, or an index of two, under a tag that never moves. */
export type Release = { readonly repository: string; readonly tag: string; readonly digest: Digest; readonly images: readonly Image[] }

export class World {
  readonly releases: Release[] = []
  readonly #blobs = new Map<Digest, Blob>()
  /** Everything a reference ever named. */
  readonly #named = new Map<string, Set<Digest>>()
  readonly #random: Random
  readonly #largestBytes: number

  /** @param largestBytes of a layer; each image has one of at least a third of that */
  constructor(
    readonly registry: FakeRegistry,
    random: Random,
    largestBytes: number,
  ) {
    this.#random = random
    this.#largestBytes = largestBytes
  }

  /** A new release, with a layer of an older one now and then. */
  publish(): Release {
    const repository = this.#random.pick(REPOSITORIES)
    const tag = `v${this.releases.length}`
    const isIndex = this.#random.below(3) === 0
    const images = isIndex ? [this.#addImage(repository), this.#addImage(repository)] : [this.#addImage(repository)]
    const first = images[0] as Image
    const entries = images.map(({ digest }, i) => ({ digest, platform: { os: 'linux', architecture: i === 0 ? 'amd64' : 'arm64' } }))
    const digest = isIndex ? this.registry.addIndex(repository, undefined, entries) : first.digest
    const release = { repository, tag, digest, images }
    this.#name(repository, tag, digest)
    this.#name(repository, MOVING, digest)
    this.releases.push(release)
    return release
  }

  /** Some tag `latest` names another release of its repository from now on. */
  move(): void {
    const { repository, digest } = this.recent()
    this.#name(repository, MOVING, digest)
  }

  /** The later it came, the likelier. */
  recent(): Release {
    const { length } = this.releases
    return this.releases[length - 1 - Math.min(this.#random.below(length), this.#random.below(length))] as Release
  }

  /** Whether that is or was the answer for a tag. */
  couldName(repository: string, tag: string, digest: Digest): boolean {
    return this.#named.get(`${repository}:${tag}`)?.has(digest) ?? false
  }

  blob(digest: Digest): Blob | undefined {
    return this.#blobs.get(digest)
  }

  /** The bytes from `start` up to, not including, `end`. */
  bytes(blob: Blob, start: number, end: number): Buffer {
    const source = this.registry.content.blob(undefined, blob.digest)
    return Buffer.concat([...(source?.read(start, end) ?? [])])
  }

  #name(repository: string, tag: string, digest: Digest): void {
    const key = `${repository}:${tag}`
    this.registry.content.tag(repository, tag, digest)
    this.#named.set(key, (this.#named.get(key) ?? new Set()).add(digest))
  }

  #addImage(repository: string): Image {
    const random = this.#random
    const older = this.releases.length > 0 && random.below(3) === 0 ? [this.recent().images[0]?.blobs.at(-1)?.digest] : []
    const sizes = [
      random.between(this.#largestBytes / 3, this.#largestBytes),
      random.between(65 * KIB, 2 * MIB),
      random.between(1, 64 * KIB),
    ]
    const fresh = sizes.map((sizeBytes, i) =>
      this.registry.addGeneratedBlob(`${this.releases.length} ${i} ${random.below(2 ** 31)}`, sizeBytes),
    )
    const layers = [...fresh, ...older.filter((digest) => digest !== undefined)]
    const config = { architecture: 'amd64', os: 'linux', serial: `${this.#blobs.size}` }
    const added = this.registry.addImage(repository, undefined, { layers, config })
    const blobs = [added.config, ...added.layers].map((digest) => this.#describe(repository, digest))
    return { repository, digest: added.digest, blobs }
  }

  #describe(repository: string, digest: Digest): Blob {
    const sizeBytes = this.registry.content.blob(undefined, digest)?.sizeBytes ?? 0
    const blob = { repository, digest, sizeBytes }
    this.#blobs.set(digest, blob)
    return blob
  }
}
