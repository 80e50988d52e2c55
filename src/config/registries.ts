/** Turns the entries of `registries` into what the server goes by, and judges what no key alone can: which of them fit together. */
import { DOCKER_HUB, type Registry } from '../oci/name.ts'
import type { PasswordSource, RegistryAuth, RegistryConfig, RegistryTls } from './config.ts'
import type { Findings, Named } from './findings.ts'
import type { RegistrySection } from './settings.ts'
import { addressOf } from './value-types.ts'

type AuthSection = NonNullable<RegistrySection['values']['auth']>
type TlsSection = NonNullable<RegistrySection['values']['tls']>

const PASSWORD_KEYS = ['password', 'passwordFromEnv', 'passwordFile'] as const
const USER_KEYS = ['user', ...PASSWORD_KEYS] as const

/** What entries name outside of the file; somebody else looks whether it is there. */
export type NamedOutside = { readonly files: Named[]; readonly variables: Named[] }

/**
 * @param entries whose values are all allowed, each by itself
 * @returns entries that can be used only if `findings` has no mistake
 */
export function toRegistries(entries: readonly RegistrySection[], findings: Findings): RegistryConfig[] {
  const registries = entries.map((entry, i) => new EntryReader(entry, `registries[${i}]`, findings).read())
  refuseSharedNames(entries, registries, findings)
  return registries
}

/** The files and variables that the entries name. */
export function namedOutside(entries: readonly RegistrySection[]): NamedOutside {
  const named: NamedOutside = { files: [], variables: [] }
  entries.forEach(({ values: { auth, tls } }, i) => {
    const at = `registries[${i}]`
    for (const key of ['ca', 'cert', 'key'] as const) addNamed(named.files, `${at}.tls.${key}`, tls?.lines[key], tls?.values[key])
    addNamed(named.files, `${at}.auth.passwordFile`, auth?.lines.passwordFile, auth?.values.passwordFile)
    addNamed(named.variables, `${at}.auth.passwordFromEnv`, auth?.lines.passwordFromEnv, auth?.values.passwordFromEnv)
  })
  return named
}

function addNamed(to: Named[], key: string, line: number | undefined, name: string | undefined): void {
  if (line !== undefined && name !== undefined) to.push({ line, key, name })
}

/** Docker Hub's names are one by now; an entry may repeat its own. */
function refuseSharedNames(entries: readonly RegistrySection[], registries: readonly RegistryConfig[], findings: Findings): void {
  const owners = new Map<Registry, number>()
  registries.forEach(({ name, aliases }, i) => {
    for (const each of [name, ...aliases]) {
      const owner = owners.get(each) ?? i
      owners.set(each, owner)
      if (owner === i) continue
      const { line = 0, lines = {} } = entries[i] ?? {}
      const key = each === name ? 'name' : 'aliases'
      const earlier = `registries[${owner}] (line ${entries[owner]?.line}) has already`
      findings.mistake(lines[key] ?? line, `registries[${i}].${key}`, `found ${each}, which ${earlier}, want each name in one entry`)
    }
  })
}

class EntryReader {
  readonly #entry: RegistrySection
  readonly #at: string
  readonly #findings: Findings

  constructor(entry: RegistrySection, at: string, findings: Findings) {
    this.#entry = entry
    this.#at = at
    this.#findings = findings
  }

  read(): RegistryConfig {
    const { name = this.#nameless(), aliases = [], url, auth, tls } = this.#entry.values
    const scheme = this.#scheme()
    const credentials = auth === undefined ? undefined : this.#credentials(auth)
    return {
      name,
      aliases: [...new Set(aliases)].filter((alias) => alias !== name),
      scheme,
      address: url?.address ?? addressOf(name),
      ...(credentials === undefined ? {} : { auth: credentials }),
      tls: tls === undefined ? { insecureSkipVerify: false } : this.#tls(tls, scheme),
    }
  }

  #nameless(): Registry {
    this.#mistake(this.#entry.line, 'name', 'found nothing, want a registry: host or host:port')
    return DOCKER_HUB // a stand-in: the mistake keeps the entry from being used
  }

  #scheme(): 'http' | 'https' {
    const { values, lines } = this.#entry
    const { url, scheme = url?.scheme ?? 'https' } = values
    if (url !== undefined && url.scheme !== scheme) {
      this.#mistake(lines.scheme, 'scheme', `found ${scheme} beside a url with ${url.scheme}, want the same or only url`)
    }
    return scheme
  }

  #credentials({ values, lines }: AuthSection): RegistryAuth | undefined {
    const { dockerConfig } = values
    if (dockerConfig !== undefined) {
      const other = USER_KEYS.find((key) => lines[key] !== undefined)
      if (other !== undefined) this.#mistake(lines[other], `auth.${other}`, 'found beside dockerConfig, want one of the two')
      return { dockerConfig }
    }
    const [source, second] = PASSWORD_KEYS.filter((key) => lines[key] !== undefined).sort((a, b) => (lines[a] ?? 0) - (lines[b] ?? 0))
    const want = `want one of ${PASSWORD_KEYS.join(', ')}`
    if (second !== undefined) this.#mistake(lines[second], `auth.${second}`, `found beside ${source}, ${want}`)
    if (source !== undefined && lines.user === undefined) this.#mistake(lines[source], `auth.${source}`, 'found without user, want both')
    if (source === undefined && lines.user !== undefined) this.#mistake(lines.user, 'auth.user', `found without a password, ${want}`)
    const password = passwordSource(values)
    return values.user === undefined || password === undefined ? undefined : { user: values.user, password }
  }

  #tls({ line, values, lines }: TlsSection, scheme: 'http' | 'https'): RegistryTls {
    const { ca, cert, key, insecureSkipVerify = false } = values
    if (scheme === 'http' && (insecureSkipVerify || ca !== undefined || cert !== undefined || key !== undefined)) {
      this.#mistake(this.#entry.lines.tls ?? line, 'tls', 'found settings for a registry with scheme http, want https or no tls')
    }
    if (lines.cert !== undefined && lines.key === undefined) this.#mistake(lines.cert, 'tls.cert', 'found without key, want both or none')
    if (lines.key !== undefined && lines.cert === undefined) this.#mistake(lines.key, 'tls.key', 'found without cert, want both or none')
    return {
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
      insecureSkipVerify,
    }
  }

  #mistake(line: number | undefined, key: string, problem: string): void {
    this.#findings.mistake(line ?? this.#entry.line, `${this.#at}.${key}`, problem)
  }
}

function passwordSource({ password, passwordFromEnv, passwordFile }: AuthSection['values']): PasswordSource | undefined {
  if (password !== undefined) return { from: 'config', password }
  if (passwordFromEnv !== undefined) return { from: 'env', variable: passwordFromEnv }
  return passwordFile === undefined ? undefined : { from: 'file', path: passwordFile }
}
