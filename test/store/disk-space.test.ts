/** Room on the disk: what may be written, what is kept in reserve, and how trouble begins and ends. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Reserve } from '../../src/config/config.ts'
import type { Disk, DiskRoom } from '../../src/store/disk.ts'
import { DiskSpace } from '../../src/store/disk-space.ts'
import { ManualClock } from '../support/clock.ts'
import { MemoryLog } from '../support/log.ts'

/** A disk that a test fills, breaks and mends. */
class TestDisk implements Disk {
  availableBytes = 10_000
  totalBytes = 100_000
  looks = 0
  probes = 0
  beforeRoom = async (): Promise<void> => {}
  failure: Error | undefined

  async room(): Promise<DiskRoom> {
    this.looks++
    await this.beforeRoom()
    return { availableBytes: this.availableBytes, totalBytes: this.totalBytes }
  }

  async tryToWrite(): Promise<void> {
    this.probes++
    if (this.failure !== undefined) throw this.failure
  }
}

function stand(reserve: Reserve = { bytes: 0, percent: 100 }) {
  const [disk, clock, log] = [new TestDisk(), new ManualClock(), new MemoryLog()]
  let recoveries = 0
  const space = new DiskSpace({ disk, reserve, clock, log, onRecovered: () => recoveries++ })
  return { disk, clock, log, space, recoveries: () => recoveries, said: () => log.lines.map(({ level }) => level) }
}

function failure(code: string): Error {
  return Object.assign(new Error(`${code}: scripted`), { code, syscall: 'write', errno: -1 })
}

test('What is promised to one is not promised to another', async () => {
  const { space } = stand()
  const first = await space.reserve(6_000)
  assert.ok(first !== undefined)
  assert.equal(await space.reserve(6_000), undefined)
  first.release()
  first.release()
  assert.ok((await space.reserve(10_000)) !== undefined, 'what was given back is there once')
  assert.equal(await space.reserve(1), undefined)
})

test('Two that ask at once are not both promised the last room', async () => {
  const { space } = stand()
  const both = await Promise.all([space.reserve(6_000), space.reserve(6_000)])
  assert.equal(both.filter((reservation) => reservation !== undefined).length, 1)
})

test('What is written counts once, before the disk is looked at again and after', async () => {
  const { space, disk, clock } = stand()
  const reservation = await space.reserve(6_000)
  reservation?.written(6_000)
  disk.availableBytes = 4_000
  assert.ok((await space.reserve(1)) !== undefined)
  assert.equal(disk.looks, 1)
  await clock.advance(1_000)
  assert.equal(await space.reserve(4_000), undefined)
  assert.ok((await space.reserve(3_999)) !== undefined)
})

test('More than was reserved may be asked for, and is refused where it is not there', async () => {
  const { space } = stand()
  const reservation = await space.reserve(6_000)
  assert.equal(await reservation?.grow(4_000), true)
  assert.equal(await reservation?.grow(1), false)
  reservation?.release()
  assert.ok((await space.reserve(10_000)) !== undefined)
})

const reserves: [sentence: string, reserve: Reserve, kept: number][] = [
  ['The reserve is never promised: so many bytes', { bytes: 3_000, percent: 100 }, 3_000],
  ['The reserve is never promised: so much of the whole disk', { bytes: Number.MAX_SAFE_INTEGER, percent: 4 }, 4_000],
  ['The reserve is never promised: the lesser of the two', { bytes: 3_000, percent: 2 }, 2_000],
  ['Without a reserve all of the disk is used', { bytes: 0, percent: 100 }, 0],
]
for (const [sentence, reserve, kept] of reserves) {
  test(sentence, async () => {
    const { space } = stand(reserve)
    assert.equal(await space.reserve(10_001 - kept), undefined)
    assert.ok((await space.reserve(10_000 - kept)) !== undefined)
  })
}

test('A file system that does not say how large it is takes everything', async () => {
  const { space, disk } = stand({ bytes: 1_000, percent: 5 })
  disk.availableBytes = 0
  disk.totalBytes = 0
  assert.ok((await space.reserve(1e12)) !== undefined)
  assert.equal(space.trouble, undefined)
})

test('The disk is not asked again within a second, unless there seems to be too little room', async () => {
  const { space, disk, clock } = stand()
  for (let i = 0; i < 5; i++) await space.reserve(1_000)
  assert.equal(disk.looks, 1)
  disk.availableBytes = 90_000
  assert.ok((await space.reserve(20_000)) !== undefined)
  assert.equal(disk.looks, 2)
  await clock.advance(1_000)
  await space.reserve(1)
  assert.equal(disk.looks, 3)
})

