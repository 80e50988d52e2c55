/**
 * Reads a store as the Go program does when it starts, written from the description of its format and of its flaws: directories in their order,
 * files in theirs, and the end at the first one that its decoder refuses.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** 1.7 and 1.8 look into `fat` and `img`, all later ones into `lts` and `img`. */
export const DIRECTORIES = { '1.8': ['fat', 'img'], '1.9': ['lts', 'img'] } as const

export type OldRow = { readonly url: string; readonly kind: 'list' | 'image'; readonly created: string; readonly pulled: string }
export type OldReading = {
  /** What it serves by tag or digest, and the digest that it has for it; of two records of one tag it uses the one that it reads last. */
  readonly served: ReadonlyMap<string, string>
  /** The rows of its `list`, in its order; a record without all of its blobs among them. */
  readonly rows: readonly OldRow[]
  /** Records that it does not serve because blobs are missing. */
  readonly incomplete: readonly string[]
}

/** @throws Error where the program would not start, or would silently read no further */
export function readAsOldProgram(path: string, directories: readonly string[]): OldReading {
  const served = new Map<string, string>()
  const rows: OldRow[] = []
  const incomplete: string[] = []
  for (const file of directories.flatMap((directory) => filesBelow(join(path, directory)))) {
    const { type, digest, imageUrl, created, pulled, blobs } = decode(file, readFileSync(file, 'utf8'))
    if (!IMAGE_URL.test(imageUrl)) throw new Error(`${file}: the program does not start with '${imageUrl}' in its store`)
    rows.push({ url: imageUrl, kind: type === 0 || type === 2 ? 'list' : 'image', created, pulled })
    if (blobs.some((blob) => !existsSync(join(path, 'blobs', blob.replace(/^sha256:/, ''))))) incomplete.push(imageUrl)
    else served.set(imageUrl, digest).set(imageUrl.replace(/(?:@sha256:[0-9a-f]{64}|:[^:/]+)$/, `@sha256:${digest}`), digest)
  }
  return { served, rows, incomplete }
}

/** A host with a dot, a repository without one, and a tag or a sha256 digest. */
const IMAGE_URL = /^[^/]*\.[^/]*(?:\/[^/.:@]+)+(?::[^:/@]+|@sha256:[0-9a-f]{64})$/

type Wrapper = {
  readonly type: number
  readonly digest: string
  readonly imageUrl: string
  readonly created: string
  readonly pulled: string
  /** From the parsed copy: the program never looks into `bytes` for them. */
  readonly blobs: readonly string[]
}

function filesBelow(directory: string): string[] {
  if (!existsSync(directory)) return []
  const entries = readdirSync(directory, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))
  return entries.flatMap((entry) => (entry.isDirectory() ? filesBelow(join(directory, entry.name)) : [join(directory, entry.name)]))
}

type Check = (value: unknown) => boolean
/** A key that is missing or null is as good as an empty one, as in Go. */
const object =
  (fields: Readonly<Record<string, Check>>): Check =>
  (value) =>
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    Object.entries(fields).every(([key, check]) => orNothing(check)((value as Record<string, unknown>)[key]))
const orNothing =
  (check: Check): Check =>
  (value) =>
    value === undefined || value === null || check(value)
const listOf =
  (check: Check): Check =>
  (value) =>
    Array.isArray(value) && value.every(orNothing(check))
const text: Check = (value) => typeof value === 'string'
const integer: Check = (value) => Number.isInteger(value)
const base64: Check = (value) => typeof value === 'string' && Buffer.from(value, 'base64').toString('base64') === value
const texts: Check = (value) => object({})(value) && Object.values(value as object).every(orNothing(text))

const platform = object({ architecture: text, os: text, 'os.version': text, 'os.features': listOf(text), variant: text })
const descriptor = object({
  mediaType: text,
  digest: text,
  size: integer,
  urls: listOf(text),
  annotations: texts,
  data: base64,
  platform,
  artifactType: text,
})
const manifest = object({
  schemaVersion: integer,
  mediaType: text,
  artifactType: text,
  manifests: listOf(descriptor),
  config: descriptor,
  layers: listOf(descriptor),
  subject: descriptor,
  annotations: texts,
})
const wrapper = object({
  type: integer,
  digest: text,
  imageUrl: text,
  bytes: base64,
  'v1.oci.index': manifest,
  'v1.oci.manifest': manifest,
  'v2.docker.manifestList': manifest,
  'v2.docker.manifest': manifest,
  created: text,
  pulled: text,
})

type ParsedImage = { readonly config: { readonly digest: string }; readonly layers: readonly { readonly digest: string }[] | null }

function decode(file: string, source: string): Wrapper {
  const json = JSON.parse(source)
  if (!wrapper(json)) throw new Error(`${file}: the program stops reading here`)
  const image: ParsedImage | undefined =
    json.type === 1 ? json['v2.docker.manifest'] : json.type === 3 ? json['v1.oci.manifest'] : undefined
  const blobs = image === undefined ? [] : [image.config, ...(image.layers ?? [])].map(({ digest }) => digest)
  return { ...json, blobs }
}
