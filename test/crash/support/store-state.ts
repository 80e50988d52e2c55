/** What lies in a store of which nobody is alive, looked at without a line of the program that wrote it but its formats. */
import type { Dirent } from 'node:fs'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, digestOf, digestOfFileName } from '../../../src/oci/digest.ts'
import { decodeRecord, decodeRef } from '../../../src/store/record.ts'
import type { ManifestRecord, RefRecord } from '../../../src/store/store.ts'
import { fileDigest } from '../../e2e/support/content-check.ts'

export type StoreState = {
  /** A line for everything that must not be, whenever the program died. */
  readonly wrong: readonly string[]
  /** Marked as verified, and what it says it is. */
  readonly blobs: ReadonlySet<Digest>
  readonly records: ReadonlySet<Digest>
  /** By canonical spelling. */
  readonly refs: ReadonlyMap<string, Digest>
  /** Bytes of what was on its way. */
  readonly spools: ReadonlyMap<Digest, number>
  /** Paths of files that nobody will ever ask for, relative to the store. */
  readonly leftovers: readonly string[]
}

const ANY_WRITE = 0o222
/** What may lie beside the directories. */
const OWN_FILES: ReadonlySet<string> = new Set(['lock', 'scrub.json'])
const DIRECTORIES = ['blobs', 'img', 'fat', 'refs', 'pulls', 'quarantine'] as const

/** @param imagePath a store that was never opened is empty */
export async function inspectStore(imagePath: string): Promise<StoreState> {
  const wrong: string[] = []
  const leftovers = await leftoversIn(imagePath)
  const blobs = await verifiedBlobs(imagePath, wrong)
  const records = new Set<Digest>()
  for (const directory of ['img', 'fat'])
    for (const record of await recordsIn(join(imagePath, directory), wrong)) records.add(record.digest)
  const refs = new Map<string, Digest>()
  for (const { reference, digest } of await refsIn(join(imagePath, 'refs'), wrong)) {
    refs.set(reference, digest)
    if (!records.has(digest)) wrong.push(`the reference ${reference} points at ${digest}, of which there is no record`)
  }
  for (const { name } of await filesIn(join(imagePath, 'quarantine'))) wrong.push(`quarantine/${name}: something damaged was found`)
  return { wrong, blobs, records, refs, spools: await spoolsIn(imagePath), leftovers }
}

/** Bytes of each spool file. */
export async function spoolsIn(imagePath: string): Promise<Map<Digest, number>> {
  const spools = new Map<Digest, number>()
  for (const { name } of await filesIn(join(imagePath, 'pulls'))) {
    const digest = digestOfFileName(name)
    const size = digest && (await sizeOf(join(imagePath, 'pulls', name)))
    if (digest !== undefined && size !== undefined) spools.set(digest, size)
  }
  return spools
}

/** Files that no name of content explains, and notes beside a spool that is gone. */
export async function leftoversIn(imagePath: string): Promise<string[]> {
  const leftovers: string[] = []
  for (const { name } of await filesIn(imagePath)) if (!OWN_FILES.has(name)) leftovers.push(name)
  for (const directory of DIRECTORIES) {
    const names = new Set((await filesIn(join(imagePath, directory))).map(({ name }) => name))
    const isKnown = (name: string) => digestOfFileName(name) !== undefined || (directory === 'pulls' && isNoteOf(name, names))
    if (directory !== 'quarantine') for (const name of names) if (!isKnown(name)) leftovers.push(`${directory}/${name}`)
  }
  return leftovers
}

const isNoteOf = (name: string, names: ReadonlySet<string>) => name.endsWith('.json') && names.has(name.slice(0, -'.json'.length))

async function verifiedBlobs(imagePath: string, wrong: string[]): Promise<Set<Digest>> {
  const blobs = new Set<Digest>()
  for (const { name } of await filesIn(join(imagePath, 'blobs'))) {
    const path = join(imagePath, 'blobs', name)
    const digest = digestOfFileName(name)
    if (digest === undefined || ((await stat(path)).mode & ANY_WRITE) !== 0) continue
    const found = await fileDigest(path)
    if (found === digest) blobs.add(digest)
    else wrong.push(`blobs/${name} is marked as verified and hashes to ${found}`)
  }
  return blobs
}

async function recordsIn(directory: string, wrong: string[]): Promise<ManifestRecord[]> {
  return readAll(directory, wrong, (name, text) => {
    const record = decodeRecord(name, text, () => 0)
    const found = digestOf(record.bytes)
    if (found !== record.digest) throw new Error(`its bytes hash to ${found}`)
    return record
  })
}

async function refsIn(directory: string, wrong: string[]): Promise<RefRecord[]> {
  return readAll(directory, wrong, (name, text) => {
    const ref = decodeRef(text, () => 0)
    const named = digestOf(Buffer.from(ref.reference))
    if (named !== digestOfFileName(name)) throw new Error(`it is about ${ref.reference}, which belongs under another name`)
    return ref
  })
}

async function readAll<T>(directory: string, wrong: string[], read: (name: string, text: string) => T): Promise<T[]> {
  const found: T[] = []
  for (const { name } of await filesIn(directory)) {
    if (digestOfFileName(name) === undefined) continue
    try {
      found.push(read(name, await readFile(join(directory, name), 'utf8')))
    } catch (error) {
      wrong.push(`${directory}/${name}: ${error instanceof Error ? error.message : error}`)
    }
  }
  return found
}

async function filesIn(directory: string): Promise<Dirent[]> {
  try {
    return (await readdir(directory, { withFileTypes: true })).filter((entry) => !entry.isDirectory())
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

/** Undefined for a file that has gone meanwhile. */
async function sizeOf(path: string): Promise<number | undefined> {
  return stat(path).then(
    ({ size }) => size,
    () => undefined,
  )
}
