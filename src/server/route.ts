/**
 * What a path asks for. Five shapes arrive from real configurations; they differ in where the host stands, which
 * `which-registry.ts` sorts out. Names are greedy: a repository may have components called `blobs`, `manifests`, `tags` or `v2`.
 */

/** `prefix` is the segment before `/v2/`; `name` is everything between `v2` and the operation, hosts included. */
export type NamedRoute = { readonly prefix: string | undefined; readonly name: readonly string[] }

export type Route =
  | { readonly kind: 'root' }
  | { readonly kind: 'ping' }
  | ({ readonly kind: 'manifest'; readonly reference: string } & NamedRoute)
  | ({ readonly kind: 'blob'; readonly reference: string } & NamedRoute)
  | ({ readonly kind: 'referrers'; readonly reference: string } & NamedRoute)
  | ({ readonly kind: 'tags' } & NamedRoute)
  | { readonly kind: 'unknown'; readonly underV2: boolean }

const OPERATIONS: Readonly<Record<string, 'manifest' | 'blob' | 'referrers'>> = {
  manifests: 'manifest',
  blobs: 'blob',
  referrers: 'referrers',
}

/** @param segments of the path, decoded */
export function findRoute(segments: readonly string[]): Route {
  if (segments.length === 1 && segments[0] === '') return { kind: 'root' }
  const at = segments[0] === 'v2' ? 0 : segments[1] === 'v2' ? 1 : -1
  if (at < 0) return { kind: 'unknown', underV2: false }
  const prefix = at === 0 ? undefined : segments[0]
  const rest = segments.slice(at + 1)
  if (rest.length === 0 || (rest.length === 1 && rest[0] === '')) return { kind: 'ping' }
  const [operation = '', reference = ''] = rest.slice(-2)
  const name = rest.slice(0, -2)
  if (operation === 'tags' && reference === 'list') return { kind: 'tags', prefix, name }
  const kind = Object.hasOwn(OPERATIONS, operation) ? OPERATIONS[operation] : undefined
  if (kind === undefined || reference === '') return { kind: 'unknown', underV2: true }
  return { kind, prefix, name, reference }
}
