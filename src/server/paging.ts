/** Pages of a tag list (distribution-spec, "Listing Tags"). */
import { OciError } from '../oci/error.ts'

export type Page = { readonly tags: readonly string[]; readonly more: boolean }

/** @param n how many tags a client wants at the most, as text. @returns undefined for no limit. @throws OciError 400 if it is no number */
export function pageLimit(n: string | null): number | undefined {
  if (n === null || n === '') return undefined
  if (!/^\d{1,9}$/.test(n)) throw new OciError(400, 'UNSUPPORTED', `n=${n.slice(0, 50)} is not a number of tags`)
  return Number(n)
}

/** @param sorted all tags. @param last only tags behind this one, whether it exists or not */
export function pageOf(sorted: readonly string[], limit: number | undefined, last: string | null): Page {
  const behind = last === null || last === '' ? sorted : sorted.filter((tag) => tag > last)
  if (limit === undefined) return { tags: behind, more: false }
  return { tags: behind.slice(0, limit), more: limit > 0 && behind.length > limit }
}

/** The `Link` to the next page, in the shape in which this page was asked for. */
export function nextPageLink(rawPath: string, query: URLSearchParams, lastTag: string): string {
  const next = new URLSearchParams(query)
  next.set('last', lastTag)
  return `<${rawPath}?${next}>; rel="next"`
}
