/** Whether clients may pull a repository, by `allow` and `deny`. They refuse names, not content: a layer is to be had under any name that may be pulled. */
import type { NameRules } from '../config/config.ts'
import { OciError } from '../oci/error.ts'
import type { Registry, Repository } from '../oci/name.ts'
import { matchesGlob, type ReferenceGlob } from '../oci/reference-glob.ts'

/** @throws OciError 403 DENIED, before anything is looked up or asked for */
export function refuseName(rules: NameRules, registry: Registry, repository: Repository): void {
  const why = whyRefused(rules, registry, repository)
  if (why !== undefined) throw new OciError(403, 'DENIED', why)
}

/** In a sentence for people; undefined for what may be pulled. */
export function whyRefused({ allow, deny }: NameRules, registry: Registry, repository: Repository): string | undefined {
  if (allow.length === 0 && deny.length === 0) return undefined
  const name = `${registry}/${repository}`
  const matches = (glob: ReferenceGlob) => matchesGlob(glob, name)
  const denied = deny.find(matches)
  if (denied !== undefined) return `${name} may not be pulled through this server: deny has '${denied.text}' in its configuration`
  if (allow.length === 0 || allow.some(matches)) return undefined
  return `${name} may not be pulled through this server: nothing in allow matches it, in its configuration`
}
