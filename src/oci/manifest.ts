/** Reads manifests: exact bytes and a content type in, what the cache needs to know out. The bytes themselves are never rewritten. */
import { type Digest, isDigest } from './digest.ts'
import {
  DOCKER_LIST,
  DOCKER_MANIFEST,
  essence,
  isImageConfig,
  isSchema1,
  kindOfMediaType,
  type ManifestKind,
  OCI_ARTIFACT,
  OCI_INDEX,
  OCI_MANIFEST,
} from './media-type.ts'

/** Far more than any image has; each one costs memory for as long as the manifest is cached. */
const MAX_DESCRIPTORS = 4096
/** Clients accept no more (c/image 4 MiB, containerd a little more). */
export const MAX_MANIFEST_BYTES = 4 * 1024 * 1024

/** Deeper than any manifest. JSON.stringify overflows the stack at some thousand levels, and JSON.parse takes half a second for 4 MiB of them. */
const MAX_DEPTH = 100

const MEDIA_TYPE = /^[a-z0-9][a-z0-9!#$&^_.+-]{0,126}\/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}$/
const VAGUE = /^(?:text\/.*|application\/(?:json|octet-stream)|binary\/octet-stream)$/

export type Platform = { readonly os: string; readonly architecture: string; readonly variant?: string }

export type Descriptor = {
  readonly mediaType: string
  readonly digest: Digest
  readonly sizeBytes: number
  /** The registry is not expected to have it: clients go to `urls`. */
  readonly foreign: boolean
  readonly artifactType?: string
  readonly annotations?: Readonly<Record<string, string>>
  readonly platform?: Platform
}

export type Manifest = {
  readonly kind: ManifestKind
  /** What to send as `Content-Type`. */
  readonly mediaType: string
  /** Config and layers, each digest once; empty for an index. */
  readonly blobs: readonly Descriptor[]
  /** The manifests of an index; empty otherwise. */
  readonly manifests: readonly Descriptor[]
  /** What this manifest refers to (referrers API). */
  readonly subject?: Digest
  /** As the referrers API reports it: `artifactType`, else the config's media type. */
  readonly artifactType?: string
  readonly annotations?: Readonly<Record<string, string>>
}

/** The bytes are no manifest that could be served: a login page, a cut answer, a signed schema 1. */
export class ManifestError extends Error {
  /** A manifest indeed, but of the kind that no current client takes. */
  readonly schema1: boolean

  constructor(message: string, options: ErrorOptions & { schema1?: boolean } = {}) {
    super(message, options)
    this.name = 'ManifestError'
    this.schema1 = options.schema1 ?? false
  }
}

const SCHEMA1 = 'application/vnd.docker.distribution.manifest.v1+json'

type Json = { readonly [key: string]: unknown }

/** @param contentType as the upstream sent it. @throws ManifestError */
export function parseManifest(bytes: Uint8Array, contentType: string | null | undefined): Manifest {
  const json = parseJson(bytes)
  const mediaType = mediaTypeOf(json, essence(contentType))
  if (isSchema1(mediaType)) throw new ManifestError('it is a schema 1 manifest, which current clients refuse', { schema1: true })
  const kind = kindOfMediaType(mediaType) ?? kindOfShape(json)
  if (kind === undefined) throw new ManifestError(`it is JSON of type '${mediaType}', but no manifest`)
  if (contradicts(kind, json)) throw new ManifestError(`its type is '${mediaType}', but it reads as something else`)
  const config = readDescriptor(json.config)
  const subject = readDescriptor(json.subject)?.digest
  const artifactType = text(json.artifactType) ?? (kind === 'image' ? text(config?.mediaType) : undefined)
  const annotations = readAnnotations(json.annotations)
  return {
    kind,
    mediaType,
    blobs: kind === 'index' ? [] : unique([config, ...readDescriptors(json.layers), ...readDescriptors(json.blobs)]),
    manifests: kind === 'index' ? readDescriptors(json.manifests) : [],
    ...(subject === undefined ? {} : { subject }),
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(annotations === undefined ? {} : { annotations }),
  }
}

/** Made by BuildKit beside an image: nobody pulls its layers with the image. */
export function isAttestation(manifest: Manifest): boolean {
  return manifest.blobs.some((blob) => blob.mediaType === 'application/vnd.in-toto+json')
}

/** The config that says what an image is for; undefined for an artifact, which is for nothing in particular. */
export function imageConfigOf({ artifactType, blobs: [first] }: Manifest): Descriptor | undefined {
  return first !== undefined && first.mediaType === artifactType && isImageConfig(first.mediaType) ? first : undefined
}

/** What the config of an image says that it is for; undefined where it says nothing, or is none. */
export function platformOfConfig(bytes: Uint8Array): Platform | undefined {
  try {
    return readPlatform(parseJson(bytes))
  } catch (error) {
    if (error instanceof ManifestError) return undefined
    throw error
  }
}

function parseJson(bytes: Uint8Array): Json {
  const source = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
  if (isTooDeep(source)) throw new ManifestError(`it is nested more than ${MAX_DEPTH} levels deep`)
  let json: unknown
  try {
    json = JSON.parse(source)
  } catch (cause) {
    throw new ManifestError('it is not JSON', { cause })
  }
  if (!isObject(json)) throw new ManifestError('it is JSON, but not an object')
  return json
}

/** Whether JSON is nested so deep that reading or writing it could end the stack, or take seconds. */
export function isTooDeep(source: string): boolean {
  return hasManyBrackets(source) && nestsTooDeep(source)
}

/** Nearly all have too few of them to be deep, wherever they stand: looking for these is several times as fast as reading. */
function hasManyBrackets(source: string): boolean {
  let brackets = 0
  for (const bracket of ['{', '[']) {
    for (let at = source.indexOf(bracket); at >= 0; at = source.indexOf(bracket, at + 1)) if (++brackets > MAX_DEPTH) return true
  }
  return false
}

function nestsTooDeep(source: string): boolean {
  let depth = 0
  let quoted = false
  for (let i = 0; i < source.length; i++) {
    const char = source[i]
    if (char === '"') quoted = !quoted
    else if (quoted) i += char === '\\' ? 1 : 0
    else if (char === '{' || char === '[') depth++
    else if (char === '}' || char === ']') depth--
    if (depth > MAX_DEPTH) return true
  }
  return false
}

/**
 * What the manifest says of itself where it is a type we know, else the declared type if we know that, else what the shape says. The same bytes
 * have one type, whoever sent them: a wrong header of one registry must not follow them to the clients of another.
 */
function mediaTypeOf(json: Json, declared: string): string {
  const own = essence(text(json.mediaType))
  if (kindOfMediaType(own) !== undefined) return own
  if (kindOfMediaType(declared) !== undefined) return own === '' ? ociOfThatShape(json, declared) : declared
  if (saysAnything(own)) return own
  if (isSchema1(declared) || json.schemaVersion === 1) return SCHEMA1
  return typeOfShape(json) ?? declared
}

/**
 * Of bytes that do not name their type: the declared one, if it is OCI's and of the kind that the shape says. Docker's types and the artifact type
 * always name themselves (docker/distribution, image-spec), so that whoever declares one of them without that is wrong.
 */
function ociOfThatShape(json: Json, declared: string): string {
  const fits = (declared === OCI_INDEX || declared === OCI_MANIFEST) && kindOfShape(json) === kindOfMediaType(declared)
  return fits ? declared : (typeOfShape(json) ?? declared)
}

function typeOfShape(json: Json): string | undefined {
  const kind = kindOfShape(json)
  if (kind === 'index') return readDescriptors(json.manifests).some((d) => d.mediaType === DOCKER_MANIFEST) ? DOCKER_LIST : OCI_INDEX
  if (kind !== 'image') return undefined
  return readDescriptor(json.config)?.mediaType.startsWith('application/vnd.docker.') ? DOCKER_MANIFEST : OCI_MANIFEST
}

/** Whether a type can be sent on as it is: well-formed (RFC 6838 4.2), and none of those that servers send for want of a better one. */
function saysAnything(mediaType: string): boolean {
  return MEDIA_TYPE.test(mediaType) && !VAGUE.test(mediaType)
}

/** `schemaVersion` tells a manifest from other JSON: an image's configuration has a `config` of its own. */
function kindOfShape(json: Json): ManifestKind | undefined {
  if (json.mediaType === OCI_ARTIFACT) return 'artifact'
  if (json.schemaVersion !== 2) return undefined
  if (Array.isArray(json.manifests)) return 'index'
  return isObject(json.config) || Array.isArray(json.layers) ? 'image' : undefined
}

/** containerd refuses a body of one kind under the type of another. */
function contradicts(kind: ManifestKind, json: Json): boolean {
  const own = kindOfMediaType(essence(text(json.mediaType)))
  if (own !== undefined && own !== kind) return true
  return kind === 'index' ? Array.isArray(json.layers) : Array.isArray(json.manifests)
}

function readDescriptors(value: unknown): Descriptor[] {
  if (Array.isArray(value) && value.length > MAX_DESCRIPTORS) throw new ManifestError(`it lists more than ${MAX_DESCRIPTORS} descriptors`)
  return Array.isArray(value) ? value.map(readDescriptor).filter((descriptor) => descriptor !== undefined) : []
}

/** Descriptors this program could not act on (an unknown algorithm, no size) are left out; clients see them in the bytes all the same. */
function readDescriptor(value: unknown): Descriptor | undefined {
  if (!isObject(value)) return undefined
  const digest = text(value.digest)
  const size = value.size
  if (digest === undefined || !isDigest(digest) || typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) return undefined
  const mediaType = text(value.mediaType) ?? ''
  const foreign = (Array.isArray(value.urls) && value.urls.length > 0) || /\.foreign\.|\.nondistributable\./.test(mediaType)
  const plain = { mediaType, digest, sizeBytes: size, foreign }
  const { artifactType, annotations, platform } = value
  const hasMore = artifactType !== undefined || annotations !== undefined || platform !== undefined
  return hasMore ? withMore(plain, value) : plain // of very many descriptors nearly all are layers, which have no more
}

function withMore(plain: Descriptor, value: Json): Descriptor {
  const artifactType = text(value.artifactType)
  const annotations = readAnnotations(value.annotations)
  const platform = readPlatform(value.platform)
  return {
    ...plain,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(annotations === undefined ? {} : { annotations }),
    ...(platform === undefined ? {} : { platform }),
  }
}

/** Far more than any name needs; what else an index writes there names no platform. */
const PLATFORM_PART = /^[ -~]{1,64}$/

function readPlatform(value: unknown): Platform | undefined {
  if (!isObject(value)) return undefined
  const [os, architecture, variant] = [text(value.os), text(value.architecture), text(value.variant)]
  if (os === undefined || architecture === undefined) return undefined
  if (![os, architecture, variant ?? '-'].every((part) => PLATFORM_PART.test(part))) return undefined
  return variant === undefined ? { os, architecture } : { os, architecture, variant }
}

function readAnnotations(value: unknown): Record<string, string> | undefined {
  if (!isObject(value)) return undefined
  const entries = Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string')
  return entries.length === 0 ? undefined : Object.fromEntries(entries)
}

function unique(descriptors: readonly (Descriptor | undefined)[]): Descriptor[] {
  const byDigest = new Map<Digest, Descriptor>()
  for (const descriptor of descriptors)
    if (descriptor !== undefined && !byDigest.has(descriptor.digest)) byDigest.set(descriptor.digest, descriptor)
  return [...byDigest.values()]
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** An empty string counts as absent, as it does in Go. */
function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}
