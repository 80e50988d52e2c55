/** Docker's `config.json` and podman's `auth.json`: what they say about credentials. Never shows a value in an error: it may be a secret. */
import type { CredentialFile, StoredCredential } from './credential-file.ts'
import { clip } from './name.ts'
import { asDockerKey, type RegistryPrefix } from './registry-prefix.ts'

type Json = Readonly<Record<string, unknown>>

/** `docker-credential-<name>` is looked for in PATH: no path, no option. */
const HELPER_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/

/**
 * Other keys, and registries under names that are none, are passed over: the file is other programs', too.
 * @param file named in errors: `FILE:3: not JSON`, `FILE: auths."quay.io".auth: …`
 * @throws Error with one line for a person
 */
export function parseDockerConfig(file: string, text: string): CredentialFile {
  const config = parseJson(file, text.replace(/^\ufeff/, ''))
  if (!isMap(config)) throw new Error(`${file}: found no map, want the config.json of Docker or the auth.json of podman`)
  const { credsStore } = config
  return {
    credentials: mapAt(config, 'auths', file).flatMap(([prefix, key, entry]) => {
      const credential = readEntry(entry, `${file}: auths.${JSON.stringify(clip(key))}`)
      return credential === undefined ? [] : [{ prefix, credential }]
    }),
    helpers: mapAt(config, 'credHelpers', file).flatMap(([prefix, key, name]) => {
      return name === '' ? [] : [{ prefix, helper: helperName(name, `${file}: credHelpers.${JSON.stringify(clip(key))}`), server: key }]
    }),
    store: credsStore === undefined || credsStore === '' ? undefined : helperName(credsStore, `${file}: credsStore`),
  }
}

/** The parser's own words may quote the text around the mistake, so only its place is taken from them. */
function parseJson(file: string, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    const { message } = error as Error
    const end = message.startsWith('Unexpected end') ? text.length : undefined
    const at = Number(/at position (\d+)/.exec(message)?.[1] ?? end)
    throw new Error(`${file}${Number.isNaN(at) ? '' : `:${text.slice(0, at).split('\n').length}`}: not JSON`)
  }
}

function mapAt(config: Json, name: string, file: string): [prefix: RegistryPrefix, key: string, value: unknown][] {
  const map = config[name] ?? {}
  if (!isMap(map)) throw new Error(`${file}: ${name}: found no map, want one of registries`)
  return Object.entries(map).flatMap(([key, value]) => {
    const prefix = asDockerKey(key)
    return prefix === undefined ? [] : [[prefix, key, value]]
  })
}

/** Undefined for the empty entry that Docker leaves behind for what is in a store. */
function readEntry(entry: unknown, at: string): StoredCredential | undefined {
  if (!isMap(entry)) throw new Error(`${at}: found no map, want one with auth`)
  const { auth, username, password, identitytoken } = entry
  for (const [name, value] of Object.entries({ auth, username, password, identitytoken })) {
    if (value !== undefined && typeof value !== 'string') throw new Error(`${at}.${name}: found something else, want text`)
  }
  if (typeof identitytoken === 'string' && identitytoken !== '') return { kind: 'identityToken', token: identitytoken }
  if (typeof auth === 'string' && auth !== '') return decodeAuth(auth, `${at}.auth`)
  if (typeof username !== 'string' || username === '') return undefined
  if (typeof password !== 'string' || password === '') throw new Error(`${at}.password: found nothing beside username, want both`)
  return { kind: 'password', user: username, password }
}

function decodeAuth(auth: string, at: string): StoredCredential {
  const pair = /^[A-Za-z0-9+/_-]+=*\s*$/.test(auth) ? Buffer.from(auth, 'base64').toString('utf8') : ''
  const colon = pair.indexOf(':')
  // Docker itself pads with zero bytes
  const [user, password] = [pair.slice(0, Math.max(colon, 0)), pair.slice(colon + 1).replace(/\0+$/, '')]
  if (user === '' || password === '') throw new Error(`${at}: found something else, want user:password in base64`)
  return { kind: 'password', user, password }
}

function helperName(name: unknown, at: string): string {
  if (typeof name === 'string' && HELPER_NAME.test(name)) return name
  throw new Error(`${at}: found no plain word, want the name of a helper: x for the program docker-credential-x`)
}

function isMap(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
