/** Pages of a tag list (distribution-spec, "Listing Tags"). */
import { OciError } from '../oci/error.ts'

export type Page = { readonly tags: readonly string[]; readonly more: boolean }

/**
 * @param sorted all tags. @param n how many to return at the most, as text; @param last only tags behind this one, whether it exists or not
 * @throws OciError 400 if `n` is no number
 */
export function pageOf(sorted: readonly string[], n: string | null, last: string | null): Page {
  const behind = last === null || last === '' ? sorted : sorted.filter((tag) => tag > last)
  if (n === null || n === '') return { tags: behind, more: false }
  if (!/^\d{1,9}$/.test(n)) throw new OciError(400, 'UNSUPPORTED', `n=${n.slice(0, 50)} is not a number of tags`)
  const limit = Number(n)
  return { tags: behind.slice(0, limit), more: limit > 0 && behind.length > limit }
}

/** The `Link` to the next page, in the shape in which this page was asked for. */
export function nextPageLink(rawPath: string, query: URLSearchParams, lastTag: string): string {
  const next = new URLSearchParams(query)
  next.set('last', lastTag)
  return `<${rawPath}?${next}>; rel="next"`
}
