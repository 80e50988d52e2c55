/** What the programs `docker-credential-*` answer, and until when the secret in an answer is good. */
import type { StoredCredential } from '../oci/credential-file.ts'

/** In place of a user name: the secret is an identity token. */
const TOKEN_USER = '<token>'
const LONGEST_REASON = 200

/**
 * The protocol of docker-credential-helpers, `get`: JSON with Username and Secret, or a message on standard output and another exit code than 0.
 * @returns undefined for `credentials not found in native keychain`, and for an answer without anything in it
 * @throws Error without anything of a secret
 */
export function readHelperAnswer({
  code,
  stdout,
}: {
  readonly code: number | null
  readonly stdout: string
}): StoredCredential | undefined {
  if (code !== 0) {
    if (/^credentials not found/i.test(stdout.trim())) return undefined
    throw new Error(`${code === null ? 'it was ended by a signal' : `it failed with exit code ${code}`}${reasonIn(stdout)}`)
  }
  const { Username: user, Secret: secret } = parse(stdout)
  if ((user === undefined || user === '') && (secret === undefined || secret === '')) return undefined
  if (typeof user !== 'string' || typeof secret !== 'string' || secret === '') throw new Error('its answer has no user name and secret')
  return user === TOKEN_USER ? { kind: 'identityToken', token: secret } : { kind: 'password', user, password: secret }
}

/** When a secret says itself that it expires, in ms since 1970: a JWT by `exp`, the password of ECR (JSON in base64) by `expiration`. */
export function expiryOf(secret: string): number | undefined {
  const claims = secret.split('.')
  const seconds = claims.length === 3 ? decoded(claims[1] ?? '').exp : decoded(secret).expiration
  return typeof seconds === 'number' && Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 : undefined
}

type Json = Readonly<Record<string, unknown>>

function parse(stdout: string): Json {
  try {
    const answer: unknown = JSON.parse(stdout)
    if (typeof answer === 'object' && answer !== null) return answer as Json
  } catch {
    // said below: the parser's words may quote the secret
  }
  throw new Error('its answer is not the JSON that it should be')
}

/** What is no JSON in base64 has no claims. */
function decoded(text: string): Json {
  try {
    const claims: unknown = JSON.parse(Buffer.from(text, 'base64').toString('utf8'))
    return typeof claims === 'object' && claims !== null ? (claims as Json) : {}
  } catch {
    return {}
  }
}

/** Helpers say on standard output why they fail. What looks like an answer is not shown. */
function reasonIn(stdout: string): string {
  const line = stdout.trim().split('\n', 1)[0] ?? ''
  if (line === '' || /[{}]|secret|password/i.test(line)) return ''
  return `: ${line.slice(0, LONGEST_REASON)}`
}
