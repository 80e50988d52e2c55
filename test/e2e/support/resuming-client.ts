/** A client that pulls as containerd does: over connections that it keeps, and on from where a layer broke off. */
import { createHash } from 'node:crypto'
import { Agent, type IncomingMessage, request } from 'node:http'

/** Where a server listens. */
export type Place = { readonly host: string; readonly port: number } | { readonly socketPath: string }

/** Some clients wait no longer for an answer. */
const PATIENCE_MS = 20_000
/** More times than any server is replaced. */
const MOST_TRIES = 50

export class ResumingClient {
  readonly #place: Place
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 })
  /** How often a layer was continued. */
  resumed = 0

  constructor(place: Place) {
    this.#place = place
  }

  close(): void {
    this.#agent.destroy()
  }

  /** A manifest, whole. @throws Error for anything but a 200 */
  async manifest(path: string): Promise<Buffer> {
    const chunks: Buffer[] = []
    for await (const chunk of await this.#get(path, 0)) chunks.push(chunk)
    return Buffer.concat(chunks)
  }

  /** The digest of a layer, which may come in several parts. @throws Error for what no client would go on from */
  async layer(path: string): Promise<string> {
    const hash = createHash('sha256')
    let at = 0
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      const response = await this.#get(path, at)
      try {
        for await (const chunk of response) {
          hash.update(chunk)
          at += chunk.length
        }
        return `sha256:${hash.digest('hex')}`
      } catch (error) {
        if ((error as Error).message !== 'aborted') throw error
        if (at > 0) this.resumed++
      }
    }
    throw new Error(`GET ${path} broke off ${MOST_TRIES} times`)
  }

  /**
   * The bytes from `start` on; asks again where a connection that it kept has ended meanwhile, and when it is told to come again.
   * @throws Error for a new connection that fails, and any other answer
   */
  async #get(path: string, start: number): Promise<IncomingMessage> {
    for (;;) {
      const response = await this.#ask(path, start)
      if (response.statusCode === (start === 0 ? 200 : 206)) return response
      response.resume()
      if (response.statusCode !== 503 || response.headers['retry-after'] === undefined)
        throw new Error(`GET ${path} from byte ${start}: ${response.statusCode}`)
    }
  }

  async #ask(path: string, start: number): Promise<IncomingMessage> {
    for (;;) {
      const asked = request({
        ...this.#place,
        path,
        agent: this.#agent,
        timeout: PATIENCE_MS,
        ...(start > 0 && { headers: { range: `bytes=${start}-` } }),
      })
      try {
        return await new Promise((resolve, reject) => {
          asked.once('response', resolve).once('error', reject)
          asked.once('timeout', () => asked.destroy(new Error(`no answer within ${PATIENCE_MS / 1000} s`))).end()
        })
      } catch (error) {
        if (!asked.reusedSocket) throw error
      }
    }
  }
}
