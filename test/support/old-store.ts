/**
 * Stores as the Go program of 1.7 to 1.17 leaves them, written from the description of its format, with images of our own: lists and images of
 * both dialects, shared layers, Docker Hub names with and without `library/`, and times in every state that people have them in.
 */
import { createHash } from 'node:crypto'
import { chmod, mkdir, readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { amd64, arm64, type Content, docker, type Image, type Index, image, index, oci, randomLayer } from '../e2e/support/image.ts'

/** 1.9 stands for all up to 1.17. */
export const generations = ['1.7', '1.7, patched by hand', '1.8', '1.9'] as const
export type Generation = (typeof generations)[number]

/** A manifest and how it was asked for, in the spelling that the store has. */
export type OldManifest = { readonly imageUrl: string; readonly digest: Digest; readonly mediaType: string; readonly bytes: Buffer }
export type OldStore = {
  readonly path: string
  readonly generation: Generation
  /** Everything that the program served before it was stopped. */
  readonly manifests: readonly OldManifest[]
  readonly blobs: ReadonlyMap<Digest, Buffer>
}

export type Times = { readonly created?: string; readonly pulled?: string }

const TYPES = [docker.index, docker.manifest, oci.index, oci.manifest]
const COPIES: readonly (readonly [key: string, mediaType: string, empty: object])[] = [
  ['v1.oci.index', oci.index, { schemaVersion: 0, manifests: null }],
  ['v1.oci.manifest', oci.manifest, { schemaVersion: 0, config: { mediaType: '', digest: '', size: 0 }, layers: null }],
  ['v2.docker.manifestList', docker.index, { schemaVersion: 0, mediaType: '', manifests: null }],
  ['v2.docker.manifest', docker.manifest, { schemaVersion: 0, config: {}, layers: null }],
]
/** In turn; the last is what the documented `sed` leaves when its quotes keep the shell from filling in the times. */
const TIMES: readonly Times[] = [
  { created: '2025-07-20T17:15:21', pulled: '2025-11-20T08:00:00' },
  { created: '', pulled: '' },
  {},
  { created: '', pulled: '2025-11-20T08:00:00' },
  { created: '$CREATED', pulled: '$PULLED' },
]
const EPOCH_S = Date.UTC(2025, 0, 1) / 1000

/** Writes a whole store of one generation into an empty or missing directory. */
export async function writeOldStore(path: string, generation: Generation): Promise<OldStore> {
  const { manifests, blobs } = everything(generation)
  for (const [digest, bytes] of blobs) await writeOldBlob(path, digest, bytes)
  for (const [turn, manifest] of manifests.entries()) {
    const patched = generation === '1.7, patched by hand' ? TIMES.at(-1) : TIMES[turn % TIMES.length]
    const text = wrapper(manifest, generation, generation === '1.7' ? {} : (patched ?? {}))
    const odd = manifest.imageUrl.startsWith('harbor:5000/') ? text.replace(/"(imageUrl|bytes|type)":/g, (key) => key.toUpperCase()) : text
    await writeWrapper(path, directoryOf(manifest, generation), manifest.digest, odd, EPOCH_S + turn * 3600)
  }
  if (generation.startsWith('1.7'))
    await writeFile(join(await made(path, 'pulls'), 'quay.io-team-app-v1.tar'), Buffer.alloc(5000, 'a cut pull'))
  return { path, generation, manifests, blobs }
}

/** The directory that a generation keeps a manifest in: by its kind up to 1.8, by its tag from 1.9 on. */
export function directoryOf({ imageUrl, mediaType }: Pick<OldManifest, 'imageUrl' | 'mediaType'>, generation: Generation): string {
  if (generation === '1.9') return /:latest$/i.test(imageUrl) ? 'lts' : 'img'
  return mediaType === oci.index || mediaType === docker.index ? 'fat' : 'img'
}

/** The text of a wrapper file. */
export function wrapper({ imageUrl, digest, mediaType, bytes }: OldManifest, generation: Generation, times: Times): string {
  const own = {
    type: TYPES.indexOf(mediaType),
    digest: digest.slice('sha256:'.length),
    imageUrl,
    bytes: bytes.toString('base64'),
    ...Object.fromEntries(COPIES.map(([key, type, empty]) => [key, type === mediaType ? inGoOrder(bytes) : empty])),
  }
  const text = generation.startsWith('1.7') ? older(own, imageUrl, mediaType, bytes) : JSON.stringify({ ...own, ...times })
  const escaped = text.replaceAll('<', '\\u003c').replaceAll('>', '\\u003e').replaceAll('&', '\\u0026')
  if (generation !== '1.7, patched by hand') return escaped
  return escaped.replace(/}}$/, () => `},"created":"${times.created}","pulled":"${times.pulled}"}`)
}

/** Our images have the keys of their descriptors in another order than the Go program writes them. */
function inGoOrder(bytes: Buffer): unknown {
  return JSON.parse(bytes.toString(), (_, value) => {
    if (typeof value !== 'object' || value === null || !('digest' in value)) return value
    const { mediaType, digest, size, ...rest } = value
    return { mediaType, digest, size, ...rest }
  })
}

