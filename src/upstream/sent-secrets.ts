/** Secrets that went out with a request: servers quote what they were sent, and what they say goes to clients and into the log. */
import type { Credentials } from './credentials.ts'

export type Sent = {
  /** Where the answer came from; its query may be the signature of a link. */
  readonly url: URL
  /** The header of that name. */
  readonly authorization: string | undefined
  /** What that was made of, or a token was asked for with. */
  readonly credentials: Credentials | undefined
  /** `Proxy-Authorization` */
  readonly toProxy?: string | undefined
}

/** Those that say what was asked for, and no secret. */
const HARMLESS: ReadonlySet<string> = new Set(['scope', 'service', 'n', 'last', 'artifactType'])
/** A shorter value is a word that a message may hold for other reasons. */
const LEAST_OF_QUERY = 6
/** A shorter one counts where it stands alone. */
const LEAST_ANYWHERE = 6
const STRUCK = '***'

/** Takes out of a text what was sent, in the forms in which it is quoted. */
export function strikeSent(text: string, sent: Sent): string {
  const secrets = [...new Set(secretsOf(sent))].filter((secret) => secret !== '').sort((a, b) => b.length - a.length)
  return secrets.reduce(strike, text)
}

function secretsOf({ url, authorization, toProxy, credentials }: Sent): string[] {
  const headers = [authorization, toProxy, credentials?.basic].filter((header) => header !== undefined)
  const secrets = [...headers.flatMap(secretsOfHeader), credentials?.identityToken ?? '']
  const query = [...url.searchParams].filter(([name, value]) => !HARMLESS.has(name) && value.length >= LEAST_OF_QUERY)
  return [...secrets, ...query.map(([, value]) => value)].flatMap((secret) => [secret, encodeURIComponent(secret), formEncoded(secret)])
}

/** The word behind the scheme, and of Basic what it stands for. */
function secretsOfHeader(header: string): string[] {
  const [, scheme = '', value = ''] = /^(\S+) +(.*)$/.exec(header) ?? []
  if (scheme.toLowerCase() !== 'basic') return [value]
  const pair = Buffer.from(value, 'base64').toString()
  return [value, value.replace(/=+$/, ''), pair, pair.slice(pair.indexOf(':') + 1)]
}

function formEncoded(text: string): string {
  return String(new URLSearchParams([['', text]])).slice(1)
}

function strike(text: string, secret: string): string {
  if (secret.length >= LEAST_ANYWHERE) return text.replaceAll(secret, STRUCK)
  const quoted = secret.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')
  return text.replace(new RegExp(`(?<![\\p{L}\\p{N}])${quoted}(?![\\p{L}\\p{N}])`, 'gu'), STRUCK)
}
