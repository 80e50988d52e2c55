/** podman and buildah: each pull goes into a storage of its own, whose records say afterwards what came. */
import { mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sha256 } from './bytes.ts'
import { writeEmptyRegistriesConf, writePolicy } from './c-image.ts'
import { image, oci, randomLayer } from './image.ts'
import { type Finished, run } from './processes.ts'
import { commandPath } from './requirements.ts'
import { removeTree } from './run-directory.ts'

export type Puller = 'podman' | 'buildah'

export type PullOptions = {
  readonly env: NodeJS.ProcessEnv
  /** Where it may write: storage, policy, temporary files. */
  readonly directory: string
  /** Mirror mode: the registries.conf to use. Without it no mirror is known, and the server itself is named, which speaks plain http. */
  readonly registriesConf?: string
}

/** Pulls `reference` for linux/amd64 into a new storage and answers with the digests of what it has then. Throws with the client's own words when it fails. */
export async function pullInto(puller: Puller, reference: string, options: PullOptions): Promise<string[]> {
  const storage = await mkdtemp(join(options.directory, `${puller}-`))
  const { code, stderr } = await pull(puller, reference, storage, options)
  if (code !== 0) throw new Error(`${puller} pull ${reference}: exit code ${code}\n${stderr}`)
  return storedDigests(storage)
}

/** Why this machine cannot run a pull into a storage, or false: what is tried is an image that lies in a directory, of one layer. */
export async function pullerRefused(puller: Puller): Promise<string | false> {
  const directory = await mkdtemp(join(tmpdir(), 'oci-'))
  try {
    await writeImage(directory)
    const storage = await mkdtemp(join(directory, 'storage-'))
    const { code, stderr } = await pull(puller, `dir:${directory}`, storage, { env: { PATH: process.env.PATH }, directory })
    return code === 0 ? false : `privilege: ${puller} cannot store an image: ${stderr.trim()}`
  } finally {
    await removeTree(directory)
  }
}

/** In the form of `dir:`. */
async function writeImage(directory: string): Promise<void> {
  const { manifest, blobs } = image([randomLayer('tried', 1000, oci.layer)])
  await writeFile(join(directory, 'version'), 'Directory Transport Version: 1.1\n')
  await writeFile(join(directory, 'manifest.json'), manifest.bytes)
  for (const { digest, bytes } of blobs) await writeFile(join(directory, digest.replace('sha256:', '')), bytes)
}

async function pull(puller: Puller, reference: string, storage: string, options: PullOptions): Promise<Finished> {
  const { env, directory, registriesConf } = options
  const conf = registriesConf ?? (await writeEmptyRegistriesConf(directory))
  const temporary = join(storage, 'tmp')
  const args = [
    ...['--root', join(storage, 'root'), '--runroot', join(storage, 'run'), '--storage-driver', 'vfs'],
    ...(puller === 'podman' ? ['--tmpdir', temporary] : ['--registries-conf', conf]),
    ...['pull', '--quiet', '--os', 'linux', '--arch', 'amd64', '--signature-policy', await writePolicy(directory)],
    ...(registriesConf === undefined ? ['--tls-verify=false'] : []),
    reference,
  ]
  const own = { HOME: storage, TMPDIR: storage, XDG_RUNTIME_DIR: storage, CONTAINERS_REGISTRIES_CONF: conf }
  try {
    return await run(commandPath(puller), args, { env: { ...env, ...own } })
  } finally {
    await endPause(temporary)
  }
}

/** Without privileges podman leaves a process behind that keeps its user namespace, and in a file the id of that process. */
async function endPause(temporary: string): Promise<void> {
  const pid = Number(await readFile(join(temporary, 'pause.pid'), 'utf8').catch(() => undefined))
  if (pid > 1) process.kill(pid)
}

/**
 * What a storage holds: manifests and configs as files, which are hashed again, under names that are base64 of what they are;
 * layers unpacked, each with the digest that it had on the way.
 */
async function storedDigests(storage: string): Promise<string[]> {
  const [images, layerList] = [join(storage, 'root/vfs-images'), join(storage, 'root/vfs-layers/layers.json')]
  const files = (await readdir(images, { recursive: true, withFileTypes: true })).filter(({ name }) => isDocument(name))
  const documents = await Promise.all(files.map(async ({ parentPath, name }) => sha256(await readFile(join(parentPath, name)))))
  const layers: readonly { 'compressed-diff-digest': string }[] = JSON.parse(await readFile(layerList, 'utf8'))
  return [...new Set([...documents, ...layers.map((layer) => layer['compressed-diff-digest'])])].sort()
}

function isDocument(name: string): boolean {
  return /^(manifest-)?sha256:/.test(Buffer.from(name.replace(/^=/, ''), 'base64').toString())
}