test('A disk without room is trouble, which begins and ends with one line each', async () => {
  const { space, disk, clock, log, said, recoveries } = stand({ bytes: 2_048, percent: 100 })
  disk.availableBytes = 1_000
  for (let i = 0; i < 20; i++) assert.equal(await space.reserve(500), undefined)
  assert.equal(space.trouble?.kind, 'full')
  assert.equal(space.trouble?.why, 'the disk of the store is full: 1000 bytes are free, and 2.0 KiB are kept in reserve (minFree)')
  assert.deepEqual(said(), ['error'])
  assert.equal(log.lines[0]?.fields.why, space.trouble?.why)
  disk.availableBytes = 10_000
  await clock.advance(1_000)
  await space.look()
  assert.equal(space.trouble, undefined)
  assert.deepEqual(said(), ['error', 'info'])
  assert.equal(recoveries(), 1)
})

const shortages: [sentence: string, bytes: number, promised: number, reserveBytes: number, why: string | undefined][] = [
  ['What fits', 10_000, 0, 0, undefined],
  [
    'What is too large',
    12_048,
    0,
    0,
    'its disk has no room: 9.8 KiB are free, and 0 bytes are kept in reserve (minFree); 2.0 KiB more are needed: make room on it, or lower minFree',
  ],
  [
    'What would need a part of the reserve',
    10_000,
    0,
    2_048,
    'its disk has no room: 9.8 KiB are free, and 2.0 KiB are kept in reserve (minFree); 2.0 KiB more are needed: make room on it, or lower minFree',
  ],
  [
    'What others were promised',
    5_000,
    6_000,
    0,
    'its disk has no room: 9.8 KiB are free, and 0 bytes are kept in reserve (minFree); running downloads will take 5.9 KiB; 1000 bytes more are needed: make room on it, or lower minFree',
  ],
]
for (const [sentence, bytes, promised, reserveBytes, why] of shortages) {
  test(`Why there is no room: ${sentence}`, async () => {
    const { space } = stand({ bytes: reserveBytes, percent: 100 })
    assert.equal(space.shortage(bytes), undefined, 'nobody has looked yet')
    await space.reserve(promised)
    assert.equal(space.shortage(bytes), why)
  })
}

/** A disk of the usual size. */
function large(availableBytes: number) {
  const ground = stand()
  ground.disk.totalBytes = 1e12
  ground.disk.availableBytes = availableBytes
  return ground
}
const MIB = 1024 * 1024

test('One blob that is too large for the disk is no trouble, and told once in a minute', async () => {
  const { space, disk, clock, log, said } = large(44 * MIB)
  for (let i = 0; i < 20; i++) assert.equal(await space.reserve(60 * MIB), undefined)
  assert.equal(space.trouble, undefined)
  assert.deepEqual(said(), ['warn'])
  const line =
    'a blob of 60.0 MiB does not fit and is streamed without being stored: 44.0 MiB are free, and 0 bytes are kept in reserve (minFree)'
  assert.equal(log.lines[0]?.message, line)
  const other = await space.reserve(20 * MIB)
  assert.ok(other !== undefined)
  assert.equal(await space.reserve(61 * MIB), undefined)
  assert.match(log.lines[1]?.message ?? '', /^a blob of 61\.0 MiB .* 44\.0 MiB are free, .*; running downloads will take 20\.0 MiB$/)
  other.release()
  await clock.advance(60_000)
  await space.reserve(60 * MIB)
  assert.deepEqual(said(), ['warn', 'warn', 'warn'])
  disk.availableBytes = 100 * MIB
  assert.ok((await space.reserve(60 * MIB)) !== undefined)
  assert.equal(said().length, 3)
})

test('A blob that grows beyond what fits is told with all that it wants', async () => {
  const { space, log } = large(44 * MIB)
  const reservation = await space.reserve(MIB)
  assert.equal(await reservation?.grow(59 * MIB), false)
  assert.equal(await reservation?.grow(15 * MIB), true)
  assert.equal(await reservation?.grow(50 * MIB), false)
  assert.deepEqual(
    log.lines.map(({ message }) => message.slice(0, 21)),
    ['a blob of 60.0 MiB do', 'a blob of 66.0 MiB do'],
  )
})

