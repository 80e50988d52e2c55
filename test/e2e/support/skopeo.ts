/** skopeo: copies into a `dir:`, which keeps every byte as it came. */
import { mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import { writePolicy } from './c-image.ts'
import { contentOf } from './content-check.ts'
import { succeed } from './processes.ts'
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
  const policy = await writePolicy(directory)
  const copy = await mkdtemp(join(directory, 'skopeo-'))
  const args = [
    ...['--policy', policy, '--tmpdir', directory, '--override-os', 'linux', '--override-arch', 'amd64'],
    ...(registriesConf === undefined ? [] : ['--registries-conf', registriesConf]),
    ...['copy', '--preserve-digests', ...(all ? ['--all'] : [])],
    ...(registriesConf === undefined ? ['--src-tls-verify=false'] : []),
    ...[`docker://${reference}`, `dir:${copy}`],
  ]
  await succeed(commandPath('skopeo'), args, { env: { ...env, HOME: directory, XDG_RUNTIME_DIR: directory }, cwd: directory })
  return contentOf(copy, /^version$/)
}
