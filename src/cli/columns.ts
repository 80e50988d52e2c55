/** Rows of a table as lines of text. */

type Row = readonly string[]

/** Columns one below the other, for people. */
export function alignedLines(rows: readonly Row[]): string[] {
  return rows.map(alignedTo(widthsOf(rows)))
}

/** Of each column, the most that a cell has. */
export function widthsOf(rows: readonly Row[]): readonly number[] {
  const widths: number[] = []
  for (const row of rows) for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length)
  return widths
}

export function alignedTo(widths: readonly number[]): (row: Row) => string {
  return (row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd()
}

/** One blank between columns, for programs: no cell may have one. */
export function plainLine(row: Row): string {
  return row.join(' ')
}
