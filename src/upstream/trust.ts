/** Whose certificates are believed, and which one is shown: the operating system's store or a bundle of one's own. Read on first use, and again when they change. */
import type { X509Certificate } from 'node:crypto'
import { createSecureContext, type SecureContext } from 'node:tls'
import { LastGood } from '../async/last-good.ts'
import type { Clock } from '../observe/clock.ts'
import type { Log } from '../observe/log.ts'
import { certificateBlocks, invalidAt, PemError, readCertificates, readPrivateKey } from '../tls/pem.ts'
import { PemFiles } from '../tls/pem-files.ts'
import { UpstreamError } from './error.ts'

/** How old the last look at the files may be: every request asks. */
const LOOK_AGAIN_MS = 1_000

/** All that a TLS connection is made of; equal settings share one context. */
export type TlsSettings = {
  /** Path of a PEM bundle. */
  readonly ca?: string
  /** Whether the system's store counts, besides `ca`. */
  readonly system: boolean
  /** Paths of a client certificate and its key, PEM. */
  readonly cert?: string
  readonly key?: string
}

/** What is wrong with the dates of `ca` and `cert`, as the end of a sentence that begins with the file. */
export type Outdated = { readonly ca?: string; readonly cert?: string }

export type TrustOptions = {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly clock: Clock
  readonly log: Log
  readonly bundles?: readonly string[]
}

export class Trust {
  readonly #options: TrustOptions
  readonly #files: PemFiles
  readonly #contexts = new Map<string, FreshContext>()

  constructor(options: TrustOptions) {
    this.#options = options
    this.#files = new PemFiles(options)
  }

  /**
   * The context for these settings: the same one until a file changes, since reading a system's bundle into one takes tens of milliseconds.
   * A change that cannot be used (a certificate without its key while both are being replaced) is logged, and the last context stays.
   * @throws UpstreamError 'tls' naming the file, if it never could be used; a later call tries again
   */
  context(settings: TlsSettings): Promise<SecureContext> {
    return this.#contextOf(settings).read()
  }

  /** Of what was read last. */
  outdated(settings: TlsSettings): Outdated {
    return this.#contextOf(settings).outdated(this.#options.clock.now())
  }

  #contextOf(settings: TlsSettings): FreshContext {
    const { ca, system, cert, key } = settings
    const name = JSON.stringify([ca, system, cert, key])
    const known = this.#contexts.get(name) ?? new FreshContext(settings, this.#options, () => this.#readAll(settings))
    this.#contexts.set(name, known)
    return known
  }

  async #readAll({ ca, system, cert, key }: TlsSettings): Promise<Material> {
    const read = async (path: string | undefined) => (path === undefined ? undefined : await this.#files.read(path))
    try {
      return { system: system ? await this.#files.system() : [], ca: await read(ca), cert: await read(cert), key: await read(key) }
    } catch (cause) {
      throw new UpstreamError('tls', (cause as Error).message, { cause })
    }
  }
}

/** The texts of all files. */
type Material = {
  readonly system: readonly string[]
  readonly ca: string | undefined
  readonly cert: string | undefined
  readonly key: string | undefined
}

type Made = {
  readonly material: Material
  readonly context: SecureContext
  readonly ca: readonly X509Certificate[]
  readonly cert: X509Certificate | undefined
}

class FreshContext {
  readonly #settings: TlsSettings
  readonly #clock: Clock
  readonly #lastGood: LastGood<SecureContext>
  #made: Made | undefined
  #reading: { readonly since: number; readonly context: Promise<SecureContext> } | undefined

  constructor(settings: TlsSettings, { clock, log }: TrustOptions, readAll: () => Promise<Material>) {
    this.#settings = settings
    this.#clock = clock
    this.#lastGood = new LastGood({
      read: async () => this.#make(await readAll()),
      onTrouble: ({ message }) => {
        if (this.#made !== undefined) log.error(`the changed certificates cannot be used, those read before stay in use: ${message}`)
      },
      onRecovery: () => log.info('the changed certificates are in use', settings),
    })
  }

  read(): Promise<SecureContext> {
    const now = this.#clock.monotonic()
    if (this.#reading !== undefined && now - this.#reading.since < LOOK_AGAIN_MS) return this.#reading.context
    const reading = { since: now, context: this.#lastGood.read() }
    this.#reading = reading
    reading.context.catch(() => {
      if (this.#reading === reading) this.#reading = undefined
    })
    return reading.context
  }

  outdated(nowMs: number): Outdated {
    const problems = (this.#made?.ca ?? []).map((certificate) => invalidAt(certificate, nowMs))
    const ca = problems.every((problem) => problem !== undefined) ? problems[0] : undefined // one good authority may be all it takes
    const cert = this.#made?.cert && invalidAt(this.#made.cert, nowMs)
    return { ...(ca === undefined ? {} : { ca }), ...(cert === undefined ? {} : { cert }) }
  }

  #make(material: Material): SecureContext {
    if (this.#made !== undefined && isSame(this.#made.material, material)) return this.#made.context
    const ca = material.ca === undefined ? [] : this.#named(this.#settings.ca, () => readCertificates(material.ca ?? ''))
    // one by one, so that those that a system holds twice (file and directory) are read once: 144 of them cost 25 ms
    const trusted = new Set([...material.system.flatMap(certificateBlocks), ...certificateBlocks(material.ca ?? '')])
    const context = this.#createContext([...trusted], material)
    const cert = material.cert === undefined ? undefined : readCertificates(material.cert)[0]
    this.#made = { material, context, ca, cert }
    return context
  }

  #createContext(ca: string[], { cert, key }: Material): SecureContext {
    const { cert: certPath = '', key: keyPath = '' } = this.#settings
    if (cert === undefined || key === undefined) return createSecureContext({ ca })
    const [leaf] = this.#named(certPath, () => readCertificates(cert))
    const privateKey = this.#named(keyPath, () => readPrivateKey(key))
    if (!leaf.checkPrivateKey(privateKey))
      throw new UpstreamError('tls', `the key ${keyPath} does not belong to the certificate ${certPath}`)
    try {
      return createSecureContext({ ca, cert, key })
    } catch (cause) {
      throw new UpstreamError('tls', `cannot use ${certPath} and ${keyPath}: ${(cause as Error).message}`, { cause })
    }
  }

  #named<T>(path: string | undefined, read: () => T): T {
    try {
      return read()
    } catch (error) {
      throw error instanceof PemError ? new UpstreamError('tls', `${path} ${error.message}`) : error
    }
  }
}

function isSame(one: Material, two: Material): boolean {
  const others = one.ca === two.ca && one.cert === two.cert && one.key === two.key
  return others && one.system.length === two.system.length && one.system.every((text, i) => text === two.system[i])
}
