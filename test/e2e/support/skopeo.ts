/** skopeo: copies into a `dir:`, which keeps every byte as it came. */
import { mkdtemp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { contentOf } from './content-check.ts'
import { succeed } from './processes.ts'
import { readmeExample } from './readme.ts'
import { commandPath } from './requirements.ts'

export type SkopeoOptions = {
  readonly env: NodeJS.ProcessEnv
  /** Where it may write: policy and copies. */
  readonly directory: string
  /** Every platform of an index; else linux/amd64. */
  readonly all?: boolean
  /** Mirror mode: the registries.conf to use. */
  readonly registriesConf?: string
}

/** Copies `docker://<reference>` and answers with the digests of what it has then. Throws with skopeo's own words when it fails. */
export async function skopeoCopy(reference: string, { env, directory, all = false, registriesConf }: SkopeoOptions): Promise<string[]> {
  const policy = join(directory, 'policy.json')
  await writeFile(policy, JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }] }))
  const copy = await mkdtemp(join(directory, 'skopeo-'))
  const args = [
    ...['--policy', policy, '--tmpdir', directory, '--override-os', 'linux', '--override-arch', 'amd64'],
    ...(registriesConf === undefined ? [] : ['--registries-conf', registriesConf]),
    ...['copy', '--preserve-digests', ...(all ? ['--all'] : [])],
    ...(registriesConf === undefined ? ['--src-tls-verify=false'] : []),
    ...[`docker://${reference}`, `dir:${copy}`],
  ]
  await succeed(commandPath('skopeo'), args, { env: { ...env, HOME: directory }, cwd: directory })
  return contentOf(copy, /^version$/)
}

/** Writes the README's registries.conf, which names docker.io and quay.io, for the server at `mirror` (`host:port`); answers with its path. */
export async function writeRegistriesConf(directory: string, mirror: string): Promise<string> {
  const path = join(directory, 'registries.conf')
  await writeFile(path, await readmeExample(/^\[\[registry\]\]/, mirror))
  return path
}
