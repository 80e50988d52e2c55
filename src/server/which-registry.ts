/**
 * Which registry a request names, and which repository there: `?ns=` wins; then a first path segment that is a host; then a
 * `/<host>/v2/` prefix; then `X-Registry`; then the default. A decision without I/O.
 */
import type { RegistryConfig } from '../config/config.ts'
import { OciError } from '../oci/error.ts'
import { asRegistry, clip, looksLikeHost, parseRepositoryOf, type Registry, type Repository } from '../oci/name.ts'

export type RegistryRequest = {
  /** `?ns=`, decoded; undefined where it is absent, empty, or names this very server. */
  readonly ns: string | undefined
  /** The segment before `/v2/`. */
  readonly prefix: string | undefined
  /** `X-Registry`. */
  readonly header: string | undefined
  /** What stands between `/v2/` and the operation. */
  readonly name: readonly string[]
}

export type RegistryNames = {
  /** Configured names and aliases, in lower case, and the registry each stands for. */
  readonly configured: ReadonlyMap<string, Registry>
  readonly defaultNs: Registry
}

/** Every configured name and alias, and the registry that it stands for. */
export function configuredNames(registries: readonly RegistryConfig[]): ReadonlyMap<string, Registry> {
  return new Map(registries.flatMap(({ name, aliases }) => [name, ...aliases].map((known) => [known, name])))
}

/** @throws OciError 404 NAME_UNKNOWN for a host that is none or contradicts another, 400 NAME_INVALID for a bad repository */
export function whichRegistry(
  request: RegistryRequest,
  names: RegistryNames,
): { readonly registry: Registry; readonly repository: Repository } {
  const { prefix, name } = request
  const inPath = name.length > 1 ? hostIn(name[0] ?? '', names) : undefined
  const inPrefix = prefix === undefined ? undefined : hostIn(prefix, names)
  if (prefix !== undefined && inPrefix === undefined) throw unknownName(`'${clip(prefix)}' is not a registry`)
  const named = request.ns === undefined ? undefined : wantHost(request.ns, names)
  if (named !== undefined && inPrefix !== undefined && inPrefix !== named) {
    throw unknownName(`the path says ${clip(prefix ?? '')}, but ns says ${clip(request.ns ?? '')}`)
  }
  const registry = named ?? inPath ?? inPrefix ?? (request.header === undefined ? names.defaultNs : wantHost(request.header, names))
  const repository = inPath === registry ? name.slice(1) : name
  return { registry, repository: parseRepositoryOf(registry, repository.join('/')) }
}

/** The registry that a path segment names: a configured one, or one that can only be a host. */
function hostIn(segment: string, names: RegistryNames): Registry | undefined {
  return names.configured.get(segment.toLowerCase()) ?? (looksLikeHost(segment) ? resolve(segment, names) : undefined)
}

function wantHost(text: string, names: RegistryNames): Registry {
  const registry = resolve(text, names)
  if (registry === undefined) throw unknownName(`'${clip(text)}' is not a registry`)
  return registry
}

function resolve(text: string, names: RegistryNames): Registry | undefined {
  const registry = asRegistry(text)
  return registry === undefined ? undefined : (names.configured.get(registry) ?? registry)
}

function unknownName(message: string): OciError {
  return new OciError(404, 'NAME_UNKNOWN', message)
}
