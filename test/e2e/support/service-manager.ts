/** A stand-in for systemd and its socket units: it holds listening sockets, accepts nothing, and starts the program on them again and again. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { rename } from 'node:fs/promises'
import { type AddressInfo, createServer, type ListenOptions, type Server } from 'node:net'
import { createInterface } from 'node:readline'
import { type Cleanup, onEnd } from './cleanup.ts'

/**
 * The sockets are the descriptors from 3 on, as the program expects them; its process id is known before it begins, because a shell becomes the program. A `start` ends
 * the last one first, as a restart does.
 */
const SCRIPT = `
while read -r word; do
  if [ -n "$pid" ]; then
    kill -TERM "$pid"
    wait "$pid"
    echo "ended $?"
  fi
  [ "$word" = start ] || exit 0
  sh -c 'LISTEN_PID=$$ exec "$@"' sh "$@" </dev/null &
  pid=$!
  echo "started $pid"
done
[ -z "$pid" ] || kill -KILL "$pid"`

export type ServiceManager = {
  /** Where the socket listens: a port, or the path of a Unix socket. */
  readonly address: AddressInfo | string
  /** The ports of the other sockets, by name. */
  readonly ports: Readonly<Record<string, number>>
  /** Starts the program, or another one in its place. @returns how the last one ended; undefined for the first */
  restart(): Promise<string | undefined>
  /** @returns how the last one ended */
  stop(): Promise<string | undefined>
  /** What the programs said on standard error. */
  said(): string
}

/**
 * @param path of a Unix socket; without it a port of 127.0.0.1
 * @param others names of more sockets, each a port of 127.0.0.1
 */
export async function startServiceManager(
  t: Cleanup,
  command: readonly string[],
  env: NodeJS.ProcessEnv,
  path?: string,
  others: readonly string[] = [],
) {
  const server = await listening(path === undefined ? { host: '127.0.0.1', port: 0 } : { path: `${path}.new` })
  const address = path ?? (server.address() as AddressInfo)
  const sides = await Promise.all(others.map(() => listening({ host: '127.0.0.1', port: 0 })))
  const all = [server, ...sides]
  const ports = Object.fromEntries(sides.map((side, i) => [others[i], (side.address() as AddressInfo).port]))
  const given = { LISTEN_FDS: String(all.length), LISTEN_FDNAMES: ['ociregistry.socket', ...others].join(':') }
  const stdio = ['pipe', 'pipe', 'pipe', ...all.map(descriptorOf)] as const
  const shell = spawn('sh', ['-c', SCRIPT, 'sh', ...command], { env: { ...env, ...given }, stdio: [...stdio] })
  if (path !== undefined) await rename(`${path}.new`, path) // Node removes the name that it knows when it closes the socket
  for (const each of all) each.close() // from now on the shell alone holds them
  let said = ''
  shell.stderr?.on('data', (text: Buffer) => {
    said += text
  })
  const manager = managerOf(shell, address, ports, () => said)
  onEnd(t, () => manager.stop())
  return manager
}

function managerOf(
  shell: ChildProcess,
  address: ServiceManager['address'],
  ports: ServiceManager['ports'],
  said: () => string,
): ServiceManager {
  const lines = createInterface({ input: shell.stdout as NonNullable<typeof shell.stdout> })[Symbol.asyncIterator]()
  const exited = once(shell, 'exit')
  let running = false
  let last: Promise<unknown> = Promise.resolve()
  const tell = async (word: 'start' | 'stop'): Promise<string | undefined> => {
    if (shell.exitCode !== null) return undefined
    shell.stdin?.write(`${word}\n`)
    const ended = running ? (await lines.next()).value : undefined
    running = word === 'start'
    if (running) await lines.next()
    else await exited
    return ended
  }
  const inTurn = (word: 'start' | 'stop') => {
    const told = last.then(() => tell(word))
    last = told.catch(() => {})
    return told
  }
  return { address, ports, restart: () => inTurn('start'), stop: () => inTurn('stop'), said }
}

async function listening(where: ListenOptions): Promise<Server> {
  const server = createServer().listen(where)
  await once(server, 'listening')
  return server
}

/** The number that the system knows the socket by. */
function descriptorOf(server: Server): number {
  const { _handle: handle } = server as unknown as { readonly _handle: { readonly fd: number } }
  return handle.fd
}
