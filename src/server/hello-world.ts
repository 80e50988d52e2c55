/** What serving the built-in image needs: a store that holds nothing else, in a temporary directory, and the settings that keep it at that. */
import { lstat, mkdtemp, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Config } from '../config/config.ts'
import { builtInImage, type Content } from '../hello/image.ts'
import type { Clock } from '../observe/clock.ts'
import type { Log } from '../observe/log.ts'
import { DOCKER_HUB, parseRepository } from '../oci/name.ts'
import { DirectoryStore } from '../store/directory-store.ts'
import { isMissing } from '../store/file.ts'
import { lockHolder } from '../store/lock.ts'

/** Under which the image is to be had, in canonical spelling. */
const REPOSITORY = parseRepository('library/hello-world')
const REFERENCE = `${DOCKER_HUB}/${REPOSITORY}:latest`

const PREFIX = 'ociregistry-hello-world-'
/** A start is through with its directory, from making to locking it, in far less. */
const STARTING_MS = 10 * 60_000

/** As configured, but on that store, and without any registry behind it. */
export function helloWorldConfig(config: Config, imagePath: string): Config {
  return {
    ...config,
    imagePath,
    airGapped: true,
    registries: [],
    privateRegistries: [],
    defaultNs: DOCKER_HUB,
    prune: { ...config.prune, enabled: false },
    budget: { ...config.budget, maxBytes: undefined },
    load: { ...config.load, preloadImages: undefined },
  }
}

/**
 * Makes a store with the built-in image in a new directory below `parent`, and removes those that killed processes of this user left there.
 * @returns its path; whoever serves from it removes it
 * @throws Error that says in one line why there is none
 */
export async function makeHelloWorldStore(parent: string, clock: Clock, log: Log): Promise<string> {
  await removeLeftovers(parent, clock, log)
  try {
    return await makeStore(join(parent, PREFIX), clock, log)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new Error(`cannot put the built-in image into ${parent}: ${why}; set TMPDIR to another directory`, { cause })
  }
}

export async function removeHelloWorldStore(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true })
}

async function makeStore(prefix: string, clock: Clock, log: Log): Promise<string> {
  const path = await mkdtemp(prefix)
  try {
    await storeImage(path, clock, log)
    return path
  } catch (error) {
    await removeHelloWorldStore(path)
    throw error
  }
}

async function storeImage(path: string, clock: Clock, log: Log): Promise<void> {
  const { index, manifests, blobs } = builtInImage()
  const store = await DirectoryStore.open(path, log)
  const now = clock.now()
  for (const { digest, bytes } of blobs) await store.putBlob(digest, bytes)
  const supplied = { registry: DOCKER_HUB, repository: REPOSITORY, createdMs: now, pulledMs: now }
  const save = (manifest: Content, imageUrl: string) => store.putRecord({ ...manifest, ...supplied, imageUrl })
  for (const manifest of manifests) await save(manifest, `${DOCKER_HUB}/${REPOSITORY}@${manifest.digest}`)
  await save(index, REFERENCE)
  await store.putRef({ reference: REFERENCE, digest: index.digest, createdMs: now, pulledMs: now, checkedMs: now })
}

/** Trouble with what others left is no reason not to start. */
async function removeLeftovers(parent: string, clock: Clock, log: Log): Promise<void> {
  try {
    for (const name of await readdir(parent)) {
      const path = join(parent, name)
      if (name.startsWith(PREFIX) && (await isLeftover(path, clock))) await removeHelloWorldStore(path)
    }
  } catch (error) {
    log.warn('could not remove what an earlier process left', { directory: parent, error })
  }
}

/** Made by this user, and nobody holds its lock. Whether there is one is looked at first: where none is yet, its process may just be starting. */
async function isLeftover(path: string, clock: Clock): Promise<boolean> {
  try {
    const directory = await lstat(path)
    if (!directory.isDirectory() || directory.uid !== process.getuid?.()) return false
    const started = (await isThere(join(path, 'lock'))) || clock.now() - directory.mtimeMs > STARTING_MS
    return started && (await lockHolder(path)) === undefined
  } catch (error) {
    if (isMissing(error)) return false // its process has just ended
    throw error
  }
}

async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path)
    return true
  } catch (error) {
    if (isMissing(error)) return false
    throw error
  }
}
