/** What PEM files hold: certificates and private keys, whether they belong together, and since and until when they are valid. Pure. */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'

/** Its message is the end of a sentence that begins with the name of the file. */
export class PemError extends Error {}

const CERTIFICATE = /-----BEGIN ((?:TRUSTED |X509 )?CERTIFICATE)-----[^-]+-----END \1-----/g
const PRIVATE_KEY = /-----BEGIN ((?:[A-Z]+ )*PRIVATE KEY)-----[\s\S]+?-----END \1-----/

/** Every certificate as text, unread: reading those of a system takes tens of milliseconds. */
export function certificateBlocks(text: string): string[] {
  return text.match(CERTIFICATE) ?? []
}

/** @throws PemError if there is none, or one that cannot be read, or that is cut off */
export function readCertificates(text: string): [X509Certificate, ...X509Certificate[]] {
  const blocks = certificateBlocks(text)
  if (blocks.length < (text.match(/-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----/g)?.length ?? 0)) {
    throw new PemError('holds a certificate that is cut off')
  }
  const [first, ...others] = blocks.map(readCertificate)
  if (first === undefined) throw new PemError('holds no certificate in PEM')
  return [first, ...others]
}

function readCertificate(block: string): X509Certificate {
  try {
    return new X509Certificate(block)
  } catch (error) {
    throw new PemError(`holds a certificate that cannot be read: ${(error as Error).message}`)
  }
}

/** @throws PemError if there is none, or if it is encrypted */
export function readPrivateKey(text: string): KeyObject {
  const block = PRIVATE_KEY.exec(text)?.[0]
  if (block === undefined) throw new PemError('holds no private key in PEM')
  if (/BEGIN ENCRYPTED|^Proc-Type:.*ENCRYPTED/m.test(block)) {
    throw new PemError('holds an encrypted key, and nobody is there to type its password')
  }
  try {
    return createPrivateKey(block)
  } catch (error) {
    throw new PemError(`holds a private key that cannot be read: ${(error as Error).message}`)
  }
}

/** `expired on 2026-01-31T12:00:00Z`, or when it begins to be valid; undefined if it is valid now. */
export function invalidAt({ validFrom, validTo }: X509Certificate, nowMs: number): string | undefined {
  if (nowMs > Date.parse(validTo)) return `expired on ${isoOf(validTo)}`
  return nowMs < Date.parse(validFrom) ? `is not valid before ${isoOf(validFrom)}` : undefined
}

const DAY_MS = 86_400_000
const SOON_MS = 14 * DAY_MS

/** As `invalidAt`; and `expires on 2026-01-31T12:00:00Z, in 9 days` from two weeks before. */
export function soonInvalidAt(certificate: X509Certificate, nowMs: number): string | undefined {
  const left = Date.parse(certificate.validTo) - nowMs
  const days = Math.floor(left / DAY_MS)
  const soon = left > SOON_MS ? undefined : `expires on ${isoOf(certificate.validTo)}, in ${days} day${days === 1 ? '' : 's'}`
  return invalidAt(certificate, nowMs) ?? soon
}

function isoOf(date: string): string {
  return new Date(date).toISOString().replace('.000Z', 'Z')
}
