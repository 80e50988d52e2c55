/**
 * Faults of upstreams against what clients ask for: the pairs of the matrix, or all of it (`npm run test:faults`).
 * The budgets are those of production, on a clock that runs faster while a fault is in force.
 */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { type Certificate, makeAuthority } from '../support/certificates.ts'
import { until } from '../support/until.ts'
import { allCells, nameOf, somePairs } from './cells.ts'
import { play } from './play.ts'

/** A cell that takes this long hangs; each wait of its own is shorter. */
const CELL_MS = 60_000

const cells = process.env.OCIREGISTRY_FAULTS === 'all' ? allCells() : somePairs()

describe('while an upstream is in trouble', { concurrency: 4 }, () => {
  let certificate: Certificate
  let directory: string
  let descriptors = 0

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'ociregistry-faults-'))
    certificate = await (await makeAuthority(directory)).issue('127.0.0.1')
    descriptors = openDescriptors()
  })

  after(async () => {
    await rm(directory, { recursive: true })
    await until(() => openDescriptors() <= descriptors, 'no file or socket is left open')
    assert(cells.length > 0)
  })

  for (const cell of cells) it(nameOf(cell), { timeout: CELL_MS }, (t) => play(t, cell, certificate))
})

function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length
}
