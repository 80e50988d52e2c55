/**
 * The copy of a manifest that the Go program keeps parsed in its records: its keys, in its order, as its encoder writes them. What it does not
 * know is left out, and so is what its decoder would refuse: it stops reading a store at the first record that it cannot decode.
 */

export type GoValue = string | number | null | readonly GoValue[] | GoObject
/** In the order in which the keys are written. */
export type GoObject = ReadonlyMap<string, GoValue>
type Json = { readonly [key: string]: unknown }

/** In the order in which records have them. */
export const COPY_KEYS = ['v1.oci.index', 'v1.oci.manifest', 'v2.docker.manifestList', 'v2.docker.manifest'] as const
export type CopyKey = (typeof COPY_KEYS)[number]

const COPIES: Readonly<Record<CopyKey, (json: Json) => GoObject>> = {
  'v1.oci.index': (json) =>
    object(
      ['schemaVersion', integer(json.schemaVersion)],
      unlessEmpty('mediaType', text(json.mediaType)),
      unlessEmpty('artifactType', text(json.artifactType)),
      ['manifests', list(json.manifests, ociDescriptor)],
      unlessEmpty('subject', pointer(json.subject, ociDescriptor)),
      unlessEmpty('annotations', texts(json.annotations)),
    ),
  'v1.oci.manifest': (json) =>
    object(
      ['schemaVersion', integer(json.schemaVersion)],
      unlessEmpty('mediaType', text(json.mediaType)),
      ['config', ociDescriptor(asObject(json.config))],
      ['layers', list(json.layers, ociDescriptor)],
      unlessEmpty('annotations', texts(json.annotations)),
      unlessEmpty('subject', pointer(json.subject, ociDescriptor)),
    ),
  'v2.docker.manifestList': (json) =>
    object(
      ['schemaVersion', integer(json.schemaVersion)],
      ['mediaType', text(json.mediaType)],
      ['manifests', list(json.manifests, dockerDescriptor)],
    ),
  'v2.docker.manifest': (json) =>
    object(
      ['schemaVersion', integer(json.schemaVersion)],
      unlessEmpty('mediaType', text(json.mediaType)),
      ['config', dockerDescriptor(asObject(json.config))],
      ['layers', list(json.layers, dockerDescriptor)],
    ),
}

/** @param json a parsed manifest; of anything but an object, the copy is the empty one */
export function parsedCopy(key: CopyKey, json: unknown): GoObject {
  return COPIES[key](asObject(json))
}

/** As Go's encoding/json writes it, which keeps what HTML and JavaScript could misread out of its output. */
export function goJson(value: GoValue): string {
  if (value === null) return 'null'
  if (typeof value === 'number') return String(value)
  if (typeof value === 'string') return JSON.stringify(value).replace(/[<>&\u2028\u2029]/g, escaped)
  if (isList(value)) return `[${value.map(goJson).join(',')}]`
  return `{${Array.from(value, ([key, field]) => `${goJson(key)}:${goJson(field)}`).join(',')}}`
}

function ociDescriptor(json: Json): GoObject {
  return object(
    ['mediaType', text(json.mediaType)],
    ['digest', text(json.digest)],
    ['size', integer(json.size)],
    unlessEmpty('urls', textList(json.urls)),
    unlessEmpty('annotations', texts(json.annotations)),
    unlessEmpty('data', base64(json.data)),
    unlessEmpty('platform', pointer(json.platform, platform)),
    unlessEmpty('artifactType', text(json.artifactType)),
  )
}

function dockerDescriptor(json: Json): GoObject {
  return object(
    unlessEmpty('mediaType', text(json.mediaType)),
    unlessEmpty('digest', text(json.digest)),
    unlessEmpty('size', integer(json.size)),
    unlessEmpty('urls', textList(json.urls)),
    unlessEmpty('annotations', texts(json.annotations)),
    unlessEmpty('platform', pointer(json.platform, platform)),
  )
}

function platform(json: Json): GoObject {
  return object(
    ['architecture', text(json.architecture)],
    ['os', text(json.os)],
    unlessEmpty('os.version', text(json['os.version'])),
    unlessEmpty('os.features', textList(json['os.features'])),
    unlessEmpty('variant', text(json.variant)),
  )
}

type Field = readonly [key: string, value: GoValue]

function object(...fields: readonly (Field | undefined)[]): GoObject {
  return new Map(fields.filter((field) => field !== undefined))
}

/** What Go calls `omitempty`; a pointer to an empty object is not empty. */
function unlessEmpty(key: string, value: GoValue): Field | undefined {
  const empty = value === '' || value === 0 || value === null || (isList(value) && value.length === 0)
  return empty ? undefined : [key, value]
}

/** Null for one that is missing, as Go writes a list that it never saw. */
function list(value: unknown, of: (json: Json) => GoObject): GoValue {
  return Array.isArray(value) ? value.filter((item) => item === null || isObject(item)).map((item) => of(asObject(item))) : null
}

function pointer(value: unknown, of: (json: Json) => GoObject): GoObject | null {
  return isObject(value) ? of(value) : null
}

/** A map of texts: Go sorts its keys by their bytes. Null for an empty one. */
function texts(value: unknown): GoObject | null {
  const entries = Object.entries(asObject(value)).filter(([, item]) => typeof item === 'string' || item === null)
  const sorted = entries.map(([key, item]) => [text(key), text(item)] as const).sort(([a], [b]) => Buffer.from(a).compare(Buffer.from(b)))
  return sorted.length === 0 ? null : new Map(sorted)
}

function textList(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string').map(text) : []
}

/** Half a surrogate pair is no UTF-8: Go has the replacement character for it. */
function text(value: unknown): string {
  return typeof value === 'string' ? value.replace(/\p{Surrogate}/gu, '\ufffd') : ''
}

function integer(value: unknown): number {
  return Number.isSafeInteger(value) ? (value as number) : 0
}

function base64(value: unknown): string {
  const encoded = text(value)
  return Buffer.from(encoded, 'base64').toString('base64') === encoded ? encoded : ''
}

function escaped(char: string): string {
  return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`
}

function asObject(value: unknown): Json {
  return isObject(value) ? value : {}
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isList(value: GoValue): value is readonly GoValue[] {
  return Array.isArray(value)
}
