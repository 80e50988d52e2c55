/**
 * A file system that forgets as a real one may: what was written is there at once for everybody, and survives a power loss only as far as it was synced.
 * The bytes of a file and its mode need a sync of the file; its name, also where it was moved or removed, a sync of the directory that the name is in.
 * Of what was not synced, each page and each change of a name may have reached the disk or not, as a seed says.
 */
import { constants } from 'node:fs'
import { setImmediate as turn } from 'node:timers/promises'
import type { FileStats, FileSystem } from '../../src/store/file-system.ts'
import { systemError } from './faulty-disk.ts'
import type { Random } from './property.ts'

/** As small as a device may write; small files are to have several. */
const PAGE_BYTES = 512

/** What the power is lost in. */
class PowerLoss extends Error {
  override readonly name = 'PowerLoss'
}

type Content = { bytes: Buffer; mode: number }

class FileNode {
  readonly kind = 'file'
  now: Content
  durable: Content
  mtimeMs = 0

  constructor(
    readonly ino: number,
    content: Content,
  ) {
    this.now = content
    this.durable = { ...content }
  }
}

class DirectoryNode {
  readonly kind = 'directory'
  readonly now = new Map<string, Node>()
  readonly durable = new Map<string, Node>()
  /** Changes of names since the last sync, in order. */
  changes: { readonly name: string; readonly node: Node | undefined }[] = []

  constructor(readonly ino: number) {}

  change(name: string, node: Node | undefined): void {
    apply(this.now, name, node)
    this.changes.push({ name, node })
  }

  sync(): void {
    for (const { name, node } of this.changes) apply(this.durable, name, node)
    this.changes = []
  }
}

type Node = FileNode | DirectoryNode

export class PageCache implements FileSystem {
  #root = new DirectoryNode(1)
  readonly #open = new Map<number, Node>()
  #nextIno = 2
  #nextFd = 1_000_000 // unlike one of the system, should they be confused
  #ticks = 0
  /** Calls that change something, so far. */
  changes = 0
  /** The power is lost in the place of this change. */
  lostAt = Number.POSITIVE_INFINITY

  /** @param random how long calls take, in relation to each other; without it, all take the same time */
  constructor(private readonly random?: Random) {}

  get hasPower(): boolean {
    return this.changes < this.lostAt
  }

  /** What is on the disk when the power is back. This one is off for ever. */
  powerLoss(random: Random): PageCache {
    this.lostAt = this.changes
    const survivors = this.#successor()
    const eagerness = random.pick([0, 0, 25, 50, 90, 100])
    const survives = () => random.below(100) < eagerness
    const copies = new Map<Node, Node>()
    const copy = (node: Node): Node => {
      const known = copies.get(node)
      if (known !== undefined) return known
      if (node.kind === 'file') {
        const file = new FileNode(node.ino, survivingContent(node, survives, random))
        file.mtimeMs = node.mtimeMs
        copies.set(node, file)
        return file
      }
      const directory = new DirectoryNode(node.ino)
      copies.set(node, directory)
      const names = new Map(node.durable)
      for (const change of node.changes) if (survives()) apply(names, change.name, change.node)
      for (const [name, child] of names) directory.change(name, copy(child))
      directory.sync()
      return directory
    }
    survivors.#root = copy(this.#root) as DirectoryNode
    return survivors
  }

  /** What a process that comes after this one was killed finds: everything. This one is off for ever. */
  kill(): PageCache {
    this.lostAt = this.changes
    const survivors = this.#successor()
    survivors.#root = this.#root
    return survivors
  }

