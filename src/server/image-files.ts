/** Files that name images: from a specification such as `base.txt,lists/*.txt` to what each file is, and to the images that lists name. */
import { createReadStream, fstatSync } from 'node:fs'
import type { Readable } from 'node:stream'
import { type ListedImage, parseImageList } from '../oci/image-list.ts'
import type { RegistryAliases } from '../oci/image-name.ts'
import { glob } from './glob.ts'

/** What there is to be loaded from: lists of names, so far. */
export type ImageSource = { readonly kind: 'list'; readonly path: string; readonly text: string }

/** An image of a list, and the list. */
export type ImageOfList = ListedImage & { readonly list: string }

/** For whoever wrote the specification or the file: one line. */
export class ImageFileError extends Error {}

const STDIN = '/dev/stdin'
/** The same, as many programs have it. */
const DASH = '-'
/** Far more than any list has. */
const MOST_BYTES = 16 * 1024 * 1024
/** So much of a file says what it is. */
const HEAD_BYTES = 512

/** @param spec files and globs, separated by commas; `-` is standard input. @throws ImageFileError */
export async function imageSources(spec: string): Promise<readonly ImageSource[]> {
  const patterns = patternsOf(spec)
  if (patterns.length === 0) throw new ImageFileError(`no files are named by '${spec}'`)
  const paths = await Promise.all(patterns.map(filesOf))
  const sources: ImageSource[] = []
  for (const path of new Set(paths.flat())) sources.push({ kind: 'list', path, text: await readList(path) })
  return sources
}

/** All images that the files of a specification name, each once. @throws ImageFileError */
export async function listedImages(spec: string, aliases: RegistryAliases): Promise<readonly ImageOfList[]> {
  const images = new Map<string, ImageOfList>()
  for (const { path, text } of await imageSources(spec)) {
    for (const listed of parseImageList(text, aliases)) {
      const key = 'image' in listed ? JSON.stringify(listed.image) : `${path}:${listed.line}`
      if (!images.has(key)) images.set(key, { ...listed, list: path })
    }
  }
  return [...images.values()]
}

function patternsOf(spec: string): readonly string[] {
  return spec
    .split(',')
    .map((pattern) => pattern.trim())
    .filter((pattern) => pattern !== '')
}

async function filesOf(pattern: string): Promise<readonly string[]> {
  if (pattern === DASH) return [STDIN]
  const paths = await glob(pattern).catch((cause: Error) => {
    throw new ImageFileError(`${pattern}: ${cause.message}`, { cause })
  })
  if (paths.length === 0) throw new ImageFileError(`no files matched "${pattern}"`)
  return paths
}

/** In one go, since standard input can be read once only. */
async function readList(path: string): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of path === STDIN ? standardInput() : createReadStream(path)) {
      const isHead = bytes < HEAD_BYTES
      chunks.push(chunk)
      bytes += chunk.byteLength
      if (isHead) refuseArchive(path, Buffer.concat(chunks))
      if (bytes > MOST_BYTES) throw new ImageFileError(`${path}: it has more than ${MOST_BYTES} bytes, more than any list of images`)
    }
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks))
  } catch (cause) {
    if (cause instanceof ImageFileError) throw cause
    throw new ImageFileError(`cannot read ${path}: ${cause instanceof TypeError ? 'it is no UTF-8 text' : (cause as Error).message}`, {
      cause,
    })
  }
}

/** By its number: what stands behind the name cannot be opened where it is a socket. Node's stream waits for a pipe that has nothing yet; of a directory it makes nothing. */
function standardInput(): Readable {
  return fstatSync(0).isDirectory() ? createReadStream(STDIN, { fd: 0, autoClose: false }) : process.stdin
}

function refuseArchive(path: string, head: Buffer): void {
  const isGzip = head[0] === 0x1f && head[1] === 0x8b
  const isTar = head.subarray(257, 262).toString('latin1') === 'ustar'
  if (isGzip || isTar) throw new ImageFileError(`${path}: found an archive, which a later version will load; want a list of images`)
}
