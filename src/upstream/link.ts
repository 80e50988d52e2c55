/** `Link` headers of paged lists (RFC 8288): where the next page is. */

/** The target of `rel="next"`, as it was written; undefined on the last page. */
export function nextLink(header: string | undefined): string | undefined {
  for (const [, target, params = ''] of (header ?? '').matchAll(/<([^>]*)>((?:\s*;\s*[^;,"=\s]+\s*=\s*(?:"[^"]*"|[^",;\s]+))*)/g)) {
    if (/;\s*rel\s*=\s*(?:"(?:[^"]*\s)?next(?:\s[^"]*)?"|next(?=[;\s]|$))/i.test(params)) return target
  }
  return undefined
}
