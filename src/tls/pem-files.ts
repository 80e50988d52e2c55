/** The PEM files that TLS is made of: those that settings name, and the operating system's store. Read when they are needed, and again when they change. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { rootCertificates } from 'node:tls'
import { FreshFile } from '../async/fresh-file.ts'
import { certificateBlocks } from './pem.ts'

/** Where distributions keep their bundle, in the order in which Go looks (crypto/x509 root_linux.go), and Alpine's and BSD's last. */
const BUNDLES: readonly string[] = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/pki/tls/cacert.pem',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/ssl/cert.pem',
]

export type PemFilesOptions = {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly bundles?: readonly string[] | undefined
}

/** What its methods throw says all in one line, the file's name too. */
export class PemFiles {
  readonly #options: PemFilesOptions
  readonly #files = new Map<string, FreshFile<string>>()

  constructor(options: PemFilesOptions) {
    this.#options = options
  }

  /** @throws Error if it cannot be read */
  async read(path: string): Promise<string> {
    const file = this.#files.get(path) ?? new FreshFile(path, (content) => content.toString('latin1'))
    this.#files.set(path, file)
    try {
      return await file.read()
    } catch (cause) {
      const { code, message } = cause as NodeJS.ErrnoException
      throw new Error(code === undefined ? message : `cannot read ${path}: ${code}`, { cause })
    }
  }

  /**
   * The system's store: what SSL_CERT_FILE and SSL_CERT_DIR name, as with OpenSSL and Go; else the first bundle there is; else Node's own list.
   * @throws Error for a SSL_CERT_FILE that holds nothing
   */
  async system(): Promise<readonly string[]> {
    const { env, bundles = BUNDLES } = this.#options
    const { SSL_CERT_FILE: file, SSL_CERT_DIR: directories } = env
    if (file || directories) return [...(file ? [await this.#readBundle(file)] : []), ...(await this.#readDirectories(directories ?? ''))]
    for (const bundle of bundles) {
      const text = await this.read(bundle).catch(() => '')
      if (certificateBlocks(text).length > 0) return [text]
    }
    return rootCertificates
  }

  async #readBundle(path: string): Promise<string> {
    const text = await this.read(path)
    if (certificateBlocks(text).length === 0) throw new Error(`${path} holds no certificate in PEM`)
    return text
  }

  /** Every file in these directories (separated by `:`); one that cannot be read is passed over, as Go does. */
  async #readDirectories(directories: string): Promise<string[]> {
    const texts: string[] = []
    for (const directory of directories.split(':').filter((path) => path !== '')) {
      for (const name of await readdir(directory).catch(() => [])) texts.push(await this.read(join(directory, name)).catch(() => ''))
    }
    return texts
  }
}
