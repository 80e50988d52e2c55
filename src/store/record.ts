/**
 * The record formats on disk: one JSON object per manifest in the form the Go program reads and writes, one per reference in ours.
 * Text in, values out; no file is touched here.
 */
import { hash } from 'node:crypto'
import { type Digest, digestFileName, digestOfFileName, parseDigest } from '../oci/digest.ts'
import { DOCKER_LIST, DOCKER_MANIFEST, kindOfMediaType, OCI_INDEX, OCI_MANIFEST } from '../oci/media-type.ts'
import { parseRegistry, parseRepositoryOf } from '../oci/name.ts'
import { formatReference, parseReference } from '../oci/reference.ts'
import { COPY_KEYS, type CopyKey, type GoValue, goJson, parsedCopy } from './parsed-copy.ts'
import type { ListedRecord, ManifestRecord, RefRecord } from './store.ts'

/** The record is no record: the file is damaged, foreign or not of this format. */
export class RecordError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'RecordError'
  }
}

type Json = { readonly [key: string]: unknown }

/** `type` numbers, as the Go program has them, and the key under which each keeps its parsed copy. */
const GO_TYPES: readonly { readonly mediaType: string; readonly key: CopyKey }[] = [
  { mediaType: DOCKER_LIST, key: 'v2.docker.manifestList' },
  { mediaType: DOCKER_MANIFEST, key: 'v2.docker.manifest' },
  { mediaType: OCI_INDEX, key: 'v1.oci.index' },
  { mediaType: OCI_MANIFEST, key: 'v1.oci.manifest' },
]
const GO_TYPE_UNDEFINED = 4
const BYTES = ',"bytes":"'

/** The directory a record lies in: `fat` for indexes, `img` for all others. */
export function recordDirectory(mediaType: string): 'fat' | 'img' {
  return kindOfMediaType(mediaType) === 'index' ? 'fat' : 'img'
}

/** One line, byte for byte what the Go program makes of the same manifest; what it does not know comes last. */
export function encodeRecord(record: ManifestRecord): string {
  const type = GO_TYPES.findIndex((candidate) => candidate.mediaType === record.mediaType)
  const own = type < 0 ? undefined : JSON.parse(record.bytes.toString('utf8'))
  const copies = COPY_KEYS.map((key) => [key, parsedCopy(key, key === GO_TYPES[type]?.key ? own : undefined)] as const)
  return goJson(
    new Map<string, GoValue>([
      ['type', type < 0 ? GO_TYPE_UNDEFINED : type],
      ['digest', digestFileName(record.digest)],
      ['imageUrl', record.imageUrl],
      ['bytes', record.bytes.toString('base64')],
      ...copies,
      ['created', formatLocalTime(record.createdMs)],
      ['pulled', formatLocalTime(record.pulledMs)],
      ['mediaType', record.mediaType],
      ['registry', record.registry],
      ['repository', record.repository],
    ]),
  )
}

/**
 * @param name of the file, which names the digest
 * @param fileTime its own, in ms since 1970: counts where a time is missing or unreadable
 * @throws RecordError
 */
export function decodeRecord(name: string, text: string, fileTime: () => number): ManifestRecord {
  return recordOf(name, parseObject(text), fileTime)
}

/**
 * As `decodeRecord`, for very many of them: the parsed copy of the manifest is half of a record, and nobody here reads it. What is wrong with that
 * alone is not noticed.
 */
export function decodeListedRecord(name: string, text: string, writtenMs: () => number): ListedRecord {
  const { digest, mediaType, bytes, imageUrl, registry, repository, createdMs, pulledMs } =
    decodeWithoutCopy(name, text, writtenMs) ?? decodeRecord(name, text, writtenMs)
  return { digest, mediaType, bytes, imageUrl, registry, repository, createdMs, pulledMs, writtenMs }
}

/** Undefined for what is not in the form in which we write records, and for what is damaged. */
function decodeWithoutCopy(name: string, text: string, fileTime: () => number): ManifestRecord | undefined {
  const start = text.indexOf(BYTES) + BYTES.length
  const end = text.indexOf('"', start)
  const rest = text.lastIndexOf(',"created":"')
  if (start < BYTES.length || rest < end) return undefined
  try {
    const json = JSON.parse(`${text.slice(0, start)}"${text.slice(rest)}`)
    json.bytes = text.slice(start, end)
    return recordOf(name, json, fileTime)
  } catch {
    return undefined
  }
}

