/** Lists that come in pages: read to their end, within bounds (distribution-spec "Listing Tags", "Listing Referrers"). */
import { setImmediate } from 'node:timers/promises'
import type { Limiter } from '../async/limiter.ts'
import { isTooDeep } from '../oci/manifest.ts'
import type { Answer } from './answer.ts'
import type { Budgets } from './budgets.ts'
import { UpstreamError } from './error.ts'
import { nextLink } from './link.ts'

/** Takes a millisecond and more to parse. */
const BIG_PAGE_BYTES = 256 * 1024

/** Asks for one page. @returns undefined if there is no such list */
export type AskPage = (path: string, maxBytes: number) => Promise<{ readonly answer: Answer; readonly body: Buffer } | undefined>

/**
 * All entries of a list, in order; undefined if the first page says that there is none.
 * @param path of the list, behind `/v2/`. @param key of the array in a page
 * @param parsing of one at a time: big pages that come together keep nobody else waiting for longer than one does
 * @throws UpstreamError 'corrupt' for a page that is none, 'failed' for a list that is too long or a link that leads elsewhere
 */
export async function readPages(
  path: string,
  key: string,
  budgets: Budgets,
  parsing: Limiter,
  ask: AskPage,
): Promise<unknown[] | undefined> {
  const entries: unknown[] = []
  let bytesLeft = budgets.listBytes
  let next: string | undefined = path
  for (let pages = 0; next !== undefined; pages++) {
    if (pages === budgets.listPages) throw new UpstreamError('failed', `the list has more than ${pages} pages`)
    const page = await ask(next, bytesLeft)
    if (page === undefined) return pages === 0 ? undefined : entries
    const found = await inTurn(page.body, parsing, () => entriesOf(page.body, key))
    if (entries.length + found.length > budgets.listEntries)
      throw new UpstreamError('failed', `the list has more than ${budgets.listEntries} entries`)
    for (const entry of found) entries.push(entry)
    bytesLeft -= page.body.length
    next = nextPage(page.answer, path)
  }
  return entries
}

/** Of the link only the query counts, and only if it leads to the same list: a registry behind a proxy may not know its own address. */
function nextPage(answer: Answer, path: string): string | undefined {
  const link = nextLink(answer.header('link'))
  if (link === undefined) return undefined
  const url = URL.canParse(link, answer.url.href) ? new URL(link, answer.url) : undefined
  if (!url?.pathname.replaceAll(/%3a/gi, ':').endsWith(`/${path}`)) {
    throw new UpstreamError('failed', `the next page of the list is not at ${path}`)
  }
  return `${path}${url.search}`
}

/** Others have their turn before each big page. */
function inTurn<T>(body: Buffer, parsing: Limiter, parse: () => T): T | Promise<T> {
  return body.length < BIG_PAGE_BYTES ? parse() : parsing.run(() => setImmediate().then(parse))
}

/** `null` stands for an empty list (Go's JSON). */
function entriesOf(body: Buffer, key: string): unknown[] {
  let entries: unknown
  try {
    const text = body.toString('utf8')
    if (!isTooDeep(text)) entries = (JSON.parse(text) as Record<string, unknown> | null)?.[key]
  } catch {
    // said below
  }
  if (entries === null) return []
  if (!Array.isArray(entries)) throw new UpstreamError('corrupt', `the answer has no list of ${key}`)
  return entries
}
