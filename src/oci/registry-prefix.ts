/** The keys of files with credentials: a registry, or all repositories of it below a path. */
import { asRegistry, DOCKER_HUB, parseRepository, type Registry, type Repository } from './name.ts'

export type RegistryPrefix = {
  readonly registry: Registry
  /** Whole segments: `library`, `org/team`; empty: the whole registry. */
  readonly path: string
}

/** `host[:port][/path]`, Docker Hub under its one name; undefined for what is none. */
export function asRegistryPrefix(text: string): RegistryPrefix | undefined {
  const slash = text.indexOf('/')
  const registry = asRegistry(slash < 0 ? text : text.slice(0, slash))
  const path = slash < 0 ? '' : text.slice(slash + 1).replace(/\/$/, '')
  return registry === undefined || !isPath(path) ? undefined : { registry, path }
}

/**
 * Also in the forms that `docker login` and its ancestors wrote: `https://index.docker.io/v1/`, `https://host/v2/`. Behind a scheme, and where it is
 * only the version of an API, the path means nothing.
 */
export function asDockerKey(text: string): RegistryPrefix | undefined {
  const [, scheme, rest = ''] = /^(https?:\/\/)?(.*)$/is.exec(text) ?? []
  const host = rest.split('/', 1)[0] ?? ''
  const onlyHost = scheme !== undefined || /^[^/]+\/v[12]\/?$/.test(rest)
  return asRegistryPrefix(onlyHost ? host : rest)
}

/** The key under which clients of Docker keep the credentials of a registry in a store. */
export function dockerServerOf(registry: Registry): string {
  return registry === DOCKER_HUB ? 'https://index.docker.io/v1/' : registry
}

/** Of the prefixes that a repository is below the longest, by whole segments: `org/team` is not above `org/teamwork`. */
export function mostSpecific<T extends { readonly prefix: RegistryPrefix }>(
  all: readonly T[],
  registry: Registry,
  repository: Repository,
): T | undefined {
  const above = all.filter(({ prefix }) => prefix.registry === registry && `${repository}/`.startsWith(prefix.path && `${prefix.path}/`))
  return above.sort((a, b) => b.prefix.path.length - a.prefix.path.length)[0]
}

function isPath(path: string): boolean {
  try {
    return path === '' || parseRepository(path) === path
  } catch {
    return false
  }
}
