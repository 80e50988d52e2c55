/** A file that is looked at when somebody needs it and read again when it changed: no timer, no watcher, no restart. */
import { readFile, stat } from 'node:fs/promises'

/** What is larger is no secret, list or bundle of certificates, and must not fill the memory. */
const MAX_BYTES = 8 * 1024 * 1024

export class FreshFile<T> {
  readonly path: string
  readonly #parse: (content: Buffer) => T | Promise<T>
  #known: { readonly version: string; readonly value: Promise<T> } | undefined

  /** @param parse may throw: then `read` does, with the same error until the file changes */
  constructor(path: string, parse: (content: Buffer) => T | Promise<T>) {
    this.path = path
    this.#parse = parse
  }

  /**
   * What the file says now; those who ask at the same time share one reading. Links are followed, so that a Kubernetes secret that is swapped is seen.
   * @throws the system's error if it cannot be read, the parser's if it is not what it should be
   */
  async read(): Promise<T> {
    const version = await versionOf(this.path) // before the content: a change in between is seen the next time
    if (this.#known?.version !== version) this.#known = { version, value: this.#load(version) }
    return await this.#known.value
  }

  async #load(version: string): Promise<T> {
    const content = await readFile(this.path).catch((error) => {
      if (this.#known?.version === version) this.#known = undefined // it was not the file's fault: to be tried again
      throw error
    })
    return this.#parse(content)
  }
}

/** Differs for different contents, short of two writes of the same size within one tick of the file system's clock. */
async function versionOf(path: string): Promise<string> {
  const stats = await stat(path, { bigint: true })
  if (!stats.isFile()) throw new Error(`${path} is no regular file`) // to read a pipe would be to wait for its writer
  if (stats.size > MAX_BYTES) throw new Error(`${path} is larger than ${MAX_BYTES} bytes`)
  return [stats.mtimeNs, stats.ctimeNs, stats.size, stats.ino, stats.dev].join(' ')
}
