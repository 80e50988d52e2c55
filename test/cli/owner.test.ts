/** What root does to the store of a service: everything in it stays the service's. */
import assert from 'node:assert/strict'
import { chown, lstat, mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { run } from '../../src/cli/run.ts'
import { systemClock } from '../../src/observe/clock.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { StoreLock } from '../../src/store/lock.ts'
import { isRoot } from '../store/support/privileges.ts'
import { startFakeRegistry } from '../support/fake-registry.ts'
import { temporaryDirectory } from '../support/files.ts'
import { blobFile, flipBit } from '../support/stored-image.ts'
import { FakeIo } from './fake-io.ts'

const SERVICE = 65534
const AS_ROOT = { skip: !isRoot && 'privilege: only root can give files to somebody else' }

/** The directory of a store that belongs to the user of a service. */
async function ofService(t: TestContext): Promise<string> {
  const path = join(await temporaryDirectory(t), 'images')
  await mkdir(path)
  await chown(path, SERVICE, SERVICE)
  return path
}

/** What is not the service's. */
async function foreign(path: string): Promise<string[]> {
  const names = await readdir(path, { recursive: true })
  const owners = await Promise.all(names.map((name) => lstat(join(path, name))))
  return names.filter((_, i) => owners[i]?.uid !== SERVICE || owners[i]?.gid !== SERVICE)
}

async function command(...args: string[]): Promise<string> {
  const io = new FakeIo()
  Object.assign(io, { clock: systemClock })
  assert.equal(await run(args, io), 0, io.err)
  return io.out
}

test('What root loads, mends and prunes in the store of a service belongs to the service', AS_ROOT, async (t) => {
  const path = await ofService(t)
  const registry = await startFakeRegistry(t)
  const { layers } = registry.addImage('team/app', '1', { layers: [Buffer.alloc(3_000_000, 'one'), Buffer.from('two')] })
  registry.addImage('team/other', '1')
  const [list, config] = [join(path, '..', 'list.txt'), join(path, '..', 'config.yaml')]
  await writeFile(list, 'quay.io/team/app:1\nquay.io/team/other:1\n')
  await writeFile(config, `imagePath: ${path}\nregistries: [{name: quay.io, url: "${registry.origin}"}]\n`)
  await command('load', '--config-file', config, '--image-file', list)
  assert.deepEqual(await foreign(path), [])
  await flipBit(blobFile(path, layers[0] as Digest))
  await command('verify', '--repair', '--config-file', config)
  assert.deepEqual(await foreign(path), [])
  await command('prune', '--pattern', 'team/other', '--yes', '--config-file', config)
  assert.deepEqual(await foreign(path), [])
  assert.ok((await readdir(join(path, 'blobs'))).length > 0)
})

test(
  'The lock that root takes on the store of a service can be told dead by the service, should root’s process die',
  AS_ROOT,
  async (t) => {
    const path = await ofService(t)
    const self = { program: 'test', version: '1', pid: 1, hostname: 'h' }
    const lock = await StoreLock.acquire(path, { self, waitMs: 0, clock: systemClock })
    assert.deepEqual([(await readdir(path)).length, await foreign(path)], [1, []])
    await lock.release()
  },
)
