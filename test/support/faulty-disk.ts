/** A file system that does what another one does, less quickly or not at all, as a test says. */
import { constants } from 'node:os'
import { type FileSystem, systemFiles } from '../../src/store/file-system.ts'

export type SystemCall = keyof FileSystem
type Call = (...args: unknown[]) => unknown

export class FaultyDisk {
  /** The code of the error that a call ends with, before it has done anything; undefined for none. The path of a call by descriptor is that of its opening. */
  failing: (call: SystemCall, path: string | undefined, args: readonly unknown[]) => string | undefined = () => undefined
  /** What a call waits for first, where it can wait. */
  before: (call: SystemCall, path: string | undefined) => Promise<void> | undefined = () => undefined
  /** All calls that were begun, in order. */
  readonly calls: { readonly call: SystemCall; readonly path: string | undefined }[] = []
  readonly files: FileSystem

  readonly #paths = new Map<number, string>()

  constructor(under: FileSystem = systemFiles) {
    const wrapped = (Object.keys(systemFiles) as SystemCall[]).map((call) => [call, this.#wrap(call, (under[call] as Call).bind(under))])
    this.files = Object.fromEntries(wrapped) as FileSystem
  }

  #wrap(call: SystemCall, run: Call): Call {
    if (call.endsWith('Sync')) {
      return (...args) => {
        this.#begin(call, args)
        return this.#opened(call, args, run(...args))
      }
    }
    return async (...args) => {
      const path = this.#pathOf(args[0])
      await this.before(call, path)
      this.#begin(call, args)
      return this.#opened(call, args, await run(...args))
    }
  }

  #begin(call: SystemCall, args: readonly unknown[]): void {
    const path = this.#pathOf(args[0])
    this.calls.push({ call, path })
    const code = this.failing(call, path, args)
    if (code !== undefined) throw systemError(code, call, path)
  }

  #pathOf(subject: unknown): string | undefined {
    return typeof subject === 'number' ? this.#paths.get(subject) : String(subject)
  }

  #opened(call: SystemCall, [path]: unknown[], result: unknown): unknown {
    if (call === 'open' || call === 'openSync') this.#paths.set(result as number, String(path))
    return result
  }
}

/** As the operating system says it. */
export function systemError(code: string, syscall: string, path?: string): NodeJS.ErrnoException {
  const errno = -((constants.errno as Readonly<Record<string, number>>)[code] ?? 1)
  return Object.assign(new Error(`${code}: injected, ${syscall}${path === undefined ? '' : ` '${path}'`}`), { code, syscall, errno, path })
}
