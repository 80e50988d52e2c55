/** Globs on references by tag, `docker.io/library/*:latest`, and on repositories, `docker.io/library/*`. `*` stops at `/` and `:`, `**` does not; everything else is itself. */
import { asRegistry, DOCKER_HUB, type Registry } from './name.ts'

export type ReferenceGlob = {
  /** In the spelling of canonical references: `docker.io/library/alpine:*`. */
  readonly text: string
  /** Literal text, `*` and `**`, in turn. */
  readonly parts: readonly string[]
}

const WITHIN = '*'
const ACROSS = '**'
/** Nothing else stands in a reference; `[` and `]` only around an IPv6 address. */
const SHAPE = /^(?:\[[0-9a-fA-F:.]+\])?[\w.:/*-]+$/

/**
 * Names in it are made canonical, as those of references are: `index.docker.io/alpine:*` becomes `docker.io/library/alpine:*`.
 * @returns undefined for what matches no reference: other characters, no slash, no tag, `***`
 */
export function parseReferenceGlob(text: string): ReferenceGlob | undefined {
  if (!SHAPE.test(text) || text.includes('***') || !namesAllParts(text)) return undefined
  return canonical(text)
}

/**
 * The same for `registry/repository`, without a tag. A registry alone is all that is in it: `ghcr.io`, `localhost:5000`.
 * @returns undefined for what matches no repository
 */
export function parseRepositoryGlob(text: string): ReferenceGlob | undefined {
  if (!SHAPE.test(text) || text.includes('***')) return undefined
  const slash = text.indexOf('/')
  if (slash < 0) return text.includes(ACROSS) ? canonical(text) : canonical(`${text}/**`)
  const repository = text.slice(slash + 1)
  return repository === '' || repository.includes(':') ? undefined : canonical(text)
}

/** Undefined where the registry is none. */
function canonical(text: string): ReferenceGlob | undefined {
  const slash = text.indexOf('/')
  const host = slash < 0 ? text : text.slice(0, slash)
  if (host.includes(WITHIN)) return globOf(text)
  const registry = asRegistry(host)
  return registry === undefined ? undefined : withRegistry(registry, text.slice(slash + 1))
}

/** The registry that it is about, where it names one. */
export function registryOfGlob({ text }: ReferenceGlob): Registry | undefined {
  return asRegistry(text.slice(0, text.indexOf('/')))
}

/** The same glob for another registry: an alias gives way to the name that references have. */
export function withRegistryOfGlob({ text }: ReferenceGlob, registry: Registry): ReferenceGlob {
  return withRegistry(registry, text.slice(text.indexOf('/') + 1))
}

/** @param reference in canonical spelling. Takes no more steps than glob and reference have characters, multiplied. */
export function matchesGlob({ parts }: ReferenceGlob, reference: string): boolean {
  let ends = new Set([0]) // how far the parts so far may reach
  for (const part of parts) {
    const next = new Set<number>()
    for (const end of ends) for (const reached of endsOf(part, reference, end)) next.add(reached)
    ends = next
  }
  return ends.has(reference.length)
}

function* endsOf(part: string, text: string, start: number): Generator<number> {
  if (part !== WITHIN && part !== ACROSS) {
    if (text.startsWith(part, start)) yield start + part.length
    return
  }
  yield start
  for (let at = start; at < text.length && (part === ACROSS || (text[at] !== '/' && text[at] !== ':')); at++) yield at + 1
}

/** A reference has a slash, and a colon behind the last one. */
function namesAllParts(text: string): boolean {
  const last = text.slice(text.lastIndexOf('/') + 1)
  return (text.includes('/') || text.includes(ACROSS)) && (last.includes(':') || last.includes(ACROSS))
}

/** @param rest repository and tag; Docker Hub's official images have a `library/` that people leave out */
function withRegistry(registry: Registry, rest: string): ReferenceGlob {
  const isOfficial = registry === DOCKER_HUB && !rest.includes('/') && !rest.split(':', 1)[0]?.includes(ACROSS)
  return globOf(`${registry}/${isOfficial ? 'library/' : ''}${rest}`)
}

function globOf(text: string): ReferenceGlob {
  return { text, parts: text.split(/(\*+)/).filter((part) => part !== '') }
}
