/** `Range` of a request and `Content-Range` of an answer: text and sizes in, a decision out. No request, no disk. */

/** `end` is inclusive, as on the wire. */
export type ByteRange = { readonly start: number; readonly end: number }
export type RangeDecision = ByteRange | 'whole' | 'unsatisfiable'

/**
 * What part of a blob of `size` bytes a `Range` header asks for (RFC 9110 14.1.2, 14.2).
 * Several ranges and unknown units are ignored: a single part for a multi-range request would be a data bug in c/image.
 * `500-0` is unsatisfiable, as the OCI conformance suite demands; `bytes=0-` of an empty blob is whole, since containerd 2.1 fails on a 416 there.
 */
export function decideRange(header: string | undefined, size: number): RangeDecision {
  if (header === undefined) return 'whole'
  const match = /^bytes\s*=\s*(?:(\d+)-(\d*)|-(\d+))$/i.exec(header.trim())
  if (match === null) return 'whole'
  const [, first, last, suffix] = match
  if (first === undefined) {
    const length = Math.min(Number(suffix), size)
    if (Number(suffix) === 0) return 'unsatisfiable'
    return length === 0 ? 'whole' : { start: size - length, end: size - 1 }
  }
  const start = Number(first)
  const end = last === undefined || last === '' ? size - 1 : Math.min(Number(last), size - 1)
  if (last !== '' && Number(last) < start) return 'unsatisfiable'
  if (size === 0 && start === 0) return 'whole'
  return start >= size ? 'unsatisfiable' : { start, end }
}

/** `bytes 0-9/100`; `total` is undefined where the sender wrote `*`. */
export type ContentRange = { readonly start: number; readonly end: number; readonly total: number | undefined }

/** Reads the `Content-Range` of a 206; undefined if it is missing or makes no sense. */
export function parseContentRange(header: string | null | undefined): ContentRange | undefined {
  const match = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/.exec(header?.trim() ?? '')
  if (match === null) return undefined
  const start = Number(match[1])
  const end = Number(match[2])
  const total = match[3] === '*' ? undefined : Number(match[3])
  return end < start || (total !== undefined && end >= total) ? undefined : { start, end, total }
}

/** The total that a 416 names (`bytes * /0`, without the blank); undefined if it names none. */
export function totalOfUnsatisfied(header: string | null | undefined): number | undefined {
  const match = /^bytes \*\/(\d{1,15})$/.exec(header?.trim() ?? '')
  return match === null ? undefined : Number(match[1])
}
