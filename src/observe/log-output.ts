/** Where log lines go: a file, or whatever takes text. Lines of 10 ms are written together, at the latest when the process ends, unless it is killed. */
import { closeSync, openSync, writeSync } from 'node:fs'
import { gathered } from './gathered.ts'

export type LogOutput = {
  /** Takes whole lines, each with its line end. */
  readonly write: (line: string) => void
  /** Writes at once what has come: something else is about to be written. */
  readonly flush: () => void
  /**
   * Opens the file anew: whoever rotates logs has given the old one another name.
   * @throws the system's error; then the old one stays in use
   */
  readonly reopen: () => void
  readonly close: () => void
}

const LINE_END = Buffer.from('\n')

/**
 * Opens a log file for appending, mode 0644. Lines that cannot be written (disk full) are lost, or cut: serving goes on, and the next one begins on a
 * line of its own.
 * @throws the system's error if the file cannot be opened
 */
export function openLogOutput(file: string): LogOutput {
  const open = () => openSync(file, 'a', 0o644)
  let fd = open()
  let isCut = false
  const append = (lines: Buffer) =>
    withoutFail(() => {
      const bytes = isCut ? Buffer.concat([LINE_END, lines]) : lines
      isCut = writeSync(fd, bytes) < bytes.byteLength
    })
  const close = (opened: number) => withoutFail(() => closeSync(opened))
  const output = outputTo(append)
  return {
    ...output,
    reopen: () => {
      const next = open()
      output.flush()
      close(fd)
      fd = next
      isCut = false
    },
    close: () => {
      output.close()
      close(fd)
    },
  }
}

/** @param append does not throw */
export function outputTo(append: (lines: Buffer) => void): LogOutput {
  const { write, flush } = gathered(append)
  process.once('exit', flush)
  return {
    write,
    flush,
    reopen: () => {},
    close: () => {
      process.off('exit', flush)
      flush()
    },
  }
}

/** There is nowhere left to say so. */
function withoutFail(work: () => void): void {
  try {
    work()
  } catch {
    // see above
  }
}
