/** Disks that fill up, fail or become read-only under a running server: clients get what they ask for, the server says how it is, and recovers by itself. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { Config } from '../../src/config/config.ts'
import { openLogOutput } from '../../src/observe/log-output.ts'
import { type Digest, digestFileName, digestOf } from '../../src/oci/digest.ts'
import type { Service, ServiceDeps } from '../../src/server/service.ts'
import { freePort } from '../e2e/support/ports.ts'
import { type FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts'
import { hangAt } from '../support/fake-registry-faults.ts'
import { Gate } from '../support/fake-registry-reply.ts'
import { FaultyDisk, type SystemCall } from '../support/faulty-disk.ts'
import { temporaryDirectory } from '../support/files.ts'
import type { MemoryLog } from '../support/log.ts'
import { RawConnection } from '../support/raw-http.ts'
import { entry } from '../support/server.ts'
import { get, serve } from '../support/service.ts'
import { cannotMount, SmallDisk } from '../support/small-disk.ts'
import { until } from '../support/until.ts'

const MIB = 1024 * 1024
/** So short that tests see trouble come and go. */
const BUDGETS = { freshMs: 0, restMs: 20, soonMs: 20 }
const NO_RESERVE = { bytes: 0, percent: 100 }

const unhandled: unknown[] = []
process.on('unhandledRejection', (reason) => unhandled.push(reason))

/** A server on a disk, with a registry that has a small image, which it holds, a large one, of which it knows the manifest, and one that is pulled later. */
class Ground {
  readonly small: Digest
  readonly large: Digest

  private constructor(
    readonly hub: FakeRegistry,
    readonly service: Service & { readonly log: MemoryLog },
    readonly imagePath: string,
    readonly health: number,
    largeBytes: number,
  ) {
    const [small] = hub.addImage('team/small', '1', { layers: [randomBytes(100_000)] }).layers
    const [large] = hub.addImage('team/large', '1', { layers: [randomBytes(largeBytes)] }).layers
    hub.addImage('team/late', '1')
    assert.ok(small !== undefined && large !== undefined)
    this.small = small
    this.large = large
  }

  static async lay(
    t: TestContext,
    imagePath: string,
    config: Partial<Config> = {},
    deps: ServiceDeps['storage'] = {},
    largeBytes = 3 * MIB,
  ) {
    unhandled.length = 0
    const [hub, health] = [await startFakeRegistry(t), await freePort()]
    const settings = { imagePath, health, registries: [entry(hub, 'quay.io')], minFree: NO_RESERVE, ...config }
    const service = await serve(t, settings, { storage: { budgets: BUDGETS, ...deps } })
    const ground = new Ground(hub, service, imagePath, health, largeBytes)
    for (const name of ['small', 'large']) assert.equal((await ground.manifest(name)).status, 200)
    assert.ok((await ground.blob(ground.small)) !== undefined)
    await ground.stored(ground.small)
    await until(async () => (await ground.names('refs')).length === 2, 'the manifests are stored')
    return ground
  }

  manifest(name: string, tag = '1') {
    return get(this.service, `/v2/team/${name}/manifests/${tag}?ns=quay.io`)
  }

  /** The bytes of a blob; whatever is complete must be right. */
  async blob(digest: Digest): Promise<Buffer | undefined> {
    const { status, body, complete } = await get(this.service, `/v2/team/x/blobs/${digest}?ns=quay.io`)
    if (status !== 200 || !complete) return undefined
    assert.equal(digestOf(body), digest)
    return body
  }

  /** What is cached is served, whatever became of the disk. */
  async assertHits(): Promise<void> {
    const manifest = await this.manifest('small')
    assert.deepEqual([manifest.status, manifest.header('cache-status')], [200, 'ociregistry; hit'])
    assert.ok((await this.blob(this.small)) !== undefined)
  }

  async healthKinds(): Promise<string[]> {
    const connection = await RawConnection.open(this.health)
    try {
      const { status, body } = await connection.ask({ target: '/health' })
      assert.equal(status, 200)
      return (JSON.parse(body.toString()) as { reasons: { kind: string }[] }).reasons.map(({ kind }) => kind)
    } finally {
      connection.close()
    }
  }

  isWell(): Promise<void> {
    return until(async () => (await this.healthKinds()).length === 0, 'the server is well')
  }

