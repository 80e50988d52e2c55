/** Clients that read one byte a second, a process of its own. Prints as JSON what became of them after some seconds. */
import { open } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { SlowReadings } from './slow.ts'
import { SlowReader } from './slow-reader.ts'

const [url = '', count = '', seconds = '', file = ''] = process.argv.slice(2)
const handle = await open(file)
const { size } = await handle.stat()
const { buffer: start } = await handle.read(Buffer.alloc(Number(seconds)), 0, Number(seconds), 0)
await handle.close()

const readers = Array.from({ length: Number(count) }, () => new SlowReader(new URL(url), size))
await Promise.all(readers.map(({ head }) => head))
for (let second = 0; second < Number(seconds); second++) {
  for (const reader of readers) reader.readOneByte()
  await sleep(1000)
}
const right = readers.filter(({ bytes, trouble }) => trouble === undefined && start.equals(Buffer.from(bytes)))
const readings: SlowReadings = { right: right.length, troubles: readers.flatMap(({ trouble }) => trouble ?? []) }
process.stdout.write(JSON.stringify(readings))
for (const reader of readers) reader.close()
