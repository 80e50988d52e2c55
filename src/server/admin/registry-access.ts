/** How a registry is reached, in words without secrets: its address, and where credentials for it would come from. */
import type { Config, RegistryAuth } from '../../config/config.ts'
import { DOCKER_HUB, type Registry } from '../../oci/name.ts'

export type RegistryAccess = { readonly url: string; readonly credentials: string }

export function registryAccess(registry: Registry, config: Pick<Config, 'registries' | 'credsFile' | 'dockerConfig'>): RegistryAccess {
  const entry = config.registries.find(({ name, aliases }) => name === registry || aliases.includes(registry))
  const address = entry?.address ?? (registry === DOCKER_HUB ? 'registry-1.docker.io' : registry)
  const files = [config.credsFile === undefined ? [] : 'credsFile', config.dockerConfig === undefined ? [] : 'dockerConfig'].flat()
  const otherwise = files.length === 0 ? 'none: anonymous' : `what ${files.join(' or ')} has for it, if anything`
  return { url: `${entry?.scheme ?? 'https'}://${address}`, credentials: entry?.auth === undefined ? otherwise : kindOf(entry.auth) }
}

function kindOf(auth: RegistryAuth): string {
  if (!('user' in auth)) return 'the dockerConfig of its entry'
  return {
    config: 'user and password of its entry',
    env: 'user of its entry, password from the environment',
    file: 'user and passwordFile of its entry',
  }[auth.password.from]
}