  /** Files that are whole. */
  async names(directory: string): Promise<string[]> {
    return (await readdir(join(this.imagePath, directory))).filter((name) => !name.startsWith('.tmp-'))
  }

  async isStored(digest: Digest): Promise<boolean> {
    return (await this.names('blobs')).includes(digestFileName(digest))
  }

  stored(digest: Digest): Promise<void> {
    return until(() => this.isStored(digest), `${digest} is stored`)
  }

  async leave(): Promise<void> {
    await this.service.stop()
    assert.deepEqual(unhandled, [], 'no rejection was unhandled')
  }
}

const skip = cannotMount()

test('A disk that is filled up in the middle of a download: the client gets the right bytes, hits go on, and the server recovers when there is room', {
  skip,
}, async (t) => {
  const disk = await SmallDisk.mounted(t, 8 * MIB)
  const ground = await Ground.lay(t, disk.path)
  const gate = new Gate()
  const held = ground.hub.fault({ match: { path: new RegExp(ground.large) }, do: [hangAt(MIB, gate)] })
  const pulling = ground.blob(ground.large)
  await until(async () => (await ground.names('pulls')).length > 0 && (await disk.freeBytes()) < 7.2 * MIB, 'the download has begun')
  await disk.fill()
  gate.open()
  assert.ok((await pulling) !== undefined, 'what cannot be stored goes through memory')
  await until(async () => {
    await disk.fill() // what was written of the blob goes, and leaves room
    return (await ground.healthKinds()).includes('store-full')
  }, 'the server says that its disk is full')
  await ground.assertHits()
  assert.equal((await ground.manifest('late')).status, 200)
  assert.ok((await ground.blob(ground.large)) !== undefined)
  assert.ok(!(await ground.isStored(ground.large)))
  held.remove()

  await disk.empty()
  await ground.isWell()
  await until(async () => (await ground.names('refs')).length === 3, 'what could not be stored of the manifest is')
  assert.ok((await ground.blob(ground.large)) !== undefined)
  await ground.stored(ground.large)
  await ground.leave()
  const errors = ground.service.log.lines.filter(({ level }) => level === 'error')
  assert.ok(errors.length <= 4, `no flood of errors: ${errors.map(({ message }) => message)}`)
})

test('What is kept in reserve is not used: what would is streamed, and everything is stored again once there is room', {
  skip,
}, async (t) => {
  const disk = await SmallDisk.mounted(t, 8 * MIB)
  const ground = await Ground.lay(t, disk.path, { minFree: { bytes: 3 * MIB, percent: 100 } })
  await disk.fill(5 * MIB)
  assert.ok((await ground.blob(ground.large)) !== undefined)
  assert.ok((await disk.freeBytes()) > 4.5 * MIB)
  assert.ok(!(await ground.isStored(ground.large)))
  await disk.fill(MIB)
  assert.equal((await ground.manifest('late')).status, 200)
  assert.deepEqual(await ground.healthKinds(), ['store-full'])
  await ground.assertHits()
  assert.equal((await ground.names('refs')).length, 2)
  await disk.empty()
  await ground.isWell()
  await until(async () => (await ground.names('refs')).length === 3, 'the manifest is stored')
  assert.ok((await ground.blob(ground.large)) !== undefined)
  await ground.stored(ground.large)
  await ground.leave()
})

test('A file system that is made read-only: hits go on, the rest is streamed, nothing is lost, and it is used again when it is made writable', {
  skip,
}, async (t) => {
  const disk = await SmallDisk.mounted(t, 16 * MIB)
  const ground = await Ground.lay(t, disk.path)
  await disk.remounted('ro')
  assert.ok((await ground.blob(ground.large)) !== undefined)
  assert.equal((await ground.manifest('late')).status, 200)
  await ground.assertHits()
  assert.deepEqual(await ground.healthKinds(), ['store-read-only'])
  await disk.remounted('rw')
  await ground.isWell()
  await until(async () => (await ground.names('refs')).length === 3, 'the manifest is stored')
  assert.ok((await ground.blob(ground.large)) !== undefined)
  await ground.stored(ground.large)
  await ground.leave()
})

