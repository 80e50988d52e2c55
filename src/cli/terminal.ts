/** How wide a terminal is on which lines can be drawn again. */

/** Of a serial line or a pseudo-terminal that nobody has told its size. */
const UNTOLD_COLUMNS = 80

/** @param term the kind of terminal, as `TERM` has it. @returns undefined for what is none, or cannot move its cursor */
export function drawingColumns(
  { isTTY, columns }: { readonly isTTY?: boolean | undefined; readonly columns?: number | undefined },
  term: string | undefined,
): number | undefined {
  return isTTY === true && term !== 'dumb' ? columns || UNTOLD_COLUMNS : undefined
}
