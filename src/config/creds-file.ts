/** Reads `credsFile`: YAML of registries, or of repositories below a path of one, to user name and password. Shows no password in an error. */
import type { CredentialFile } from '../oci/credential-file.ts'
import { asRegistryPrefix, type RegistryPrefix } from '../oci/registry-prefix.ts'
import { ConfigError } from './error.ts'
import { Findings } from './findings.ts'
import { mapOf, type Table, type Values } from './section.ts'
import { type Entry, kindOf, showKey } from './tree.ts'
import { anyText, registryName } from './value-types.ts'
import { readYaml } from './yaml.ts'

type Stored = CredentialFile['credentials'][number]

const credsTable = {
  username: { type: anyText, help: 'The user name.' },
  password: { type: anyText, help: 'The password.' },
} as const satisfies Table
const credsEntry = mapOf(credsTable)

/**
 * @param file named in errors
 * @throws ConfigError for the first mistake: file, line, key
 */
export async function parseCredsFile(file: string, content: Uint8Array): Promise<CredentialFile> {
  const findings = new Findings(file)
  const tree = await readYaml(file, decode(file, content))
  if (tree.kind !== 'map' && tree.kind !== 'empty') {
    throw new ConfigError(`${file}:${tree.line}: the file: found ${kindOf(tree)}, want a map of registries with username and password`)
  }
  const entries = tree.kind === 'map' ? tree.entries : []
  const read = entries.map((entry) => readEntry(entry, findings))
  refuseTwice(entries, findings)
  findings.throwFirst() // before what is missing: a slip in 'password' would make a user without one
  const credentials = read.flatMap((each) => (each === undefined ? [] : (toStored(each, findings) ?? [])))
  findings.throwFirst()
  return { credentials, helpers: [], store: undefined }
}

type Read = { readonly at: string; readonly line: number; readonly prefix: RegistryPrefix; readonly values: Values<typeof credsTable> }

function readEntry({ key, line, value }: Entry, findings: Findings): Read | undefined {
  const prefix = asRegistryPrefix(key)
  if (prefix === undefined) {
    findings.mistake(
      line,
      showAsName(key),
      'found a key that is no registry, want host, host:port, or one of them with a path: host/org/team',
    )
    return undefined
  }
  const at = showKey(key)
  const section = credsEntry.read({ ...value, line }, at, findings)
  return section === undefined ? undefined : { at, line, prefix, values: section.values }
}

function toStored({ at, line, prefix, values: { username, password } }: Read, findings: Findings): Stored | undefined {
  if (username === undefined) findings.mistake(line, `${at}.username`, 'found nothing, want the user name')
  if (password === undefined) findings.mistake(line, `${at}.password`, 'found nothing, want the password')
  return username === undefined || password === undefined
    ? undefined
    : { prefix, credential: { kind: 'password', user: username, password } }
}

/** A password before an `@` is not shown. */
function showAsName(key: string): string {
  return registryName.show({ text: key, quoted: true, isText: true })
}

/** Docker Hub's names are one. */
function refuseTwice(entries: readonly Entry[], findings: Findings): void {
  const first = new Map<string, number>()
  for (const { key, line } of entries) {
    const prefix = asRegistryPrefix(key)
    if (prefix === undefined) continue
    const name = nameOf(prefix)
    const earlier = first.get(name)
    if (earlier === undefined) first.set(name, line)
    else findings.mistake(line, showKey(key), `found ${name} a second time (first in line ${earlier}), want it once`)
  }
}

function nameOf({ registry, path }: RegistryPrefix): string {
  return path === '' ? registry : `${registry}/${path}`
}

function decode(file: string, content: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(content)
  } catch (cause) {
    throw new ConfigError(`${file}: found bytes that are no UTF-8, want text`, { cause })
  }
}
