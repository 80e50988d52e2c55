/** The target of a request: its path cut into segments, each decoded exactly once, and its query. Nothing is normalised: `..` stays `..`. */

export type RequestTarget = {
  /** As it came, without the query: what a `Link` has to repeat. */
  readonly rawPath: string
  readonly segments: readonly string[]
  readonly query: Query
}

/** The query, read when somebody asks for it. */
export class Query {
  #params: URLSearchParams | undefined

  constructor(private readonly text: string) {}

  /** The first value of that name; null where there is none, as with `URLSearchParams`. */
  get(name: string): string | null {
    return this.text === '' ? null : this.params.get(name)
  }

  get params(): URLSearchParams {
    this.#params ??= new URLSearchParams(this.text)
    return this.#params
  }
}

/**
 * @param target `req.url`; absolute form is accepted too (RFC 9112 3.2.2). A segment whose escapes are broken, or hide a slash, stays as it came:
 * no grammar of a name allows its `%`, so that it is refused where it is used
 */
export function parseTarget(target: string): RequestTarget {
  const origin = target.startsWith('/') ? '' : (/^https?:\/\/[^/?]*/i.exec(target)?.[0] ?? '')
  const mark = target.indexOf('?', origin.length)
  const rawPath = target.slice(origin.length, mark < 0 ? undefined : mark)
  const query = new Query(mark < 0 ? '' : target.slice(mark + 1))
  return { rawPath, segments: rawPath.replace(/^\//, '').split('/').map(decode), query }
}

function decode(segment: string): string {
  if (!segment.includes('%')) return segment
  try {
    const decoded = decodeURIComponent(segment)
    return decoded.includes('/') ? segment : decoded
  } catch {
    return segment
  }
}