const thresholds: [sentence: string, totalBytes: number, nearlyNothing: number][] = [
  ['A large disk is full with less than 16 MiB above the reserve', 1e12, 16 * MIB],
  ['A small disk is full with less than a hundredth of it above the reserve', 100 * MIB, MIB],
]
for (const [sentence, totalBytes, nearlyNothing] of thresholds) {
  test(`${sentence}, whether anybody asks for room or not, until there is twice as much`, async () => {
    const { space, disk, clock, said, recoveries } = stand({ bytes: 5 * MIB, percent: 100 })
    const leave = async (bytes: number) => {
      disk.availableBytes = 5 * MIB + bytes
      await clock.advance(1_000)
      await space.look()
      return space.trouble?.kind
    }
    disk.totalBytes = totalBytes
    assert.equal(await leave(nearlyNothing), undefined)
    assert.equal(await space.reserve(nearlyNothing + 1), undefined)
    assert.equal(space.trouble, undefined)
    assert.equal(await leave(nearlyNothing - 1), 'full')
    assert.ok((await space.reserve(nearlyNothing / 2)) !== undefined, 'what still fits is stored')
    assert.equal(await leave(2 * nearlyNothing - 1), 'full')
    assert.equal(await leave(2.5 * nearlyNothing), undefined)
    assert.deepEqual(said(), ['warn', 'error', 'info'])
    assert.equal(recoveries(), 1)
  })
}

test('Room that is promised to running downloads, to the last, makes the disk full for others until they end', async () => {
  const { space, clock, said } = large(100 * MIB)
  const reservation = await space.reserve(100 * MIB)
  await clock.advance(1_000)
  await space.look()
  assert.deepEqual(said(), [], 'nobody was refused anything')
  assert.equal(await space.reserve(8_192), undefined)
  assert.equal(space.trouble?.kind, 'full')
  reservation?.release()
  await clock.advance(1_000)
  await space.look()
  assert.equal(space.trouble, undefined)
  assert.deepEqual(said(), ['error', 'info'])
})

const troubles: [what: string, begin: (ground: ReturnType<typeof stand>) => Promise<unknown>, end: (disk: TestDisk) => void][] = [
  [
    'A disk that was full',
    async ({ space, disk }) => {
      disk.availableBytes = 0
      await space.reserve(1)
    },
    (disk) => {
      disk.availableBytes = 50_000
    },
  ],
  [
    'A disk that failed',
    async ({ space, disk }) => {
      disk.failure = failure('EIO')
      space.failed(disk.failure)
    },
    (disk) => {
      disk.failure = undefined
    },
  ],
]
for (const [what, begin, end] of troubles) {
  test(`${what} is looked at every half minute, though nobody asks, and not any more when it is well`, async () => {
    const ground = stand()
    const { space, disk, clock, said, recoveries } = ground
    space.start()
    await clock.advance(100_000)
    assert.deepEqual([clock.sleeping, disk.looks], [0, 0], 'nothing to look after')
    await begin(ground)
    assert.equal(clock.sleeping, 1)
    await clock.advance(90_000)
    assert.deepEqual(said(), ['error'])
    assert.equal(clock.sleeping, 1)
    end(disk)
    await clock.advance(29_999)
    assert.notEqual(space.trouble, undefined)
    await clock.advance(1)
    assert.equal(space.trouble, undefined)
    assert.deepEqual(said(), ['error', 'info'])
    assert.equal(recoveries(), 1)
    const { looks } = disk
    await clock.advance(100_000)
    assert.deepEqual([clock.sleeping, disk.looks], [0, looks])
    await begin(ground)
    assert.equal(clock.sleeping, 1, 'the next trouble is looked after, too')
    await space.stop()
    assert.equal(clock.sleeping, 0)
    await begin(ground)
    assert.equal(clock.sleeping, 0)
  })
}

const kinds: [code: string, kind: string][] = [
  ['ENOSPC', 'full'],
  ['EDQUOT', 'full'],
  ['EROFS', 'readOnly'],
  ['EACCES', 'readOnly'],
  ['EPERM', 'readOnly'],
  ['EIO', 'failing'],
  ['EMFILE', 'failing'],
  ['ESTALE', 'failing'],
]
for (const [code, kind] of kinds) {
  test(`After ${code} the disk is left alone for five seconds, then tried with a write, and used again when that works`, async () => {
    const { space, disk, clock, said, recoveries } = stand()
    disk.failure = failure(code)
    space.failed(disk.failure)
    assert.equal(space.trouble?.kind, kind)
    for (let round = 0; round < 3; round++) {
      await clock.advance(4_999)
      assert.equal(await space.reserve(1), undefined)
      await space.look()
      assert.equal(disk.probes, round)
      await clock.advance(1)
      assert.equal(await space.reserve(1), undefined)
      assert.equal(disk.probes, round + 1)
    }
    disk.failure = undefined
    await clock.advance(5_000)
    assert.ok((await space.reserve(1)) !== undefined)
    assert.equal(space.trouble, undefined)
    assert.deepEqual(said(), ['error', 'info'])
    assert.equal(recoveries(), 1)
  })
}

