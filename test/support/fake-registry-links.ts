/** Signed links to a CDN, as registries hand them out: each is good for a while, and the registry gives a new one to whoever asks again. */
import type { ActiveFault, FaultRule } from './fake-registry-faults.ts'
import { cutAt, redirect, status } from './fake-registry-faults.ts'

/** What links need of a fake registry. */
type Faulty = { readonly origin: string; fault(rule: FaultRule): ActiveFault }

export type LinkLife = {
  /** Requests that each link is good for. Default: any number. */
  readonly requests?: number
  /** Bytes of a body after which the CDN ends the answer, and the link with it. Default: it serves all. */
  readonly bytes?: { readonly manifest: number; readonly blob: number }
}

/** From now on `registry` redirects to `cdn`, which holds the same content, and every link dies as `life` says: 403 from then on. Hits count the 403s and the cuts. */
export function expiringLinks(registry: Faulty, cdn: Faulty, life: LinkLife = {}): ActiveFault {
  const used = new Map<string, number>()
  const dead = new Set<string>()
  let issued = 0
  let hits = 0
  const links = registry.fault({
    match: { path: /^\/v2\/.+\/(?:blobs|manifests)\// },
    do: [
      redirect(({ kind, repository, reference }) => `${cdn.origin}/cdn/${kind}s/${repository}/${reference}?signature=secret-${++issued}`),
    ],
  })
  const expiry = cdn.fault({
    match: { path: /^\/cdn\// },
    do: [
      (answer, request) => {
        const signature = request.query.get('signature') ?? ''
        const uses = (used.get(signature) ?? 0) + 1
        used.set(signature, uses)
        if (dead.has(signature) || uses > (life.requests ?? Number.POSITIVE_INFINITY)) {
          hits++
          return status(403, {}, 'Request has expired')(answer, request)
        }
        const bytes = life.bytes?.[request.kind === 'manifest' ? 'manifest' : 'blob']
        if (bytes === undefined || answer.body.sizeBytes <= bytes) return
        hits++
        dead.add(signature)
        cutAt(bytes)(answer, request)
      },
    ],
  })
  return {
    get hits() {
      return hits
    },
    remove: () => {
      links.remove()
      expiry.remove()
    },
  }
}
