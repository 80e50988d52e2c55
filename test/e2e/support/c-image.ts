/** What the clients built on containers/image (skopeo, podman, buildah) have to be told: whom to trust, and which mirrors there are. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readmeExample } from './readme.ts'

/** A signature policy that asks for no signatures; its path. */
export async function writePolicy(directory: string): Promise<string> {
  const path = join(directory, 'policy.json')
  await writeFile(path, JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }] }))
  return path
}

/** Writes the README's registries.conf, which names docker.io and quay.io, for the server at `mirror` (`host:port`); answers with its path. */
export async function writeRegistriesConf(directory: string, mirror: string): Promise<string> {
  const path = join(directory, 'registries.conf')
  await writeFile(path, await readmeExample('toml', /^\[\[registry\]\]/, mirror))
  return path
}

/** A registries.conf that knows no mirror, whatever the machine's own says; its path. */
export async function writeEmptyRegistriesConf(directory: string): Promise<string> {
  const path = join(directory, 'no-mirrors.conf')
  await writeFile(path, '')
  return path
}
