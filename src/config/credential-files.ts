/** Reads the files with credentials when the program starts, so that a mistake in one is known before the first pull. */
import { readFile, stat } from 'node:fs/promises'
import type { CredentialFile } from '../oci/credential-file.ts'
import { parseDockerConfig } from '../oci/docker-config.ts'
import { parseCredsFile } from './creds-file.ts'
import { reasonOf } from './errno.ts'
import { ConfigError } from './error.ts'
import type { CommandLine } from './flags.ts'
import type { Section } from './section.ts'
import { settings } from './settings.ts'

/** A file, and where it is named: `config.yaml:3: credsFile`, `--creds-file`. */
type NamedFile = { readonly at: string; readonly path: string; readonly parse: (file: string, content: Buffer) => Promise<CredentialFile> }

/** @throws ConfigError for the first file that cannot be read, or has a mistake: with its own name, line and key */
export async function checkCredentialFiles(
  configFile: string,
  { values, lines }: Section<typeof settings>,
  flags: Pick<CommandLine, 'values'>,
): Promise<void> {
  const named = (key: 'credsFile' | 'dockerConfig', parse: NamedFile['parse']): NamedFile[] => {
    const isFlag = Object.hasOwn(flags.values, key)
    const path = isFlag ? flags.values[key] : values[key]
    return path === undefined ? [] : [{ at: isFlag ? settings[key].flag : `${configFile}:${lines[key]}: ${key}`, path, parse }]
  }
  const ofEntries = (values.registries ?? []).flatMap(({ values: { auth } }, i): NamedFile[] => {
    const path = auth?.values.dockerConfig
    const at = `${configFile}:${auth?.lines.dockerConfig}: registries[${i}].auth.dockerConfig`
    return path === undefined ? [] : [{ at, path, parse: parseDocker }]
  })
  for (const file of [...named('credsFile', parseCredsFile), ...named('dockerConfig', parseDocker), ...ofEntries]) await check(file)
}

async function check({ at, path, parse }: NamedFile): Promise<void> {
  const content = await read(path).catch((cause) => {
    throw new ConfigError(`${at}: cannot read ${path}: ${reasonOf(cause)}, want a readable file`, { cause })
  })
  await parse(path, content)
}

/** A pipe would be empty when it is read again. */
async function read(path: string): Promise<Buffer> {
  const stats = await stat(path)
  if (!stats.isFile() && !stats.isDirectory()) throw new Error('it is no regular file')
  return readFile(path)
}

async function parseDocker(file: string, content: Buffer): Promise<CredentialFile> {
  try {
    return parseDockerConfig(file, content.toString('utf8'))
  } catch (cause) {
    throw new ConfigError((cause as Error).message, { cause })
  }
}