  /** The bytes under a name have become others, on the disk itself; mode and name are as before. */
  rot(path: string): void {
    const [directory, name] = this.#place(path, 'rot')
    const file = this.#at(path, 'rot')
    if (file.kind !== 'file') throw systemError('EISDIR', 'rot', path)
    const rotten = new FileNode(this.#nextIno++, { bytes: Buffer.alloc(file.now.bytes.byteLength), mode: file.now.mode })
    apply(directory.now, name, rotten)
    apply(directory.durable, name, rotten)
  }

  async open(path: string, flags: string | number, mode = 0o666): Promise<number> {
    const creates = flags === 'wx' || flags === 'wx+'
    await this.#call(creates)
    if (!creates) return this.openSync(path, flags)
    const [directory, name] = this.#place(path, 'open')
    if (directory.now.has(name)) throw systemError('EEXIST', 'open', path)
    const file = new FileNode(this.#nextIno++, { bytes: Buffer.alloc(0), mode: 0o100000 | mode })
    directory.change(name, file)
    return this.#newFd(file)
  }

  async read(fd: number, buffer: Uint8Array, length: number, position: number): Promise<number> {
    await this.#call(false)
    return this.readSync(fd, buffer, length, position)
  }

  async writev(fd: number, chunks: readonly Uint8Array[], position: number): Promise<number> {
    await this.#call(true)
    const file = this.#file(fd)
    const added = Buffer.concat(chunks)
    const bytes = Buffer.alloc(Math.max(file.now.bytes.byteLength, position + added.byteLength))
    file.now.bytes.copy(bytes)
    added.copy(bytes, position)
    this.#rewrite(file, bytes)
    return added.byteLength
  }

  async fsync(fd: number): Promise<void> {
    await this.#call(true)
    const node = this.#node(fd)
    if (node.kind === 'directory') node.sync()
    else node.durable = { ...node.now }
  }

  /** The size counts as data, the mode does not. */
  async fdatasync(fd: number): Promise<void> {
    await this.#call(true)
    const file = this.#file(fd)
    file.durable = { bytes: file.now.bytes, mode: file.durable.mode }
  }

  async ftruncate(fd: number, sizeBytes: number): Promise<void> {
    await this.#call(true)
    const file = this.#file(fd)
    const bytes = Buffer.alloc(sizeBytes)
    file.now.bytes.copy(bytes)
    this.#rewrite(file, bytes)
  }

  async fstat(fd: number): Promise<FileStats> {
    await this.#call(false)
    return this.fstatSync(fd)
  }

  async fchmod(fd: number, mode: number): Promise<void> {
    await this.#call(true)
    const file = this.#file(fd)
    file.now = { bytes: file.now.bytes, mode: 0o100000 | mode }
  }

  /** All of it belongs to root. */
  async fchown(): Promise<void> {
    await this.#call(true)
  }

  async close(fd: number): Promise<void> {
    await this.#call(false)
    this.closeSync(fd)
  }

  async stat(path: string): Promise<FileStats> {
    await this.#call(false)
    return statsOf(this.#at(path, 'stat'))
  }

  async access(path: string): Promise<void> {
    await this.#call(false)
    this.#at(path, 'access')
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#call(true)
    const node = this.#at(from, 'rename')
    const [oldPlace, oldName] = this.#place(from, 'rename')
    const [newPlace, newName] = this.#place(to, 'rename')
    if (newPlace.now.get(newName)?.kind === 'directory') throw systemError('EISDIR', 'rename', to)
    newPlace.change(newName, node)
    oldPlace.change(oldName, undefined)
  }

  async unlink(path: string): Promise<void> {
    await this.#call(true)
    if (this.#at(path, 'unlink').kind === 'directory') throw systemError('EISDIR', 'unlink', path)
    const [directory, name] = this.#place(path, 'unlink')
    directory.change(name, undefined)
  }

  async mkdir(path: string): Promise<void> {
    await this.#call(true)
    const [directory, name] = this.#place(path, 'mkdir')
    if (directory.now.has(name)) throw systemError('EEXIST', 'mkdir', path)
    directory.change(name, new DirectoryNode(this.#nextIno++))
  }

  async readdir(path: string): Promise<string[]> {
    await this.#call(false)
    const node = this.#at(path, 'readdir')
    if (node.kind !== 'directory') throw systemError('ENOTDIR', 'readdir', path)
    return [...node.now.keys()]
  }

  async statfs(): Promise<{ bsize: number; blocks: number; bavail: number }> {
    await this.#call(false)
    return { bsize: PAGE_BYTES, blocks: 1_000_000, bavail: 1_000_000 }
  }

  openSync(path: string, flags: string | number): number {
    if (typeof flags === 'string' ? !['r', 'r+'].includes(flags) : (flags & constants.O_CREAT) !== 0)
      throw new Error(`no test needed these flags so far: ${flags}`)
    return this.#newFd(this.#at(path, 'open'))
  }

  readSync(fd: number, buffer: Uint8Array, length: number, position: number): number {
    const { bytes } = this.#file(fd).now
    return bytes.copy(buffer, 0, position, position + length)
  }

  fstatSync(fd: number): FileStats {
    return statsOf(this.#node(fd))
  }

  statSync(path: string): FileStats {
    return statsOf(this.#at(path, 'stat'))
  }

  closeSync(fd: number): void {
    this.#node(fd)
    this.#open.delete(fd)
  }

  /** How many files are open. */
  get openFiles(): number {
    return this.#open.size
  }

  async #call(changes: boolean): Promise<void> {
    for (let turns = this.random?.below(3) ?? 1; turns > 0; turns--) await turn()
    if (changes && this.hasPower) this.changes++
    if (!this.hasPower) throw new PowerLoss('the power is off')
  }

  #rewrite(file: FileNode, bytes: Buffer): void {
    file.now = { bytes, mode: file.now.mode }
    file.mtimeMs = ++this.#ticks
  }

  #successor(): PageCache {
    const next = new PageCache(this.random)
    next.#nextIno = this.#nextIno
    next.#ticks = this.#ticks
    return next
  }

  #newFd(node: Node): number {
    this.#open.set(this.#nextFd, node)
    return this.#nextFd++
  }

  #node(fd: number): Node {
    const node = this.#open.get(fd)
    if (node === undefined) throw systemError('EBADF', 'fd')
    return node
  }

  #file(fd: number): FileNode {
    const node = this.#node(fd)
    if (node.kind !== 'file') throw systemError('EISDIR', 'fd')
    return node
  }

  #at(path: string, syscall: string): Node {
    let node: Node = this.#root
    for (const name of path.split('/').filter((part) => part !== '')) {
      if (node.kind !== 'directory') throw systemError('ENOTDIR', syscall, path)
      const next = node.now.get(name)
      if (next === undefined) throw systemError('ENOENT', syscall, path)
      node = next
    }
    return node
  }

  #place(path: string, syscall: string): readonly [DirectoryNode, string] {
    const parts = path.split('/')
    const name = parts.pop() ?? ''
    const directory = this.#at(parts.join('/'), syscall)
    if (directory.kind !== 'directory') throw systemError('ENOTDIR', syscall, path)
    return [directory, name]
  }
}

