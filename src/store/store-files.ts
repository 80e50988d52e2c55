/** The files of a directory store as they lie there, for those who check them: nothing is decoded, and nothing changes but by `quarantine`. */
import { join } from 'node:path'
import type { Log } from '../observe/log.ts'
import { type Digest, digestFileName, digestFromHash, digestOfFileName } from '../oci/digest.ts'
import { isMissing, namesIn } from './file.ts'
import { FileBlob, identityOfFile } from './file-blob.ts'
import { type FileSystem, systemFiles } from './file-system.ts'
import { moveToQuarantine, quarantinedFile } from './quarantine.ts'
import { referenceFileName } from './record.ts'
import type { StoredBlob } from './store.ts'

export type FileKind = 'blob' | 'record' | 'reference'

/** In the order in which they are to be checked: a reference is written after its record, a record is known before its blobs are asked about. */
const KINDS = { refs: 'reference', fat: 'record', img: 'record', lts: 'record', blobs: 'blob' } as const
type Directory = keyof typeof KINDS
const DIRECTORIES = Object.keys(KINDS) as readonly Directory[]

export type StoreFile = {
  readonly kind: FileKind
  /** Within the store: `blobs/<hex>`. */
  readonly path: string
  /** What its name stands for; of a reference: the hash of its spelling. */
  readonly digest: Digest
}

export type Amount = { readonly files: number; readonly bytes: number }

export class StoreFiles {
  constructor(
    readonly path: string,
    private readonly log: Log,
    private readonly files: FileSystem = systemFiles,
  ) {}

  /** All files that have a name of ours, in an order that stays the same. @param after a path within the store: only what comes behind it */
  async *list(after = ''): AsyncGenerator<StoreFile> {
    const [from, last] = placeOf(after)
    for (const directory of DIRECTORIES.slice(from)) {
      for (const name of (await this.#names(directory)).sort()) {
        const digest = digestOfFileName(name)
        if (digest === undefined || (directory === DIRECTORIES[from] && name <= last)) continue
        yield fileIn(directory, digest)
      }
    }
  }

  /** Undefined where there is no regular file. @throws the system's error */
  async open(file: StoreFile): Promise<StoredBlob | undefined> {
    try {
      return await FileBlob.open(join(this.path, file.path), this.files)
    } catch (error) {
      if (isMissing(error)) return undefined
      throw error
    }
  }

  /** Another one when somebody has replaced the file; undefined where there is none. */
  identity(file: StoreFile): Promise<string | undefined> {
    return identityOfFile(join(this.path, file.path), this.files)
  }

  /** Takes a wrong file out of the way, if it is still the one with that identity. @returns whether it was */
  async quarantine(file: StoreFile, identity: string, why: string): Promise<boolean> {
    if ((await this.identity(file)) !== identity) return false
    return moveToQuarantine(this.path, join(this.path, file.path), why, this.log, this.files)
  }

  /** What was ever quarantined: kind and digest, once for each. */
  async quarantined(): Promise<Pick<StoreFile, 'kind' | 'digest'>[]> {
    const found = new Map<string, Pick<StoreFile, 'kind' | 'digest'>>()
    for (const entry of await this.#names('quarantine')) {
      const { directory, name } = quarantinedFile(entry) ?? {}
      const digest = name === undefined ? undefined : digestOfFileName(name)
      if (digest === undefined || !isDirectory(directory)) continue
      const kind = KINDS[directory]
      found.set(`${kind} ${digest}`, { kind, digest })
    }
    return [...found.values()]
  }

  /** What lies in a directory that is only counted. */
  async amount(directory: 'pulls' | 'quarantine'): Promise<Amount> {
    let [files, bytes] = [0, 0]
    for (const name of await this.#names(directory)) {
      const stats = await this.files.stat(join(this.path, directory, name)).catch(() => undefined) // it went meanwhile
      if (stats?.isFile() !== true) continue
      files++
      bytes += stats.size
    }
    return { files, bytes }
  }

  #names(directory: string): Promise<string[]> {
    return namesIn(join(this.path, directory), this.files)
  }
}

/** Where a blob may lie, or a record: the same one may lie in several directories. */
export function filesOf(kind: 'blob' | 'record', digest: Digest): readonly StoreFile[] {
  return DIRECTORIES.filter((directory) => KINDS[directory] === kind).map((directory) => fileIn(directory, digest))
}

/** The file of a reference in canonical spelling. */
export function fileOfReference(reference: string): StoreFile {
  return fileIn('refs', digestFromHash('sha256', referenceFileName(reference)))
}

function fileIn(directory: Directory, digest: Digest): StoreFile {
  return { kind: KINDS[directory], path: `${directory}/${digestFileName(digest)}`, digest }
}

/** The directory to begin with, and the last name in it that is not wanted. */
function placeOf(path: string): readonly [from: number, last: string] {
  const [directory, name = ''] = path.split('/')
  return isDirectory(directory) ? [DIRECTORIES.indexOf(directory), name] : [0, '']
}

function isDirectory(name: string | undefined): name is Directory {
  return name !== undefined && Object.hasOwn(KINDS, name)
}
