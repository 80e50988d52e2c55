/** Whose certificates are believed: the operating system's store, or a bundle of one's own. Read on first use. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createSecureContext, rootCertificates, type SecureContext } from 'node:tls'
import { UpstreamError } from './error.ts'

/** Where distributions keep their bundle, in the order in which Go looks (crypto/x509 root_linux.go), and Alpine's and BSD's last. */
const BUNDLES: readonly string[] = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/pki/tls/cacert.pem',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/ssl/cert.pem',
]

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

export type TrustOptions = {
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly bundles?: readonly string[]
}

export class Trust {
  readonly #env: Readonly<Record<string, string | undefined>>
  readonly #bundles: readonly string[]
  readonly #contexts = new Map<string, Promise<SecureContext>>()
  #system: Promise<readonly string[]> | undefined

  constructor({ env = process.env, bundles = BUNDLES }: TrustOptions = {}) {
    this.#env = env
    this.#bundles = bundles
  }

  /**
   * The context for these settings; made once, since reading a system's bundle into one takes tens of milliseconds.
   * Callers ask for every connection: a later version of this class may answer with a new one when files change.
   * @throws UpstreamError 'tls' naming the file that cannot be used; the next call tries again
   */
  context(settings: TlsSettings): Promise<SecureContext> {
    const { ca, system, cert, key } = settings
    const name = JSON.stringify([ca, system, cert, key])
    const known = this.#contexts.get(name)
    if (known !== undefined) return known
    const context = this.#create(settings)
    this.#contexts.set(name, context)
    context.catch(() => this.#contexts.delete(name))
    return context
  }

  async #create({ ca, system, cert, key }: TlsSettings): Promise<SecureContext> {
    const trusted = new Set([...(system ? await this.#systemRoots() : []), ...(ca === undefined ? [] : await readBundle(ca))])
    const client = cert === undefined || key === undefined ? {} : { cert: await read(cert), key: await read(key) }
    try {
      return createSecureContext({ ca: [...trusted], ...client })
    } catch (cause) {
      const files = [ca, cert, key].filter((path) => path !== undefined)
      throw new UpstreamError('tls', `cannot use ${files.join(', ') || "the system's certificates"}: ${(cause as Error).message}`, {
        cause,
      })
    }
  }

  #systemRoots(): Promise<readonly string[]> {
    this.#system ??= this.#readSystem().catch((error) => {
      this.#system = undefined
      throw error
    })
    return this.#system
  }

  /** What SSL_CERT_FILE and SSL_CERT_DIR name, as with OpenSSL and Go; else the first bundle there is; else Node's own list. */
  async #readSystem(): Promise<readonly string[]> {
    const { SSL_CERT_FILE: file, SSL_CERT_DIR: directories } = this.#env
    if (file || directories) return [...(file ? await readBundle(file) : []), ...(directories ? await readDirectories(directories) : [])]
    for (const bundle of this.#bundles) {
      const certificates = certificatesIn(await readFile(bundle, 'utf8').catch(() => ''))
      if (certificates.length > 0) return certificates
    }
    return rootCertificates
  }
}

async function read(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    throw new UpstreamError('tls', `cannot read ${path}: ${(cause as NodeJS.ErrnoException).code}`, { cause })
  }
}

async function readBundle(path: string): Promise<string[]> {
  const certificates = certificatesIn(await read(path))
  if (certificates.length === 0) throw new UpstreamError('tls', `${path} holds no certificate in PEM`)
  return certificates
}

/** Every certificate in these directories (separated by `:`); a file that has none is passed over, as Go does. */
async function readDirectories(directories: string): Promise<string[]> {
  const found: string[] = []
  for (const directory of directories.split(':').filter((path) => path !== '')) {
    for (const name of await readdir(directory).catch(() => [])) {
      found.push(...certificatesIn(await readFile(join(directory, name), 'utf8').catch(() => '')))
    }
  }
  return found
}

/** One by one, so that those that a system holds twice (file and directory) are read once: 144 of them cost 25 ms. */
function certificatesIn(text: string): string[] {
  return text.match(/-----BEGIN (?:TRUSTED )?CERTIFICATE-----[^-]+-----END (?:TRUSTED )?CERTIFICATE-----/g) ?? []
}
