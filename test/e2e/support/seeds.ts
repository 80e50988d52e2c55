/** What the upstream registries hold in every end-to-end test: pushed once in a run, into storage on which each test starts its own. */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Cleanup } from './cleanup.ts'
import { zstdStored } from './compress.ts'
import { startDockerRegistry } from './docker-registry.ts'
import {
  amd64,
  arm64,
  artifact,
  content,
  docker,
  type Image,
  type ImageOptions,
  type Index,
  image,
  index,
  oci,
  randomLayer,
} from './image.ts'
import { until } from './poll.ts'
import { push } from './push.ts'
import { runDirectory } from './run-directory.ts'

/** A seeded manifest or blob. */
export type Entry = { readonly digest: string; readonly mediaType: string; readonly sizeBytes: number }
export type SeededImage = {
  readonly repository: string
  readonly tag: string
  readonly manifest: Entry
  /** Of an index: its images. Of an image: itself. */
  readonly images: readonly { readonly architecture: string; readonly manifest: Entry; readonly blobs: readonly Entry[] }[]
}

export type SeedName = keyof typeof recipes
export type RegistryName = keyof typeof holdings
/** Where each registry keeps its content, and what that is. */
export type Seeds = Readonly<Record<RegistryName, { readonly storage: string; readonly images: Readonly<Record<string, SeededImage>> }>>

type Recipe = { readonly repository: string; readonly tag: string; readonly make: (seed: string) => Image | Index }

const layer = (seed: string, dialect = oci) => randomLayer(seed, 300_000, dialect.layer)
const plain = (seed: string, options: ImageOptions = {}) =>
  image([layer(`${seed} 1`, options.dialect), layer(`${seed} 2`, options.dialect)], options)
const platforms = (seed: string, dialect = oci) =>
  index(
    [amd64, arm64].map((platform) => plain(`${seed} ${platform.architecture}`, { dialect, platform })),
    dialect,
  )
const manyAnnotations = Object.fromEntries(Array.from({ length: 39 }, (_, i) => [`example.${i}`, 'a'.repeat(100_000)]))

const recipes = {
  index: { repository: 'library/alpine', tag: 'oci', make: platforms },
  dockerList: { repository: 'library/alpine', tag: 'list', make: (seed) => platforms(seed, docker) },
  dockerImage: { repository: 'library/alpine', tag: 's2', make: (seed) => plain(seed, { dialect: docker }) },
  ociImage: { repository: 'library/alpine', tag: 'single', make: plain },
  emptyBlob: {
    repository: 'edge/artifact',
    tag: '1',
    make: (seed) => artifact('application/vnd.example.thing', [content('application/vnd.example.nothing', Buffer.alloc(0)), layer(seed)]),
  },
  largeManifest: { repository: 'edge/annotated', tag: '1', make: (seed) => plain(seed, { annotations: manyAnnotations }) },
  largeLayer: { repository: 'edge/large', tag: '1', make: (seed) => image([randomLayer(seed, 200_000_000, oci.layer)]) },
  zstdLayer: {
    repository: 'edge/zstd',
    tag: '1',
    make: (seed) => image([randomLayer(seed, 300_000, 'application/vnd.oci.image.layer.v1.tar+zstd', zstdStored)]),
  },
  fewMegabytes: {
    repository: 'edge/app',
    tag: '1',
    make: (seed) => image([1, 2, 3].map((n) => randomLayer(`${seed} ${n}`, n * 1_000_000, oci.layer))),
  },
  fiveSegments: { repository: 'a/b/c/d/e', tag: '1', make: plain },
} satisfies Record<string, Recipe>

const small: SeedName[] = [
  'index',
  'dockerList',
  'dockerImage',
  'ociImage',
  'emptyBlob',
  'largeManifest',
  'zstdLayer',
  'fewMegabytes',
  'fiveSegments',
]

/** Registries that clients name. The same names stand for other bytes in each, so that nobody can mix them up unseen. */
const holdings = {
  'docker.io': [...small, 'largeLayer'],
  'quay.io': small,
  'registry.example:5000': ['index', 'fiveSegments'],
} satisfies Record<string, SeedName[]>

export const registryNames = Object.keys(holdings) as RegistryName[]

/** Seeds, made by whoever asks first in this run; the others wait for it. */
export async function seeds(t: Cleanup): Promise<Seeds> {
  const directory = join(runDirectory(), 'upstreams')
  const catalog = join(runDirectory(), 'seeds.json')
  const mine = await mkdir(directory).then(
    () => true,
    () => false,
  )
  if (mine) {
    const made = Object.fromEntries(await Promise.all(registryNames.map(async (name) => [name, await seed(t, name, directory)])))
    await writeFile(`${catalog}.part`, JSON.stringify(made))
    await rename(`${catalog}.part`, catalog)
  }
  const text = await until('the upstreams are seeded', () => readFile(catalog, 'utf8').catch(() => undefined), 120_000)
  return JSON.parse(text)
}

async function seed(t: Cleanup, name: RegistryName, directory: string): Promise<Seeds[RegistryName]> {
  const storage = join(directory, name.replace(':', '_'))
  const registry = await startDockerRegistry(t, storage)
  const images: Record<string, SeededImage> = {}
  for (const held of holdings[name]) {
    const { repository, tag, make }: Recipe = recipes[held]
    const made = make(`${name} ${held}`)
    await push(registry.url, repository, tag, made)
    images[held] = { repository, tag, ...describe(made) }
  }
  await registry.process.stop()
  return { storage, images }
}

/** What there is to know of pushed content, without its bytes. */
export function describe(pushed: Image | Index): Pick<SeededImage, 'manifest' | 'images'> {
  const images = 'images' in pushed ? pushed.images : [pushed]
  return {
    manifest: entry(pushed.manifest),
    images: images.map(({ manifest, blobs, platform }) => ({
      architecture: platform.architecture,
      manifest: entry(manifest),
      blobs: blobs.map(entry),
    })),
  }
}

const entry = ({ digest, mediaType, bytes }: { digest: string; mediaType: string; bytes: Buffer }): Entry => ({
  digest,
  mediaType,
  sizeBytes: bytes.length,
})

/** Digests that a pull of all platforms, or of one, must bring: manifests and blobs, each once, sorted. */
export function digestsOf({ manifest, images }: SeededImage, architecture?: string): string[] {
  const wanted = images.filter((one) => architecture === undefined || one.architecture === architecture || images.length === 1)
  const digests = [manifest, ...wanted.flatMap((one) => [one.manifest, ...one.blobs])].map(({ digest }) => digest)
  return [...new Set(digests)].sort()
}
