/** The kinds of value that a setting can have: what is allowed, and how it is read from a flag or from the file. */
import { isIP } from 'node:net'
import type { Platform } from '../oci/manifest.ts'
import { asRegistry, DOCKER_HUB, type Registry } from '../oci/name.ts'
import { formatPlatform, parsePlatform } from '../oci/platform.ts'
import { parseReferenceGlob, parseRepositoryGlob } from '../oci/reference-glob.ts'
import type { Revalidate } from './config.ts'
import type { Findings } from './findings.ts'
import { kindOf, type Scalar, showScalar, type Tree } from './tree.ts'

export type ValueType<T> = {
  /** The value at `key`; undefined after a mistake, which is then in `findings`. */
  read(tree: Tree, key: string, findings: Findings): T | undefined
}

export type ScalarType<T> = ValueType<T> & {
  /** What is allowed, as the end of `want …`. */
  readonly want: string
  /** Stands for the value in help; a flag whose type has none needs no value. */
  readonly placeholder: string | undefined
  /** Undefined for what is not allowed. */
  parse(scalar: Scalar): T | undefined
  /** A refused value for a message: a secret is not shown. */
  show(scalar: Scalar): string
  /** A value as one would write it. */
  format(value: T): string
}

type ScalarRules<T> = Pick<ScalarType<T>, 'want' | 'placeholder' | 'parse'> & Partial<Pick<ScalarType<T>, 'show' | 'format'>>

export function scalarType<T>(rules: ScalarRules<T>): ScalarType<T> {
  const type = { show: showScalar, format: String, ...rules }
  return {
    ...type,
    read(tree, key, findings) {
      const value = tree.kind === 'scalar' ? type.parse(tree) : undefined
      if (value === undefined) {
        findings.mistake(tree.line, key, `found ${tree.kind === 'scalar' ? type.show(tree) : kindOf(tree)}, want ${type.want}`)
      }
      return value
    },
  }
}

const text = (want: string, placeholder: string): ScalarType<string> =>
  scalarType({ want, placeholder, parse: (scalar) => (scalar.isText && !scalar.text.includes('\0') ? scalar.text : undefined) })

export const plainText = text('text', 'TEXT')
export const path = text('a path', 'PATH')
const STANDARD_INPUT = ['-', '/dev/stdin']
/** For lists that are read again and again. */
export const filesToReread = scalarType({
  want: 'files and globs; standard input can be read only once',
  placeholder: 'PATH',
  parse: (scalar) => (scalar.text.split(',').some((file) => STANDARD_INPUT.includes(file.trim())) ? undefined : path.parse(scalar)),
})
/** People write `password: 12345`, and mean the text. */
export const anyText = scalarType({ want: 'text', placeholder: 'TEXT', parse: ({ text }) => text, show: () => 'a value' })

export function integer(min: number, max: number): ScalarType<number> {
  return scalarType({
    want: `a whole number from ${min} to ${max}`,
    placeholder: 'NUMBER',
    parse: ({ text, quoted }) =>
      !quoted && /^-?\d{1,15}$/.test(text) && min <= Number(text) && Number(text) <= max ? Number(text) : undefined,
  })
}

/** Beyond the words of YAML 1.2 those that the old program took. */
const TRUE = ['true', 'yes', 'on']
const FALSE = ['false', 'no', 'off']

export const boolean = scalarType({
  want: 'true or false',
  placeholder: undefined,
  parse: ({ text, quoted }) => (quoted ? undefined : parseBoolean(text.toLowerCase())),
})

function parseBoolean(word: string): boolean | undefined {
  if (TRUE.includes(word)) return true
  return FALSE.includes(word) ? false : undefined
}

/** One of a few words, in upper or lower case. */
export function choice<Word extends string>(...words: readonly Word[]): ScalarType<Word> {
  return scalarType({
    want: `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`,
    placeholder: words.join('|'),
    parse: ({ text }) => words.find((word) => word === text.toLowerCase()),
  })
}

