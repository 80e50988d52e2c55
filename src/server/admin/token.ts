/** The token of the admin API: read from its file when somebody shows one, and never told to anybody. */
import { createHash, timingSafeEqual } from 'node:crypto'
import { FreshFile } from '../../async/fresh-file.ts'
import type { Config } from '../../config/config.ts'
import type { Log } from '../../observe/log.ts'

/** As the start demands it: shorter ones can be guessed. */
const MIN_LENGTH = 16

export class AdminToken {
  readonly #settings: Pick<Config, 'admin'>
  #known: FreshFile<Buffer> | undefined
  readonly #log: Log
  /** What the last trouble with the file said. */
  #trouble: string | undefined

  /** @param settings read each time; without `tokenFile` there is no token */
  constructor(settings: Pick<Config, 'admin'>, log: Log) {
    this.#settings = settings
    this.#log = log
  }

  get isConfigured(): boolean {
    return this.#settings.admin.tokenFile !== undefined
  }

  /** Whether `shown` is what the file says now. While that cannot be used, nothing is, and the log says why. Never rejects */
  async admits(shown: string): Promise<boolean> {
    const file = this.#file()
    if (file === undefined) return false
    try {
      const expected = await file.read()
      this.#trouble = undefined
      return timingSafeEqual(hash(shown), expected)
    } catch (error) {
      const { message } = error as Error
      if (message !== this.#trouble) this.#log.error('nobody is let in by admin.tokenFile: it cannot be used', { file: file.path, error })
      this.#trouble = message
      return false
    }
  }

  /** The one that is configured now. */
  #file(): FreshFile<Buffer> | undefined {
    const { tokenFile } = this.#settings.admin
    if (tokenFile !== this.#known?.path) this.#known = tokenFile === undefined ? undefined : new FreshFile(tokenFile, hashOfToken)
    return this.#known
  }
}

function hashOfToken(content: Buffer): Buffer {
  const token = content.toString('utf8').trim()
  if (token.length < MIN_LENGTH) throw new Error(`found a token of ${token.length} characters, want at least ${MIN_LENGTH}`)
  return hash(token)
}

/** Of the same length for all, as a comparison in constant time demands. */
function hash(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
