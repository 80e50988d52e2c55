/** The system calls that the store makes, behind one interface, so that tests can fill the disk, break it and pull its plug. */
import * as fs from 'node:fs'

/** What the store looks at of a file's metadata. */
export type FileStats = Pick<fs.Stats, 'dev' | 'ino' | 'size' | 'mode' | 'uid' | 'gid' | 'mtimeMs' | 'isFile' | 'isDirectory'>

/** As in the system's manual: each fails with the system's error. A descriptor belongs to the file system that opened it. */
export interface FileSystem {
  /** @param flags as of `fs.open` */
  open(path: string, flags: string | number, mode?: number): Promise<number>
  /** Into `buffer` from its start. @returns how many bytes came; fewer than `length` are no error, 0 is the end of the file */
  read(fd: number, buffer: Uint8Array, length: number, position: number): Promise<number>
  /** @returns how many bytes were taken; fewer than there are is no error */
  writev(fd: number, chunks: readonly Uint8Array[], position: number): Promise<number>
  fsync(fd: number): Promise<void>
  fdatasync(fd: number): Promise<void>
  ftruncate(fd: number, sizeBytes: number): Promise<void>
  fstat(fd: number): Promise<FileStats>
  fchmod(fd: number, mode: number): Promise<void>
  fchown(fd: number, uid: number, gid: number): Promise<void>
  close(fd: number): Promise<void>
  stat(path: string): Promise<FileStats>
  access(path: string, mode: number): Promise<void>
  rename(from: string, to: string): Promise<void>
  unlink(path: string): Promise<void>
  /** One directory, whose parent exists. */
  mkdir(path: string): Promise<void>
  readdir(path: string): Promise<string[]>
  statfs(path: string): Promise<Pick<fs.StatsFs, 'bsize' | 'blocks' | 'bavail'>>
  openSync(path: string, flags: number): number
  readSync(fd: number, buffer: Uint8Array, length: number, position: number): number
  fstatSync(fd: number): FileStats
  statSync(path: string): FileStats
  closeSync(fd: number): void
}

/** A named pipe that lies in the place of a file does not hold it up. */
export const TO_READ = fs.constants.O_RDONLY | fs.constants.O_NONBLOCK

/** Also never what a link in its place points at: for files that are written to, or marked as verified. */
export const OWN_TO_READ = TO_READ | fs.constants.O_NOFOLLOW
export const OWN_TO_WRITE = fs.constants.O_RDWR | fs.constants.O_NONBLOCK | fs.constants.O_NOFOLLOW

/** The real one. Not the promises of Node, whose files are objects that cost more than a descriptor. */
export const systemFiles: FileSystem = {
  open: (path, flags, mode) =>
    new Promise((resolve, reject) => fs.open(path, flags, mode, (error, fd) => (error ? reject(error) : resolve(fd)))),
  read: (fd, buffer, length, position) =>
    new Promise((resolve, reject) => fs.read(fd, buffer, 0, length, position, (error, bytes) => (error ? reject(error) : resolve(bytes)))),
  writev: (fd, chunks, position) =>
    new Promise((resolve, reject) => fs.writev(fd, chunks, position, (error, bytes) => (error ? reject(error) : resolve(bytes)))),
  fsync: (fd) => new Promise((resolve, reject) => fs.fsync(fd, (error) => (error ? reject(error) : resolve()))),
  fdatasync: (fd) => new Promise((resolve, reject) => fs.fdatasync(fd, (error) => (error ? reject(error) : resolve()))),
  ftruncate: (fd, sizeBytes) =>
    new Promise((resolve, reject) => fs.ftruncate(fd, sizeBytes, (error) => (error ? reject(error) : resolve()))),
  fstat: (fd) => new Promise((resolve, reject) => fs.fstat(fd, (error, stats) => (error ? reject(error) : resolve(stats)))),
  fchmod: (fd, mode) => new Promise((resolve, reject) => fs.fchmod(fd, mode, (error) => (error ? reject(error) : resolve()))),
  fchown: (fd, uid, gid) => new Promise((resolve, reject) => fs.fchown(fd, uid, gid, (error) => (error ? reject(error) : resolve()))),
  close: (fd) => new Promise((resolve, reject) => fs.close(fd, (error) => (error ? reject(error) : resolve()))),
  stat: (path) => new Promise((resolve, reject) => fs.stat(path, (error, stats) => (error ? reject(error) : resolve(stats)))),
  access: (path, mode) => new Promise((resolve, reject) => fs.access(path, mode, (error) => (error ? reject(error) : resolve()))),
  rename: (from, to) => new Promise((resolve, reject) => fs.rename(from, to, (error) => (error ? reject(error) : resolve()))),
  unlink: (path) => new Promise((resolve, reject) => fs.unlink(path, (error) => (error ? reject(error) : resolve()))),
  mkdir: (path) => new Promise((resolve, reject) => fs.mkdir(path, (error) => (error ? reject(error) : resolve()))),
  readdir: (path) => new Promise((resolve, reject) => fs.readdir(path, (error, names) => (error ? reject(error) : resolve(names)))),
  statfs: (path) => new Promise((resolve, reject) => fs.statfs(path, (error, stats) => (error ? reject(error) : resolve(stats)))),
  openSync: (path, flags) => fs.openSync(path, flags),
  readSync: (fd, buffer, length, position) => fs.readSync(fd, buffer, 0, length, position),
  fstatSync: (fd) => fs.fstatSync(fd),
  statSync: (path) => fs.statSync(path),
  closeSync: (fd) => fs.closeSync(fd),
}
