/** Where log lines go: a file, or the terminal. Lines of 10 ms are written together, at the latest when the process ends, unless it is killed. */
import { closeSync, constants, openSync, writeSync } from 'node:fs'
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
  /**
   * Opens another file, or the terminal, to go on there; what has come by then stays where it was to go.
   * @throws the system's error; then the old one stays in use
   */
  readonly prepare: (file: string | undefined) => LogMove
  readonly close: () => void
}

/** One of the two is called, once. */
export type LogMove = { readonly goOn: () => void; readonly stay: () => void }

/** Neither throws. */
type Sink = { readonly append: (lines: Buffer) => void; readonly close: () => void }

/** A named pipe that nobody reads is a failure (ENXIO), and a full one loses lines: waiting for its reader would hold everything up. */
const TO_APPEND = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK

const LINE_END = Buffer.from('\n')

/**
 * @param file undefined: the terminal
 * @param terminal does not throw
 * @throws the system's error if the file cannot be opened
 */
export function openLogOutput(file: string | undefined, terminal: Sink['append'] = () => {}): LogOutput {
  const open = (path: string | undefined): Sink => (path === undefined ? { append: terminal, close: () => {} } : openFile(path))
  let path = file
  let sink = open(path)
  const { write, flush } = gathered((lines) => sink.append(lines))
  process.once('exit', flush)
  const goOn = (next: Sink) => {
    flush()
    sink.close()
    sink = next
  }
  return {
    write,
    flush,
    reopen: () => goOn(open(path)),
    prepare: (next) => {
      if (next === path) return { goOn: () => {}, stay: () => {} }
      const opened = open(next)
      const move = () => {
        goOn(opened)
        path = next
      }
      return { goOn: move, stay: opened.close }
    },
    close: () => {
      process.off('exit', flush)
      flush()
      sink.close()
    },
  }
}

/**
 * For appending, mode 0644. Lines that cannot be written (disk full) are lost, or cut: serving goes on, and the next one begins on a line of its own.
 * @throws the system's error
 */
function openFile(path: string): Sink {
  const fd = openSync(path, TO_APPEND, 0o644)
  let isCut = false
  return {
    append: (lines) =>
      withoutFail(() => {
        const bytes = isCut ? Buffer.concat([LINE_END, lines]) : lines
        isCut = writeSync(fd, bytes) < bytes.byteLength
      }),
    close: () => withoutFail(() => closeSync(fd)),
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
