/** Image names as people write them: `alpine`, `quay.io/org/app:1`, `localhost:5000/x:1@sha256:…`. What they leave out is as Docker has it. */
import { parseDigest } from './digest.ts'
import { OciError } from './error.ts'
import { asRegistry, DOCKER_HUB, parseRegistry, parseRepositoryOf, parseTag, type Registry, type Tag } from './name.ts'
import { formatReference, type Reference } from './reference.ts'

export type ImageName = {
  readonly reference: Reference
  /** The tag beside a digest, which decides. */
  readonly tag?: Tag
}

/** Other names of registries, as the configuration has them. */
export type RegistryAliases = ReadonlyMap<string, Registry>

const NO_ALIASES: RegistryAliases = new Map()

/** @throws OciError 400 with the part that is wrong */
export function parseImageName(text: string, aliases = NO_ALIASES): ImageName {
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text))
    throw new OciError(400, 'NAME_INVALID', `'${text}' is a URL: want a name such as quay.io/org/app:1`)
  const { registry, path } = splitRegistry(text, aliases)
  const [name, digest] = splitAt(path, '@')
  const [repositoryText, tagText] = splitAt(name, ':')
  const repository = parseRepositoryOf(registry, repositoryText)
  const tag = tagText === undefined ? undefined : parseTag(tagText)
  if (digest === undefined) return { reference: { registry, repository, tag: tag ?? parseTag('latest') } }
  return { reference: { registry, repository, digest: parseDigest(digest) }, ...(tag !== undefined && { tag }) }
}

/** Its one canonical spelling, with both tag and digest where it has both. */
export function formatImageName({ reference, tag }: ImageName): string {
  if (reference.digest === undefined || tag === undefined) return formatReference(reference)
  return `${reference.registry}/${reference.repository}:${tag}@${reference.digest}`
}

/** A first segment with a dot or a port in it, or `localhost`, is a registry; without one it is Docker Hub. */
function splitRegistry(text: string, aliases: RegistryAliases): { readonly registry: Registry; readonly path: string } {
  const [first, path] = splitAt(text, '/')
  if (path === undefined) return { registry: DOCKER_HUB, path: text }
  const known = aliases.get(asRegistry(first) ?? first)
  if (known !== undefined) return { registry: known, path }
  if (/[.:]/.test(first) || first.toLowerCase() === 'localhost') return { registry: parseRegistry(first), path }
  return { registry: DOCKER_HUB, path: text }
}

/** What stands before and behind the first `separator`. */
function splitAt(text: string, separator: string): [before: string, behind: string | undefined] {
  const at = text.indexOf(separator)
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)]
}