/** Words of an older program that mean one of these; neither shown nor offered. */
export function alsoCalled<T>(type: ScalarType<T>, synonyms: Readonly<Record<string, NoInfer<T>>>): ScalarType<T> {
  const meant = new Map(Object.entries(synonyms))
  return scalarType({ ...type, parse: (scalar) => meant.get(scalar.text.toLowerCase()) ?? type.parse(scalar) })
}

export const host = scalarType({
  want: 'an IP address or a host name, without a port',
  placeholder: 'ADDRESS',
  parse: ({ text }) => parseHost(text.replace(/^\[(.*)\]$/, '$1')),
})

function parseHost(text: string): string | undefined {
  return isIP(text) !== 0 || (!text.includes(':') && asRegistry(text) !== undefined) ? text : undefined
}

/** An address, since service managers take no names, and a port; an IPv6 address in brackets. */
export const socketAddress = scalarType({
  want: 'ADDRESS:PORT, such as 0.0.0.0:8080 or [::]:8080',
  placeholder: 'ADDRESS:PORT',
  parse: ({ text }) => parseSocketAddress(text),
})

export type SocketAddress = { readonly host: string; readonly port: number }

export function parseSocketAddress(text: string): SocketAddress | undefined {
  const [, bracketed, plain = '', digits] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text) ?? []
  const host = bracketed ?? plain
  const port = Number(digits)
  return isIP(host) === (bracketed === undefined ? 4 : 6) && port > 0 && port < 65536 ? { host, port } : undefined
}

/** What a name or address looks like when somebody put a password before its `@`. */
const showWithoutUser = (scalar: Scalar) => showScalar({ ...scalar, text: scalar.text.replace(/^([a-z]+:\/\/)?.*@/is, '$1…@') })

export const registryName = scalarType<Registry>({
  want: 'a registry: host or host:port',
  placeholder: 'HOST[:PORT]',
  parse: ({ text }) => asRegistry(text),
  show: showWithoutUser,
})

export type RegistryUrl = { readonly scheme: 'http' | 'https'; readonly address: string }

export const registryUrl = scalarType<RegistryUrl>({
  want: 'http://host[:port] or https://host[:port], with nothing behind it',
  placeholder: 'URL',
  parse: ({ text }) => parseRegistryUrl(text),
  show: showWithoutUser,
  format: ({ scheme, address }) => `${scheme}://${address}`,
})

function parseRegistryUrl(text: string): RegistryUrl | undefined {
  const [, scheme, host] = /^(https?):\/\/([^/]+)\/?$/.exec(text) ?? []
  const registry = host === undefined ? undefined : asRegistry(host)
  if (host === undefined || registry === undefined) return undefined
  // an address says which of Docker Hub's hosts is meant; only docker.io itself is none
  const address = registry === DOCKER_HUB && host.toLowerCase() !== DOCKER_HUB ? host.toLowerCase() : addressOf(registry)
  return { scheme: scheme === 'http' ? 'http' : 'https', address }
}

/** Where a registry answers if nobody says otherwise. */
export function addressOf(registry: Registry): string {
  return registry === DOCKER_HUB ? 'registry-1.docker.io' : registry
}

/** Its value is never shown: people put the password itself there. */
export const variableName = scalarType({
  want: 'the name of an environment variable',
  placeholder: 'NAME',
  parse: ({ text }) => (/^[A-Za-z_][A-Za-z0-9_]*$/.test(text) ? text : undefined),
  show: () => 'something else',
})

/** `all`: whatever an image has. */
export const platform = scalarType<Platform | 'all'>({
  want: 'a platform such as linux/amd64 or linux/arm/v7, or all',
  placeholder: 'OS/ARCH[/VARIANT]|all',
  parse: ({ text }) => (text.toLowerCase() === 'all' ? 'all' : parsePlatform(text)),
  format: (value) => (value === 'all' ? value : formatPlatform(value)),
})

export const HOUR_MS = 3_600_000
export const DAY_MS = 24 * HOUR_MS
const UNITS_MS: Readonly<Record<string, number>> = { ns: 1e-6, us: 1e-3, µs: 1e-3, ms: 1, s: 1000, m: 60_000, h: HOUR_MS }

