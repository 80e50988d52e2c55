import { test } from 'node:test'
import { PageCache } from '../support/page-cache.ts'
import { Random } from '../support/property.ts'
import { StoreLife } from './support/store-life.ts'

const TIMES = 3
/** More than nearly all lives make. */
const MOST_CHANGES = 250

/** Each life by itself: the one that fails can be lived again with its seed. */
async function live(lives: number, run: (random: Random) => Promise<void>): Promise<void> {
  for (let seed = 1; seed <= lives; seed++) {
    await run(new Random(seed)).catch((cause: unknown) => {
      throw new Error(`seed ${seed}: ${cause instanceof Error ? cause.message : cause}`, { cause })
    })
  }
}

test('A store that loses power at any instant, again and again, opens, keeps what it acknowledged, and calls nothing verified that is wrong', () =>
  live(200, async (random) => {
    const life = new StoreLife(random)
    let disk = new PageCache(random)
    for (let boot = 1; boot <= TIMES; boot++) {
      disk.lostAt = random.between(1, MOST_CHANGES)
      await life.live(disk, `boot ${boot}`)
      disk = disk.powerLoss(random)
      await life.check(disk, `boot ${boot + 1}`, 'power loss')
    }
  }))

test('A store whose process is killed at any instant, again and again, opens, and loses nothing but what was being written', () =>
  live(100, async (random) => {
    const life = new StoreLife(random)
    let disk = new PageCache(random)
    for (let process = 1; process <= TIMES; process++) {
      disk.lostAt = random.between(1, MOST_CHANGES)
      await life.live(disk, 'the only boot')
      disk = disk.kill()
      await life.check(disk, 'the only boot', 'kill')
    }
  }))