function recordOf(name: string, json: Json, fileTime: () => number): ManifestRecord {
  const digest = digestOfFileName(name)
  if (digest === undefined) throw new RecordError(`its name '${name}' is no digest`)
  const imageUrl = wantText(json, 'imageUrl')
  const bytes = Buffer.from(wantText(json, 'bytes'), 'base64')
  if (bytes.byteLength === 0) throw new RecordError(`'bytes' is empty`)
  return asRecordError(() => {
    const reference = parseReference(imageUrl)
    const registry = parseRegistry(optionalText(json, 'registry') ?? reference.registry)
    return {
      digest,
      mediaType: optionalText(json, 'mediaType') || mediaTypeOfGoType(valueUnder(json, 'type')),
      bytes,
      imageUrl: formatReference(reference),
      registry,
      repository: parseRepositoryOf(registry, optionalText(json, 'repository') ?? reference.repository),
      createdMs: parseTime(valueUnder(json, 'created')) ?? fileTime(),
      pulledMs: parseTime(valueUnder(json, 'pulled')) ?? fileTime(),
    }
  })
}

/** The name of a reference's file: the hash of its canonical spelling. */
export function referenceFileName(reference: string): string {
  return hash('sha256', reference)
}

export function encodeRef(ref: RefRecord): string {
  const { reference, digest, createdMs, pulledMs, checkedMs } = ref
  return JSON.stringify({ reference, digest, created: iso(createdMs), pulled: iso(pulledMs), checked: iso(checkedMs) })
}

/** @throws RecordError */
export function decodeRef(text: string, fileTime: () => number): RefRecord {
  const json = parseObject(text)
  const reference = wantText(json, 'reference')
  asRecordError(() => parseReference(reference))
  return {
    reference,
    digest: wantDigest(json, 'digest'),
    createdMs: parseTime(json.created) ?? fileTime(),
    pulledMs: parseTime(json.pulled) ?? fileTime(),
    checkedMs: parseTime(json.checked) ?? fileTime(),
  }
}

/** `2026-11-20T17:15:21`, local wall time without a zone: what the Go program writes. */
export function formatLocalTime(ms: number): string {
  const time = new Date(ms)
  const two = (value: number) => String(value).padStart(2, '0')
  const date = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`
  return `${date}T${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`
}

/** A time with or without a zone (without: local); undefined if it is missing or says nothing, like a literal `$CREATED`. */
export function parseTime(value: unknown): number | undefined {
  if (typeof value !== 'string' || !/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2})?$/.test(value)) return undefined
  const ms = Date.parse(value)
  return Number.isNaN(ms) ? undefined : ms
}

function mediaTypeOfGoType(type: unknown): string {
  return (typeof type === 'number' ? GO_TYPES[type]?.mediaType : undefined) ?? ''
}

function iso(ms: number): string {
  return new Date(ms).toISOString()
}

function parseObject(text: string): Json {
  const json: unknown = asRecordError(() => JSON.parse(text))
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw new RecordError('it is not a JSON object')
  return json as Json
}

function wantText(json: Json, key: string): string {
  const value = optionalText(json, key)
  if (value === undefined) throw new RecordError(`'${key}' is missing or not text`)
  return value
}

function optionalText(json: Json, key: string): string | undefined {
  const value = valueUnder(json, key)
  return typeof value === 'string' ? value : undefined
}

/** Go writes keys in one case and reads them in any. */
function valueUnder(json: Json, key: string): unknown {
  if (Object.hasOwn(json, key)) return json[key]
  const inAnyCase = key.toLowerCase()
  const found = Object.keys(json).find((candidate) => candidate.toLowerCase() === inAnyCase)
  return found === undefined ? undefined : json[found]
}

function wantDigest(json: Json, key: string): Digest {
  const value = wantText(json, key)
  return asRecordError(() => parseDigest(value))
}

function asRecordError<T>(read: () => T): T {
  try {
    return read()
  } catch (cause) {
    throw new RecordError(cause instanceof Error ? cause.message : String(cause), { cause })
  }
}
