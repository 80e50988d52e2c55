/** The names in a reference: registry, repository and tag, each a type that only its parser makes. */
import { OciError } from './error.ts'

export type Registry = string & { readonly brand: 'Registry' }
export type Repository = string & { readonly brand: 'Repository' }
export type Tag = string & { readonly brand: 'Tag' }

/** Docker Hub's names; clients use all of them for one registry. */
const HUB_NAMES: ReadonlySet<string> = new Set(['docker.io', 'index.docker.io', 'registry-1.docker.io', 'registry.hub.docker.com'])
export const DOCKER_HUB = 'docker.io' as Registry

// distribution-spec "Pulling manifests": <name> and <tag>
const COMPONENT = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*'
const REPOSITORY = new RegExp(`^${COMPONENT}(?:/${COMPONENT})*$`)
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/
const HOST_LABEL = '[a-z0-9](?:[a-z0-9-]*[a-z0-9])?'
const HOST = new RegExp(`^(${HOST_LABEL}(?:\\.${HOST_LABEL})*|\\[[0-9a-f:.]+\\])(?::([1-9][0-9]{0,4}))?$`, 'i')
const MAX_HOST_LENGTH = 255 + 6
/** Many clients refuse longer ones (distribution-spec "Pulling manifests"). */
const MAX_REPOSITORY_LENGTH = 255

/** The registry that `text` names, lower-cased, Docker Hub and IPv6 addresses under their one name; undefined if it is no host or host:port. */
export function asRegistry(text: string): Registry | undefined {
  const match = text.length > MAX_HOST_LENGTH ? null : HOST.exec(text)
  if (match === null) return undefined
  const [, name = '', port] = match
  const host = asUrlHost(name.toLowerCase())
  if (host === undefined || Number(port ?? 1) > 65535) return undefined
  if (port !== undefined) return `${host}:${port}` as Registry
  return HUB_NAMES.has(host) ? DOCKER_HUB : (host as Registry)
}

/** The ports that may be left out, of https and http. */
const DEFAULT_PORT = /:(?:443|80)$/

/** Every spelling of a registry by name: with and without a port that may be left out, Docker Hub under all of its names. */
export function spellingsOf(registry: Registry): readonly Registry[] {
  const bare = asRegistry(registry.replace(DEFAULT_PORT, '')) ?? registry
  if (/:[0-9]+$/.test(bare)) return [registry]
  const hosts = bare === DOCKER_HUB ? [...HUB_NAMES] : [bare]
  return [bare, ...hosts.flatMap((host) => [`${host}:443` as Registry, `${host}:80` as Registry])]
}

/** Host names that a URL cannot spell otherwise: no address in disguise (its last label is none), nothing encoded (`xn--`). Making a URL costs 1 µs. */
const PLAIN_HOST = /^(?!(?:.*\.)?xn--)(?:[a-z0-9-]+\.)*[a-z][a-z0-9-]*$/

/** As a URL spells it; undefined for what no URL can hold (`[:::]`, `256.1.1.1`) and for disguised IPv4 addresses (`127.1`, `0x7f.1`). */
function asUrlHost(host: string): string | undefined {
  if (PLAIN_HOST.test(host)) return host
  const url = `http://${host}`
  if (!URL.canParse(url)) return undefined
  const { hostname } = new URL(url)
  return hostname === host || host.startsWith('[') ? hostname : undefined
}

/** @throws OciError 400 NAME_INVALID */
export function parseRegistry(text: string): Registry {
  const registry = asRegistry(text)
  if (registry !== undefined) return registry
  throw new OciError(400, 'NAME_INVALID', `'${clip(text)}' is not a registry: want host or host:port`)
}

/** Whether a path segment that nobody configured can only be a host: it has a dot or a port, and reads as one. */
export function looksLikeHost(segment: string): boolean {
  return /[.:]/.test(segment) && asRegistry(segment) !== undefined
}

/** @throws OciError 400 NAME_INVALID */
export function parseRepository(text: string): Repository {
  if (text.length <= MAX_REPOSITORY_LENGTH && REPOSITORY.test(text)) return text as Repository
  throw new OciError(400, 'NAME_INVALID', `'${clip(text)}' is not a repository name: want lower-case components joined by '/'`)
}

/** As `parseRepository`, with the `library/` that Docker Hub's official images have and people leave out. */
export function parseRepositoryOf(registry: Registry, text: string): Repository {
  const repository = parseRepository(text)
  return registry === DOCKER_HUB && !repository.includes('/') ? parseRepository(`library/${repository}`) : repository
}

export function isTag(text: string): text is Tag {
  return TAG.test(text)
}

/** @throws OciError 400 MANIFEST_INVALID; the distribution-spec has no code of its own for a bad tag */
export function parseTag(text: string): Tag {
  if (isTag(text)) return text
  throw new OciError(400, 'MANIFEST_INVALID', `'${clip(text)}' is not a tag: want up to 128 letters, digits, '.', '_' and '-'`)
}

/** Tags that tools make for signatures and referrers, `sha256-<hex>[.sig…]`. */
export function isMachineryTag(tag: Tag): boolean {
  return /^sha(?:256|512)-[0-9a-f]{64}/.test(tag)
}

/** As much of a name as a message shows. */
export function clip(text: string): string {
  return text.length > 100 ? `${text.slice(0, 100)}…` : text
}
