/** Looks into the certificates and keys that entries name: what cannot work is a mistake, what is out of date is worth a warning. */
import type { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { invalidAt, PemError, readCertificates, readPrivateKey } from '../tls/pem.ts'
import { reasonOf } from './errno.ts'
import type { Findings } from './findings.ts'
import type { RegistrySection } from './settings.ts'

type Key = 'ca' | 'cert' | 'key'
type TlsSection = {
  readonly line: number
  readonly values: { readonly [key in Key]?: string }
  readonly lines: { readonly [key in Key]?: number }
}

/**
 * @param entries whose files are there
 * @param nowMs milliseconds since 1970
 * @returns one line for each file that is out of date: what is cached can be served with it all the same
 */
export async function checkCertificates(entries: readonly RegistrySection[], nowMs: number, findings: Findings): Promise<string[]> {
  const warnings: string[] = []
  for (const [i, { values }] of entries.entries()) {
    if (values.tls !== undefined) warnings.push(...(await checkTlsFiles(values.tls, `registries[${i}].tls`, nowMs, findings)))
  }
  return warnings
}

/** The same for one section. @param at its key: `registries[0].tls`. @param judge what of a certificate's dates is worth a warning */
export function checkTlsFiles(
  section: TlsSection,
  at: string,
  nowMs: number,
  findings: Findings,
  judge: typeof invalidAt = invalidAt,
): Promise<string[]> {
  return new TlsReader(section, at, findings).check((certificate) => judge(certificate, nowMs))
}

class TlsReader {
  readonly #section: TlsSection
  readonly #at: string
  readonly #findings: Findings

  constructor(section: TlsSection, at: string, findings: Findings) {
    this.#section = section
    this.#at = at
    this.#findings = findings
  }

  async check(judge: (certificate: X509Certificate) => string | undefined): Promise<string[]> {
    const authorities = (await this.#read('ca', readCertificates)) ?? []
    const chain = (await this.#read('cert', readCertificates)) ?? []
    const key = await this.#read('key', readPrivateKey)
    const [leaf] = chain
    if (leaf !== undefined && key !== undefined && !leaf.checkPrivateKey(key)) {
      const { cert, key: path } = this.#section.values
      this.#mistake('key', `${path} does not belong to the certificate ${cert}, want its key`)
    }
    return [
      ...authorities.flatMap((authority) => this.#warning('ca', judge(authority))),
      ...chain.flatMap((certificate) => this.#warning('cert', judge(certificate))),
    ]
  }

  async #read<T>(key: Key, parse: (text: string) => T): Promise<T | undefined> {
    const path = this.#section.values[key]
    if (path === undefined) return undefined
    try {
      return parse(await readFile(path, 'latin1'))
    } catch (error) {
      const problem = error instanceof PemError ? `${path} ${error.message}` : `cannot read ${path}: ${reasonOf(error)}`
      this.#mistake(key, `${problem}, want a PEM file with ${key === 'key' ? 'a private key' : 'certificates'}`)
      return undefined
    }
  }

  #mistake(key: Key, problem: string): void {
    this.#findings.mistake(this.#section.lines[key] ?? this.#section.line, `${this.#at}.${key}`, problem)
  }

  #warning(key: Key, problem: string | undefined): string[] {
    return problem === undefined ? [] : [`${this.#at}.${key}: ${this.#section.values[key]} ${problem}`]
  }
}
