/** The way to the upstream, a process of its own, which can be told to fail: all of a program's connections go through it. Prints its port and the one that it is told at. */
import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { freePort } from '../../test/e2e/support/ports.ts'
import { type State, states } from './gate.ts'

const trickleMs = 1000
const { hostname, port: originPort } = new URL(process.argv[2] ?? '')

/** One connection. Answers are small: what cannot be sent at once is kept. */
class Passage {
  readonly #client: Socket
  readonly #origin: Socket
  #kept = Buffer.alloc(0)

  constructor(client: Socket, ended: () => void) {
    this.#client = client.setNoDelay()
    this.#origin = connect({ host: hostname, port: Number(originPort), noDelay: true })
    client.on('data', (bytes) => state !== 'hanging' && this.#origin.write(bytes))
    this.#origin.on('data', (bytes) => this.#answer(bytes))
    for (const end of [client, this.#origin]) {
      end.once('error', () => this.close()).once('close', () => this.close())
    }
    client.once('close', ended)
  }

  trickle(): void {
    if (this.#kept.length === 0) return
    this.#client.write(this.#kept.subarray(0, 1))
    this.#kept = this.#kept.subarray(1)
  }

  close(): void {
    this.#client.destroy()
    this.#origin.destroy()
  }

  #answer(bytes: Buffer): void {
    if (state === 'healthy') this.#client.write(bytes)
    else if (state === 'trickling') this.#kept = Buffer.concat([this.#kept, bytes])
  }
}

let state: State = 'healthy'
const passages = new Set<Passage>()
const gate = createServer((client) => {
  const passage = new Passage(client, () => passages.delete(passage))
  passages.add(passage)
})
setInterval(() => {
  if (state === 'trickling') for (const passage of passages) passage.trickle()
}, trickleMs)

/** What hangs or trickles does so on the connections that stand, too; else all of them end. */
async function become(next: State): Promise<void> {
  if (next === state) return
  state = next
  if (next === 'hanging' || next === 'trickling') return
  for (const passage of passages) passage.close()
  if (next === 'refusing') gate.close()
  else if (!gate.listening) await listen()
}

async function listen(): Promise<void> {
  gate.listen(gatePort, '127.0.0.1')
  await once(gate, 'listening')
}

const gatePort = await freePort()
await listen()
const control = createHttpServer(async (request, response) => {
  const next = states.find((known) => request.url === `/${known}`)
  if (next !== undefined) await become(next)
  response.writeHead(next === undefined ? 404 : 200).end()
})
control.listen(0, '127.0.0.1', () => process.stdout.write(`${gatePort} ${(control.address() as AddressInfo).port}\n`))