/** In ms; as Go writes them, or a whole number of days; negative ones as well, since older programs took them. */
export const anyDuration = scalarType({
  want: 'a duration such as 30d, 12h or 1h30m',
  placeholder: 'DURATION',
  parse: ({ text }) => parseDuration(text),
  format: formatDuration,
})

/** In ms; not negative. */
export const duration = scalarType({ ...anyDuration, parse: ({ text }) => (text.startsWith('-') ? undefined : parseDuration(text)) })

/** In ms; not negative, and no longer than `max`, which is written as one. */
export function durationUpTo(max: string): ScalarType<number> {
  const maxMs = parseDuration(max) ?? 0
  return scalarType({
    want: `a duration of at most ${max}, such as 30s`,
    placeholder: 'DURATION',
    parse: (scalar) => {
      const ms = duration.parse(scalar)
      return ms === undefined || ms > maxMs ? undefined : ms
    },
  })
}

function parseDuration(text: string): number | undefined {
  const [, sign = '', days, parts = ''] = /^(-?)(?:(\d+)d|((?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|ms|s|m|h))+|0))$/.exec(text) ?? []
  if (days === undefined && parts === '') return undefined
  const amounts = Array.from(parts.matchAll(/([\d.]+)([a-zµ]+)/g), ([, amount, unit = '']) => Number(amount) * (UNITS_MS[unit] ?? 0))
  const total = days === undefined ? amounts.reduce((sum, ms) => sum + ms, 0) : Number(days) * DAY_MS
  return sign === '' ? total : -total
}

/** `30d`, `1h30m`. */
export function formatDuration(ms: number): string {
  if (ms < 0) return `-${formatDuration(-ms)}`
  if (ms > 0 && ms % DAY_MS === 0) return `${ms / DAY_MS}d`
  let left = ms
  const parts = (['h', 'm', 's', 'ms'] as const).map((unit) => {
    const amount = unit === 'ms' ? left : Math.floor(left / (UNITS_MS[unit] ?? 1))
    left -= amount * (UNITS_MS[unit] ?? 1)
    return amount === 0 ? '' : `${amount}${unit}`
  })
  return parts.join('') || '0s'
}

/** When a cached tag is checked: never, each time, or when the last check is so many ms old. */
export const revalidation = scalarType<Revalidate>({
  want: 'never, always or a duration such as 30d, 12h or 1h30m',
  placeholder: undefined,
  parse: (scalar) => {
    const word = scalar.text.toLowerCase()
    return word === 'never' || word === 'always' ? word : duration.parse(scalar)
  },
  format: (value) => (typeof value === 'number' ? formatDuration(value) : value),
})

export const referenceGlob = scalarType({
  want: "a glob on registry/repository:tag, such as 'quay.io/**' or '**:latest'",
  placeholder: undefined,
  parse: ({ text }) => parseReferenceGlob(text),
  format: ({ text }) => text,
})

export const repositoryGlob = scalarType({
  want: "a glob on registry/repository, such as ghcr.io, 'quay.io/org/**' or docker.io/library/alpine",
  placeholder: undefined,
  parse: ({ text }) => parseRepositoryGlob(text),
  format: ({ text }) => text,
})

/** Only taken as text here: what reads expressions is loaded when there is one. */
export const expressionText = scalarType({
  want: "Go's regular expression, such as ^latest$, or .* for all",
  placeholder: 'EXPR',
  parse: ({ text }) => text,
})

export type ListType<T, Item extends ValueType<T> = ValueType<T>> = ValueType<readonly T[]> & { readonly item: Item }

/** A list in the file, and a flag that is given once for each item. */
export function repeated<T>(item: ScalarType<T>): ListType<T, ScalarType<T>> {
  return { ...listOf(item), item }
}

export function listOf<T>(item: ValueType<T>): ListType<T> {
  return {
    item,
    read(tree, key, findings) {
      if (tree.kind === 'list') {
        return tree.items.map((each, i) => item.read(each, `${key}[${i}]`, findings)).filter((value) => value !== undefined)
      }
      findings.mistake(tree.line, key, `found ${kindOf(tree)}, want a list`)
      return undefined
    },
  }
}
