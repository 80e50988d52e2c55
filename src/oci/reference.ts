/** References: registry + repository + (tag or digest), and their one canonical spelling. */
import { type Digest, parseDigest } from './digest.ts'
import { OciError } from './error.ts'
import { asRegistry, clip, parseRepositoryOf, parseTag, type Registry, type Repository, type Tag } from './name.ts'

export type TagReference = { readonly registry: Registry; readonly repository: Repository; readonly tag: Tag; readonly digest?: undefined }
export type DigestReference = {
  readonly registry: Registry
  readonly repository: Repository
  readonly digest: Digest
  readonly tag?: undefined
}
export type Reference = TagReference | DigestReference

/** `docker.io/library/alpine:3` or `quay.io/x/y@sha256:…`. Registry and repository cannot run into each other: only a registry is a host. */
export function formatReference(reference: Reference): string {
  const { registry, repository } = reference
  return reference.digest === undefined ? `${registry}/${repository}:${reference.tag}` : `${registry}/${repository}@${reference.digest}`
}

/** @param target a tag or a digest. @throws OciError 400 with the part that is wrong */
export function makeReference(registry: Registry, repository: string, target: string): Reference {
  const name = parseRepositoryOf(registry, repository)
  if (target.includes(':')) return { registry, repository: name, digest: parseDigest(target) }
  return { registry, repository: name, tag: parseTag(target) }
}

/**
 * Reads a full reference: `host[:port]/repository:tag` or `…@digest`. With both, the digest decides, as with every client.
 * @throws OciError 400 with the part that is wrong
 */
export function parseReference(text: string): Reference {
  const slash = text.indexOf('/')
  const registry = slash < 0 ? undefined : asRegistry(text.slice(0, slash))
  if (registry === undefined) {
    throw new OciError(400, 'NAME_INVALID', `'${clip(text)}' names no registry: want host/repository:tag or host/repository@digest`)
  }
  const rest = text.slice(slash + 1)
  const at = rest.indexOf('@')
  const name = at < 0 ? rest : rest.slice(0, at)
  const colon = name.indexOf(':')
  const repository = colon < 0 ? name : name.slice(0, colon)
  const tag = colon < 0 ? undefined : parseTag(name.slice(colon + 1))
  if (at >= 0) return makeReference(registry, repository, parseDigest(rest.slice(at + 1)))
  if (tag === undefined) throw new OciError(400, 'MANIFEST_INVALID', `'${clip(text)}' has neither a tag nor a digest`)
  return makeReference(registry, repository, tag)
}
