/** The table of the admin API: every path, its methods and its parameters. `docs/openapi.yaml` describes the same. */

export type AdminMethod = 'DELETE' | 'GET' | 'HEAD' | 'POST'

export type Operation = 'stop' | 'prune' | 'listImages' | 'listBlobs' | 'listManifests' | 'prefetch' | 'status' | 'explain'

export type AdminRoute = {
  readonly path: string
  readonly operation: Operation
  /** A HEAD would promise what only a GET does: so there is none where that changes something. */
  readonly methods: readonly AdminMethod[]
  readonly parameters: readonly string[]
  /** Those of them that may be given more than once. */
  readonly repeatable?: readonly string[]
  /** Whether it may have a body; all others are refused with one. */
  readonly takesBody?: true
}

const READ: readonly AdminMethod[] = ['GET', 'HEAD']

export const ADMIN_ROUTES: readonly AdminRoute[] = [
  { path: '/cmd/stop', operation: 'stop', methods: ['GET', 'POST'], parameters: [] },
  {
    path: '/cmd/prune',
    operation: 'prune',
    methods: ['DELETE', 'POST'],
    parameters: ['type', 'dur', 'expr', 'maxSize', 'keep', 'count', 'dryRun'],
  },
  { path: '/cmd/image/list', operation: 'listImages', methods: READ, parameters: ['pattern', 'digest', 'count'] },
  { path: '/cmd/blob/list', operation: 'listBlobs', methods: READ, parameters: ['substr', 'count'] },
  { path: '/cmd/manifest/list', operation: 'listManifests', methods: READ, parameters: ['pattern', 'count'] },
  { path: '/cmd/prefetch', operation: 'prefetch', methods: ['POST'], parameters: ['ref'], repeatable: ['ref'], takesBody: true },
  { path: '/cmd/status', operation: 'status', methods: READ, parameters: [] },
  { path: '/cmd/explain', operation: 'explain', methods: READ, parameters: ['ref'] },
]

/** All that begins with `/cmd/`, but for the pull API of a registry that somebody has given the alias `cmd`. */
const ADMIN_PATH = /^\/cmd\/(?!v2(?:[/?]|$))/

export function isForAdmin(url: string): boolean {
  return ADMIN_PATH.test(url)
}

export function findAdminRoute(path: string): AdminRoute | undefined {
  return ADMIN_ROUTES.find((route) => route.path === path)
}
