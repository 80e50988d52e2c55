/** `WWW-Authenticate`: every form that real registries send, read by a tokenizer (RFC 9110 11.6.1). */

export type Challenge = {
  /** Lower-cased: `basic`, `bearer`. */
  readonly scheme: string
  /** Names lower-cased. */
  readonly params: Readonly<Record<string, string>>
}

const SEPARATORS = /[\s,]*/y
const TOKEN = /[!#$%&'*+\-.^_`|~0-9A-Za-z]+/y
/** `NTLM TlRMTVNTUAAB=`: one opaque word up to the next comma. */
const TOKEN68 = /[ \t]+[A-Za-z0-9\-._~+/]+=*[ \t]*(?=,|$)/y
const EQUALS = /[ \t]*=[ \t]*/y
const QUOTED = /"((?:[^"\\]|\\.)*)(?:"|$)/sy
/** Without quotes a value is a token; real ones hold slashes and colons too. */
const BARE = /[^\s,"]*/y

/**
 * All challenges of the header, in order. Several header lines may arrive joined by `, ` (Node does that), so that a comma may end
 * a parameter as well as a challenge: what follows is a parameter if it has a `=`, else the scheme of the next challenge.
 * What makes no sense is passed over; nothing is thrown.
 */
export function parseChallenges(header: string): Challenge[] {
  const challenges: { scheme: string; params: Map<string, string> }[] = []
  const text = new Scanner(header)
  for (text.take(SEPARATORS); !text.done; text.take(SEPARATORS)) {
    const word = text.take(TOKEN)?.[0].toLowerCase()
    if (word === undefined) {
      text.skip()
    } else if (text.take(EQUALS) !== undefined) {
      const value = readValue(text)
      const params = challenges.at(-1)?.params
      if (params !== undefined && !params.has(word)) params.set(word, value)
    } else {
      text.take(TOKEN68)
      challenges.push({ scheme: word, params: new Map() })
    }
  }
  return challenges.map(({ scheme, params }) => ({ scheme, params: Object.fromEntries(params) }))
}

function readValue(text: Scanner): string {
  const quoted = text.take(QUOTED)?.[1]
  return quoted === undefined ? (text.take(BARE)?.[0] ?? '') : quoted.replace(/\\(.)/gs, '$1')
}

class Scanner {
  #at = 0

  constructor(readonly text: string) {}

  get done(): boolean {
    return this.#at >= this.text.length
  }

  skip(): void {
    this.#at++
  }

  /** The match of a sticky expression where reading stands, which then moves behind it. */
  take(expression: RegExp): RegExpExecArray | undefined {
    expression.lastIndex = this.#at
    const match = expression.exec(this.text)
    if (match === null) return undefined
    this.#at += match[0].length
    return match
  }
}
