/** Does what an installation takes: files are written where they are not yet as they should be, commands run where systemd does, and each step is told. */
import { chmod, mkdir, readFile, rename, rm, rmdir, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { reasonOf } from '../config/errno.ts'
import { ConfigError } from '../config/error.ts'
import type { SocketAddress } from '../config/value-types.ts'
import { printable } from '../observe/printable.ts'
import { errorCode, isMissing } from '../store/file.ts'
import {
  addressIn,
  type Command,
  commandsAfterInstall,
  commandsAfterRemoval,
  commandsBeforeRemoval,
  DEFAULT_ADDRESS,
  DIRECTORIES_TO_REMOVE,
  FILES_TO_REMOVE,
  filesToInstall,
  KEPT,
  PATH,
  type PlannedFile,
  SOCKET_ADDRESS,
  whoReaches,
} from './install-plan.ts'
import type { SystemdTexts } from './systemd-texts.ts'

/** Where to install, and what may be done there. */
export type Ground = {
  /** Undefined: this host. */
  readonly root: string | undefined
  /** Only says what would be done. */
  readonly dryRun: boolean
  readonly systemdRuns: boolean
  /** @throws Error with what it said */
  readonly run: (command: Command) => Promise<void>
  readonly stdout: (text: string) => void
  readonly stderr: (text: string) => void
}

export type Wanted = { readonly texts: SystemdTexts; readonly program: Uint8Array; readonly listen: SocketAddress | undefined }

/** @returns the exit code. @throws ConfigError for a file that cannot be written */
export async function putInPlace(ground: Ground, { texts, program, listen }: Wanted): Promise<number> {
  const changed = new Set<string>()
  for (const file of filesToInstall(texts, program, listen)) {
    const became = await place(file, ground)
    if (became === 'installed' || became === 'updated') changed.add(file.path)
    tell(ground, became, `${at(file.path, ground)}${became === 'kept' ? ', which is yours' : ''}`)
  }
  const code = await runAll(commandsAfterInstall(changed, ground.root), ground)
  const { line, isOpen } = whoReaches(listen ?? addressIn(await textAt(SOCKET_ADDRESS, ground)) ?? DEFAULT_ADDRESS)
  if (isOpen) ground.stderr(`warning: ${line}\n`)
  else ground.stdout(`${line}\n`)
  if (!(await hasNode(ground)))
    ground.stderr(`warning: the service finds no node in ${PATH.join(', ')}: want it there, and not below a home\n`)
  return code
}

async function hasNode(ground: Ground): Promise<boolean> {
  const found = await Promise.all(PATH.map((directory) => stat(at(`${directory}/node`, ground)).catch(() => undefined)))
  return found.some((stats) => stats !== undefined)
}

/** @returns the exit code. @throws ConfigError for a file that cannot be removed */
export async function takeAway(ground: Ground): Promise<number> {
  const before = await runAll(commandsBeforeRemoval(ground.root), ground)
  if (before !== 0) return before
  for (const path of FILES_TO_REMOVE) {
    const wasThere = (await look(at(path, ground))) !== undefined
    if (wasThere && !ground.dryRun) await orTold('remove', at(path, ground), () => rm(at(path, ground)))
    tell(ground, wasThere ? 'removed' : 'absent', at(path, ground))
  }
  if (!ground.dryRun) for (const path of DIRECTORIES_TO_REMOVE) await removeIfEmpty(at(path, ground))
  const code = await runAll(commandsAfterRemoval(ground.root), ground)
  ground.stdout(`${KEPT}\n`)
  return code
}

type Became = 'installed' | 'updated' | 'unchanged' | 'kept'

async function place({ path, content, mode, isTheirs }: PlannedFile, ground: Ground): Promise<Became> {
  const file = at(path, ground)
  const there = await look(file)
  if (there !== undefined && isTheirs) return 'kept'
  if (there !== undefined && there.mode === mode && there.content.equals(Buffer.from(content))) return 'unchanged'
  if (!ground.dryRun) await orTold('write', file, () => replace(file, content, mode))
  return there === undefined ? 'installed' : 'updated'
}

/** Whole at any instant: the program may be running. */
async function replace(file: string, content: string | Uint8Array, mode: number): Promise<void> {
  const temporary = `${file}.new`
  await mkdir(dirname(file), { recursive: true })
  try {
    await writeFile(temporary, content)
    await chmod(temporary, mode) // whatever the umask is
    await rename(temporary, file)
  } finally {
    await rm(temporary, { force: true })
  }
}

/** All of them where systemd runs; elsewhere says what is left to be done. */
async function runAll(commands: readonly Command[], ground: Ground): Promise<number> {
  for (const [i, command] of commands.entries()) {
    const line = command.join(' ')
    if (!ground.systemdRuns) ground.stdout(`to be run: ${line}\n`)
    else if (ground.dryRun) tell(ground, 'ran', line)
    else {
      try {
        await ground.run(command)
        tell(ground, 'ran', line)
      } catch (error) {
        const left = commands.slice(i + 1).map((other) => other.join(' '))
        ground.stderr(`error: ${printable(`${line}: ${(error as Error).message.trim().split('\n').at(-1)}`)}\n`)
        for (const other of left) ground.stderr(`not run: ${other}\n`)
        return 1
      }
    }
  }
  return 0
}

const WOULD = { installed: 'would install', updated: 'would update', removed: 'would remove', ran: 'would run' } as const

function tell({ dryRun, stdout }: Ground, did: Became | 'removed' | 'absent' | 'ran', what: string): void {
  stdout(`${(dryRun && did in WOULD ? WOULD[did as keyof typeof WOULD] : did).padEnd(dryRun ? 13 : 9)} ${what}\n`)
}

function at(path: string, { root }: Ground): string {
  return root === undefined ? path : join(root, path)
}

async function look(file: string): Promise<{ readonly mode: number; readonly content: Buffer } | undefined> {
  try {
    return { mode: (await stat(file)).mode & 0o777, content: await readFile(file) }
  } catch (error) {
    if (isMissing(error)) return undefined
    throw new ConfigError(`cannot read ${file}: ${reasonOf(error)}`, { cause: error })
  }
}

async function textAt(path: string, ground: Ground): Promise<string> {
  return (await look(at(path, ground)))?.content.toString() ?? ''
}

async function removeIfEmpty(directory: string): Promise<void> {
  await rmdir(directory).catch((error: unknown) => {
    if (!isMissing(error) && errorCode(error) !== 'ENOTEMPTY') throw error
  })
}

/** @throws ConfigError with one line */
async function orTold(doing: 'write' | 'remove', file: string, work: () => Promise<void>): Promise<void> {
  await work().catch((cause: unknown) => {
    throw new ConfigError(`cannot ${doing} ${file}: ${reasonOf(cause)}; run it as root, or with --root DIRECTORY`, { cause })
  })
}
