/** The head of an answer, as far as clients that must cost next to nothing have to know it. */

export type Head = {
  readonly status: number
  /** NaN where the answer does not say. */
  readonly contentBytes: number
  /** Where the body begins. */
  readonly endsAt: number
}

/** Undefined while the head is not complete; `text` is what came, one character for each byte. */
export function parseHead(text: string): Head | undefined {
  const end = text.indexOf('\r\n\r\n')
  if (end === -1) return undefined
  const status = Number(text.slice(9, 12))
  const [, length] = /\r\ncontent-length: *(\d+)\r/i.exec(text.slice(0, end + 2)) ?? []
  return { status, contentBytes: Number(length), endsAt: end + 4 }
}