/** Page by page: as it was synced last, or as it was written since; where a file has become longer, pages that did not reach the disk are zeroes. */
function survivingContent(file: FileNode, survives: () => boolean, random: Random): Content {
  const { now, durable } = file
  const mode = survives() ? now.mode : durable.mode
  if (now.bytes === durable.bytes) return { bytes: now.bytes, mode }
  const [least, most] = [now.bytes.byteLength, durable.bytes.byteLength].sort((a, b) => a - b) as [number, number]
  const sizeBytes = random.pick([
    durable.bytes.byteLength,
    survives() ? now.bytes.byteLength : durable.bytes.byteLength,
    random.between(least, most),
  ])
  const bytes = Buffer.alloc(sizeBytes)
  durable.bytes.copy(bytes)
  for (let at = 0; at < sizeBytes; at += PAGE_BYTES)
    if (survives() && at < now.bytes.byteLength) now.bytes.copy(bytes, at, at, at + PAGE_BYTES)
  return { bytes, mode }
}

function apply(names: Map<string, Node>, name: string, node: Node | undefined): void {
  if (node === undefined) names.delete(name)
  else names.set(name, node)
}

function statsOf(node: Node): FileStats {
  const isFile = node.kind === 'file'
  return {
    dev: 1,
    ino: node.ino,
    size: isFile ? node.now.bytes.byteLength : 0,
    mode: isFile ? node.now.mode : 0o40755,
    uid: 0,
    gid: 0,
    mtimeMs: isFile ? node.mtimeMs : 0,
    isFile: () => isFile,
    isDirectory: () => !isFile,
  }
}