test('A server that starts on a read-only store serves what is in it, and stores again when it is made writable', { skip }, async (t) => {
  const disk = await SmallDisk.mounted(t, 16 * MIB)
  const first = await Ground.lay(t, disk.path)
  await first.leave()
  await disk.remounted('ro')
  const health = await freePort()
  const service = await serve(t, { imagePath: disk.path, health, registries: [entry(first.hub, 'quay.io')], minFree: NO_RESERVE })
  const target = '/v2/team/small/manifests/1?ns=quay.io'
  await until(async () => (await get(service, target)).header('cache-status') === 'ociregistry; hit', 'what is cached is served')
  const trouble = service.log.lines.filter(({ level }) => level === 'error')
  assert.deepEqual(
    trouble.map(({ fields }) => fields.kind),
    ['readOnly'],
  )
  assert.equal((await get(service, `/v2/team/large/blobs/${first.large}?ns=quay.io`)).status, 200)
  await disk.remounted('rw')
  await until(() => service.log.lines.some(({ message }) => message === 'the store takes new content again'), 'the store is held')
  await get(service, `/v2/team/large/blobs/${first.large}?ns=quay.io`)
  await first.stored(first.large)
  await service.stop()
  assert.ok(!(await readdir(disk.path)).includes('lock'))
})

test('A server whose file system has become read-only stops in order, and the next one takes over the lock that it had to leave', {
  skip,
}, async (t) => {
  const disk = await SmallDisk.mounted(t, 16 * MIB)
  const ground = await Ground.lay(t, disk.path)
  await disk.remounted('ro')
  await ground.leave()
  assert.ok((await readdir(disk.path)).includes('lock'))
  await disk.remounted('rw')
  const next = await serve(t, { imagePath: disk.path })
  assert.deepEqual(
    next.log.lines.filter(({ level }) => level === 'error'),
    [],
  )
  await next.stop()
  assert.ok(!(await readdir(disk.path)).includes('lock'))
})

test('Log lines that a full disk cuts or loses stay apart from those that come when there is room again', { skip }, async (t) => {
  const disk = await SmallDisk.mounted(t, MIB)
  const path = join(disk.path, 'server.log')
  const output = openLogOutput(path)
  const write = (line: string) => {
    output.write(line)
    output.flush()
  }
  write('first\n')
  await disk.fill()
  for (let i = 0; i < 10; i++) write(`${'x'.repeat(1500)}\n`)
  await disk.empty()
  write('last\n')
  output.close()
  const lines = (await readFile(path, 'utf8')).split('\n')
  assert.deepEqual([lines[0], ...lines.slice(-2)], ['first', 'last', ''])
  assert.ok(lines.length < 10)
})

/** Everything that writes. */
const WRITES: readonly SystemCall[] = ['open', 'writev', 'fsync', 'fdatasync', 'fchmod', 'rename', 'unlink', 'mkdir', 'ftruncate']
const isWrite = (call: SystemCall, args: readonly unknown[]) => WRITES.includes(call) && !(call === 'open' && isForReading(args[1]))
const isForReading = (flags: unknown) =>
  typeof flags === 'number' ? (flags & (constants.O_WRONLY | constants.O_RDWR)) === 0 : flags === 'r'

const codes: [code: string, kind: string][] = [
  ['ENOSPC', 'store-full'],
  ['EDQUOT', 'store-full'],
  ['EIO', 'store-failing'],
  ['EROFS', 'store-read-only'],
]
for (const [code, kind] of codes) {
  for (const call of [...WRITES, 'all'] as const) {
    test(`A disk on which ${call === 'all' ? 'every write' : call} fails with ${code} harms no client, and the server recovers`, async (t) => {
      const disk = new FaultyDisk()
      const ground = await Ground.lay(t, await temporaryDirectory(t), {}, { files: disk.files })
      let failures = 0
      disk.failing = (called, _, args) => {
        if (!(call === 'all' ? isWrite(called, args) : called === call && isWrite(called, args))) return undefined
        failures++
        return code
      }
      for (let round = 0; round < 3; round++) {
        assert.equal((await ground.manifest('late')).status, 200)
        assert.ok((await ground.blob(ground.large)) !== undefined)
        await ground.assertHits()
      }
      if (call === 'all') assert.deepEqual(await ground.healthKinds(), [kind])
      disk.failing = () => undefined
      await ground.isWell()
      assert.ok((await ground.blob(ground.large)) !== undefined)
      await ground.stored(ground.large)
      await until(async () => (await ground.names('refs')).length === 3, 'the manifest is stored')
      assert.ok(failures < 500, `${failures} writes were tried in vain`)
      await ground.leave()
    })
  }
}
