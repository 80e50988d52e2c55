/** Clients in a process of their own that all ask for the same blob at the same moment. Prints what each of them got as JSON. */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { read } from './reader.ts'

const [url = '', count = '', file = '', digest = ''] = process.argv.slice(2)
const wanted = await readFile(file)
if (`sha256:${createHash('sha256').update(wanted).digest('hex')}` !== digest) throw new Error(`${file} is not ${digest}`)

const before = process.cpuUsage()
const startedMs = performance.now()
const readings = await Promise.all(Array.from({ length: Number(count) }, () => read(new URL(url), wanted)))
const wallMs = performance.now() - startedMs
const { user, system } = process.cpuUsage(before)
process.stdout.write(JSON.stringify({ readings, wallMs, clientBusy: (user + system) / 1000 / wallMs }))