test('A disk that fails again and again soon after it seemed to work is left alone for longer each time, up to a minute', async () => {
  const { space, clock, said } = stand()
  const rests: number[] = []
  for (let round = 0; round < 7; round++) {
    space.failed(failure('EACCES'))
    const began = clock.monotonic()
    while (space.trouble !== undefined) {
      await clock.advance(1_000)
      await space.look()
    }
    rests.push(clock.monotonic() - began)
  }
  assert.deepEqual(rests, [5_000, 10_000, 20_000, 40_000, 60_000, 60_000, 60_000])
  assert.equal(said().length, 14)
  await clock.advance(60_000)
  space.failed(failure('EACCES'))
  await clock.advance(5_000)
  await space.look()
  assert.equal(space.trouble, undefined, 'after a minute without trouble it counts as the first time')
})

test('A failure while the disk is being looked at is not forgotten by what that look says', async () => {
  const { space, disk } = stand()
  disk.beforeRoom = async () => space.failed(failure('ENOSPC'))
  assert.equal(await space.reserve(1), undefined)
  assert.equal(space.trouble?.kind, 'full')
})

test('What fails for another reason than the disk is no trouble of the disk', async () => {
  const { space } = stand()
  const ofOneFile = ['ENOENT', 'ENOTDIR', 'EISDIR', 'ELOOP', 'ENXIO'].map(failure)
  for (const error of [...ofOneFile, new TypeError('a bug'), 'text', undefined]) space.failed(error)
  assert.equal(space.trouble, undefined)
  assert.ok((await space.reserve(1)) !== undefined)
})

test('An error tells by its cause, too', () => {
  const { space } = stand()
  space.failed(new Error('cannot store it', { cause: failure('ENOSPC') }))
  assert.equal(space.trouble?.kind, 'full')
})

test('A disk that hangs holds nobody up for more than two seconds, and counts as failing until it answers', async () => {
  const { space, disk, clock } = stand()
  let answer = () => {}
  disk.beforeRoom = () =>
    new Promise((resolve) => {
      answer = resolve
    })
  const asked = [space.reserve(1), space.reserve(1)]
  await clock.advance(2_000)
  assert.deepEqual(await Promise.all(asked), [undefined, undefined])
  assert.equal(space.trouble?.kind, 'failing')
  assert.equal(disk.looks, 1, 'nobody asks a second time while the first question waits')
  await clock.advance(5_000)
  const again = space.reserve(1)
  answer()
  assert.ok((await again) !== undefined)
  assert.equal(space.trouble, undefined)
  assert.equal(clock.sleeping, 0)
})

test('Who only looks waits half a second for a disk that hangs', async () => {
  const { space, disk, clock } = stand()
  let answer = () => {}
  disk.beforeRoom = () =>
    new Promise((resolve) => {
      answer = resolve
    })
  const looking = space.look()
  await clock.advance(499)
  let looked = false
  looking.then(() => {
    looked = true
  })
  await clock.advance(0)
  assert.ok(!looked)
  await clock.advance(1)
  await looking
  answer()
  await clock.advance(0)
  await clock.advance(1_500)
  assert.equal(space.trouble, undefined)
})

test('A closed store takes nothing and asks no disk; opened, it takes everything again', async () => {
  const { space, disk, said, recoveries } = stand()
  space.close({ kind: 'held', why: 'another has it' })
  assert.equal(await space.reserve(1), undefined)
  space.failed(failure('EIO'))
  await space.look()
  assert.deepEqual(space.trouble, { kind: 'held', why: 'another has it' })
  assert.equal(disk.looks + disk.probes, 0)
  space.open()
  assert.equal(space.trouble, undefined)
  assert.ok((await space.reserve(1)) !== undefined)
  assert.deepEqual(said(), ['error', 'info'])
  assert.equal(recoveries(), 1)
})

test('A store that is closed while a reservation is being made is not written to', async () => {
  const { space, disk } = stand()
  disk.beforeRoom = async () => space.close({ kind: 'held', why: 'another has it' })
  assert.equal(await space.reserve(1), undefined)
})