/** 1.7 had more keys, and one with another letter; its files end in two braces, which is what the documented `sed` looks for. */
function older(own: object, imageUrl: string, mediaType: string, bytes: Buffer): string {
  const [remote = '', ...rest] = imageUrl.split('/')
  const pullRequest = { pullType: imageUrl.includes('@') ? 1 : 0, org: rest.slice(0, -1).join('/'), image: rest.at(-1), remote }
  return JSON.stringify({ pullRequest, mediaType, size: bytes.length, ...own }).replace('"v2.docker.manifest":', '"v2.docker.Manifest":')
}

/** As the program writes it: executable, whole, in place. */
export async function writeWrapper(path: string, directory: string, digest: Digest, text: string, writtenS: number): Promise<string> {
  const file = join(await made(path, directory), digest.slice('sha256:'.length))
  await writeFile(file, text)
  await chmod(file, 0o755)
  await utimes(file, writtenS, writtenS)
  return file
}

/** @param bytes what lies under that name, right or not */
export async function writeOldBlob(path: string, digest: Digest, bytes: Buffer): Promise<string> {
  const file = join(await made(path, 'blobs'), digest.slice('sha256:'.length))
  await writeFile(file, bytes)
  await chmod(file, 0o666)
  return file
}

/** What Syncthing adds to a directory that it replicates, below and beside what it replicates. */
export async function writeSyncthingFiles(path: string, directory: string, name: string, text: string): Promise<void> {
  await writeFile(join(await made(path, '.stfolder'), 'syncthing-folder-0a1b2c.txt'), 'this directory is replicated')
  await writeFile(join(await made(path, `.stversions/${directory}`), `${name}~20251120-080000`), text)
  await writeFile(join(await made(path, directory), `.syncthing.${name}.tmp`), text.slice(0, text.length / 2))
  await writeFile(join(path, directory, `${name}.sync-conflict-20251120-080000-ABCDEF7`), text)
}

export type FileState = {
  readonly hash: string
  readonly mode: number
  readonly mtimeMs: number
  readonly ctimeMs: number
  readonly ino: number
}

/** Every file below a directory: what is in it, and what became of it. */
export async function snapshot(path: string): Promise<Map<string, FileState>> {
  const files = new Map<string, FileState>()
  for (const entry of await readdir(path, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const file = join(entry.parentPath, entry.name)
    const { mode, mtimeMs, ctimeMs, ino } = await stat(file)
    const hash = createHash('sha256')
      .update(await readFile(file))
      .digest('hex')
    files.set(file.slice(path.length + 1), { hash, mode: mode & 0o7777, mtimeMs, ctimeMs, ino })
  }
  return files
}

function everything(generation: Generation): Pick<OldStore, 'manifests' | 'blobs'> {
  const manifests: OldManifest[] = []
  const blobs = new Map<Digest, Buffer>()
  const keep = ({ digest, mediaType, bytes }: Content, imageUrl: string) =>
    manifests.push({ imageUrl, digest: digest as Digest, mediaType, bytes })
  const keepImage = (pulled: Image, imageUrl: string) => {
    for (const { digest, bytes } of pulled.blobs) blobs.set(digest as Digest, bytes)
    keep(pulled.manifest, imageUrl)
  }
  const keepIndex = (pulled: Index, repository: string, tag: string) => {
    keep(pulled.manifest, `${repository}:${tag}`)
    for (const one of pulled.images) keepImage(one, `${repository}@${one.manifest.digest}`)
  }
  const platforms = (name: string, dialect: typeof oci) =>
    index(
      [amd64, arm64].map((platform) => image([base(dialect), own(`${name} ${platform.architecture}`, dialect)], { dialect, platform })),
      dialect,
    )
  keepIndex(platforms('nginx', oci), 'docker.io/library/nginx', '1')
  keepIndex(platforms('redis', docker), 'docker.io/redis', '7') // asked for without library/
  keepIndex(platforms('app', oci), 'quay.io/team/app', 'latest')
  keepImage(image([base(docker), own('app', docker)], { dialect: docker }), 'quay.io/team/app:v1')
  keepImage(nameless(image([own('port')], { annotations: { 'org.example.html': '<b>&</b>' } })), 'registry.example:5000/deep/app:2')
  const pause = image([own('pause')])
  keepImage(pause, `registry.k8s.io/pause@${pause.manifest.digest}`)
  keepImage(image([own('host without a dot')]), 'harbor:5000/team/tool:1')
  const both = image([base(), own('two tags')])
  keepImage(both, 'quay.io/team/tool:latest')
  if (generation === '1.9') keepImage(both, 'quay.io/team/tool:stable') // before, the one wrapper replaced the other
  return { manifests, blobs }
}

/** Larger than what is held back until a blob is verified. */
const base = (dialect = oci) => randomLayer('base', 200_000, dialect.layer)
const own = (name: string, dialect = oci) => randomLayer(name, 3_000, dialect.layer)

/** An OCI manifest need not say what it is. */
function nameless(from: Image): Image {
  const { mediaType, ...rest } = JSON.parse(from.manifest.bytes.toString())
  const bytes = Buffer.from(JSON.stringify(rest))
  return { ...from, manifest: { mediaType, bytes, digest: digestOf(bytes) } }
}

async function made(path: string, directory: string): Promise<string> {
  const full = join(path, directory)
  await mkdir(full, { recursive: true })
  return full
}
