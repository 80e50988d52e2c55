/** Is everything in a store what it says it is? Read with nothing of the program's own, so that both cannot err alike. */
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

/** What is wrong, a line each. @param pullable digests of all that could have been pulled: anything else is wrong too */
export async function faultsOfStore(imagePath: string, pullable: ReadonlySet<string>): Promise<string[]> {
  const complaints = await Promise.all([
    ...(await filesIn(imagePath, 'blobs')).map(async ([name, bytes]) => [
      ...(sha256(bytes) === name ? [] : [`blobs/${name} hashes to ${sha256(bytes)}`]),
      ...(pullable.has(`sha256:${name}`) ? [] : [`blobs/${name} was never to be had`]),
    ]),
    ...(await recordsOf(imagePath)).map(async ([path, name, bytes]) => {
      const found = sha256(Buffer.from(JSON.parse(String(bytes)).bytes, 'base64'))
      return [
        ...(found === name ? [] : [`${path} holds ${found}`]),
        ...(pullable.has(`sha256:${name}`) ? [] : [`${path} was never to be had`]),
      ]
    }),
    faultsOfRefs(imagePath),
    ...(await filesIn(imagePath, 'quarantine')).map(async ([name]) => [`quarantine/${name}: something damaged had been stored`]),
  ])
  return complaints.flat()
}

async function faultsOfRefs(imagePath: string): Promise<string[]> {
  const refs = await filesIn(imagePath, 'refs') // before the records, which are written first
  const records = new Set((await recordsOf(imagePath)).map(([, name]) => `sha256:${name}`))
  return refs.flatMap(([name, bytes]) => {
    const { reference, digest } = JSON.parse(String(bytes))
    return [
      ...(sha256(Buffer.from(reference)) === name ? [] : [`refs/${name} is for ${reference}`]),
      ...(records.has(digest) ? [] : [`refs/${name} points at ${digest}, of which there is no record`]),
    ]
  })
}

async function recordsOf(imagePath: string): Promise<[path: string, name: string, bytes: Buffer][]> {
  const lists = await Promise.all(
    ['img', 'fat'].map(async (directory) =>
      (await filesIn(imagePath, directory)).map(([name, bytes]) => [`${directory}/${name}`, name, bytes] as [string, string, Buffer]),
    ),
  )
  return lists.flat()
}

/** Files that are still being written: while a server runs, no fault; when it has stopped, one. */
export async function leftoversOfStore(imagePath: string): Promise<string[]> {
  const directories = ['.', 'blobs', 'img', 'fat', 'refs', 'pulls']
  const names = await Promise.all(directories.map((directory) => readdir(join(imagePath, directory)).catch(() => [])))
  return names.flat().filter((name) => name.startsWith('.'))
}

/** Names and contents of the files directly in a directory; none where there is no directory. */
async function filesIn(imagePath: string, directory: string): Promise<[name: string, bytes: Buffer][]> {
  const names = await readdir(join(imagePath, directory)).catch(() => [])
  const files = names.filter((name) => !name.startsWith('.'))
  return Promise.all(files.map(async (name) => [name, await readFile(join(imagePath, directory, name))] as [string, Buffer]))
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}
