/** TLS towards clients: the certificate that they see and the authorities they are verified by, read at start and again when the files change. */
import { createSecureContext } from 'node:tls'
import { LastGood } from '../async/last-good.ts'
import type { ServerTlsConfig } from '../config/config.ts'
import type { Clock } from '../observe/clock.ts'
import type { Log } from '../observe/log.ts'
import { certificateBlocks, PemError, readCertificates, readPrivateKey, soonInvalidAt } from '../tls/pem.ts'
import { PemFiles, type PemFilesOptions } from '../tls/pem-files.ts'
import type { TlsMaterial } from './http-server.ts'

/** How often the files are looked at. */
const LOOK_MS = 5_000
/** How often it is said that a certificate has expired, or will soon. */
const REMIND_MS = 86_400_000

export type ServerTlsDeps = PemFilesOptions & { readonly settings: ServerTlsConfig; readonly clock: Clock; readonly log: Log }

/** The texts of all files, and what they make. */
type Made = { readonly texts: readonly string[]; readonly material: TlsMaterial; readonly chain: ReturnType<typeof readCertificates> }

export class ServerTls {
  readonly clientAuth: 'none' | 'verify'
  readonly #deps: ServerTlsDeps
  readonly #files: PemFiles
  readonly #lastGood: LastGood<Made>
  readonly #stopping = new AbortController()
  #made: Made | undefined
  #watching = Promise.resolve()

  constructor(deps: ServerTlsDeps) {
    this.clientAuth = deps.settings.clientAuth
    this.#deps = deps
    this.#files = new PemFiles(deps)
    this.#lastGood = new LastGood({
      read: () => this.#make(),
      onTrouble: ({ message }) => {
        if (this.#made !== undefined) deps.log.error(`the changed certificates cannot be used, those read before stay in use: ${message}`)
      },
      onRecovery: () => deps.log.info('the certificates for clients can be used again', { cert: deps.settings.cert }),
    })
  }

  /** @throws Error that says in one line which file cannot be used; without one that can, there is no server */
  async read(): Promise<TlsMaterial> {
    this.#made = await this.#lastGood.read()
    return this.#made.material
  }

  /** Until when the whole chain is valid, in ms since 1970; undefined before it was read. */
  get expiresMs(): number | undefined {
    return this.#made && Math.min(...this.#made.chain.map(({ validTo }) => Date.parse(validTo)))
  }

  /** Looks at the files from now on. @param renew is given what they have changed to */
  watch(renew: (material: TlsMaterial) => void): void {
    this.#watching = this.#watch(renew)
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#watching
  }

  async #watch(renew: (material: TlsMaterial) => void): Promise<void> {
    const { clock, log, settings } = this.#deps
    let remindMs = clock.monotonic()
    do {
      if (clock.monotonic() >= remindMs) {
        this.#remind()
        remindMs += REMIND_MS
      }
      const before = this.#made?.material
      const material = await this.read()
      if (this.#stopping.signal.aborted) return // others have taken its place
      if (material === before) continue
      renew(material)
      log.info('the changed certificates are in use for new connections', { cert: settings.cert })
      this.#remind()
    } while (await clock.sleep(LOOK_MS, this.#stopping.signal))
  }

  #remind(): void {
    const { clock, log, settings } = this.#deps
    for (const certificate of this.#made?.chain ?? []) {
      const problem = soonInvalidAt(certificate, clock.now())
      if (problem !== undefined) log.warn(`the certificate for clients ${problem}`, { cert: settings.cert, subject: certificate.subject })
    }
  }

  /** The same object as before while the files are the same. */
  async #make(): Promise<Made> {
    const { cert: certPath, key: keyPath, ca: caPath } = this.#deps.settings
    const cert = await this.#files.read(certPath)
    const key = await this.#files.read(keyPath)
    const authorities = await this.#readAuthorities()
    const texts = [cert, key, ...authorities]
    if (this.#made !== undefined && isSame(this.#made.texts, texts)) return this.#made
    const chain = named(certPath, () => readCertificates(cert))
    const privateKey = named(keyPath, () => readPrivateKey(key))
    if (!chain[0].checkPrivateKey(privateKey)) throw new Error(`the key ${keyPath} does not belong to the certificate ${certPath}`)
    if (caPath !== undefined && authorities.length > 0) named(caPath, () => readCertificates(authorities.join('\n')))
    const material: TlsMaterial = { cert, key, ca: trusted(authorities), minVersion: 'TLSv1.2' }
    try {
      createSecureContext(material) // what cannot be used together is said here, and not when it replaces what can
    } catch (cause) {
      throw new Error(`cannot use ${certPath} and ${keyPath}: ${(cause as Error).message}`, { cause })
    }
    return { texts, material, chain }
  }

  /** Those who vouch for clients: without clientAuth verify, nobody needs to. @throws Error rather than to trust nobody, or everybody */
  async #readAuthorities(): Promise<readonly string[]> {
    const { clientAuth, ca } = this.#deps.settings
    if (clientAuth === 'none') return []
    if (ca !== undefined) return [await this.#files.read(ca)]
    const system = await this.#files.system()
    if (trusted(system).length === 0)
      throw new Error("the system's store holds no certificate: clientAuth verify needs one, or serverTlsConfig.ca")
    return system
  }
}

function trusted(texts: readonly string[]): string[] {
  return [...new Set(texts.flatMap(certificateBlocks))]
}

function named<T>(path: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw error instanceof PemError ? new Error(`${path} ${error.message}`) : error
  }
}

function isSame(one: readonly string[], two: readonly string[]): boolean {
  return one.length === two.length && one.every((text, i) => text === two[i])
}
