import assert from 'node:assert/strict'
import { test } from 'node:test'
import { drawingColumns } from '../../src/cli/terminal.ts'

const cases: [what: string, stream: Parameters<typeof drawingColumns>[0], term: string | undefined, columns: number | undefined][] = [
  ['a terminal', { isTTY: true, columns: 120 }, 'xterm', 120],
  ['a terminal of unknown kind', { isTTY: true, columns: 120 }, undefined, 120],
  ['a narrow terminal', { isTTY: true, columns: 1 }, 'xterm', 1],
  ['a terminal that reports no columns', { isTTY: true, columns: 0 }, 'vt100', 80],
  ['a terminal that does not say', { isTTY: true, columns: undefined }, 'vt100', 80],
  ['a terminal that cannot move its cursor', { isTTY: true, columns: 120 }, 'dumb', undefined],
  ['a file or a pipe', { columns: undefined }, 'xterm', undefined],
  ['what is no terminal, whatever it says of its width', { isTTY: false, columns: 120 }, 'xterm', undefined],
]
for (const [what, stream, term, columns] of cases)
  test(`The width of ${what} is ${columns}`, () => assert.equal(drawingColumns(stream, term), columns))
