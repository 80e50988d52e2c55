/** Shows how loading goes, on stderr: on a terminal lines that are drawn again and again, else one line for each image that is over. */
import { OVER } from '../async/over.ts'
import type { ImageProgress } from '../cache/image-progress.ts'
import type { LoadRun } from '../cache/load-run.ts'
import type { ImageOfList } from '../server/image-files.ts'
import type { Io } from './io.ts'
import { resultLine } from './load-report.ts'
import { type LoadView, viewLines } from './load-view.ts'
import { Rate } from './rate.ts'

const EVERY_MS = 200

export class LoadDisplay {
  readonly #io: Io
  readonly #rate = new Rate()
  readonly #rates = new Map<ImageProgress, Rate>()
  readonly #over = new AbortController()
  #run: LoadRun<ImageOfList> | undefined
  #drawing = Promise.resolve()
  /** Lines that are on the terminal now. */
  #drawn = 0

  constructor(io: Io) {
    this.#io = io
  }

  start(run: LoadRun<ImageOfList>): void {
    this.#run = run
    this.#drawing = this.#drawNowAndThen()
  }

  /** The lines that were drawn go. */
  async stop(): Promise<void> {
    this.#over.abort(OVER)
    await this.#drawing
    this.#erase()
  }

  /** An image is over. */
  tell(progress: ImageProgress): void {
    this.#rates.delete(progress)
    if (this.#io.terminalColumns() === undefined) this.#io.stderr(resultLine(progress))
  }

  /** Writes whole lines, above what is drawn. */
  write(text: string): void {
    this.#erase()
    this.#io.stderr(text)
    this.#draw()
  }

  async #drawNowAndThen(): Promise<void> {
    do this.#draw()
    while (await this.#io.clock.sleep(EVERY_MS, this.#over.signal))
  }

  #draw(): void {
    const columns = this.#io.terminalColumns()
    if (columns === undefined || this.#run === undefined || this.#over.signal.aborted) return
    const lines = viewLines(this.#view(this.#run), columns)
    this.#io.stderr(`${this.#erasure()}${lines.map((line) => `${line}\n`).join('')}`)
    this.#drawn = lines.length
  }

  #erase(): void {
    if (this.#drawn > 0) this.#io.stderr(this.#erasure())
    this.#drawn = 0
  }

  /** Up to the first line that was drawn, and everything below away (ECMA-48: CUU, ED). */
  #erasure(): string {
    return this.#drawn === 0 ? '' : `\u001b[${this.#drawn}A\u001b[J`
  }

  #view(run: LoadRun<ImageOfList>): LoadView {
    const ms = this.#io.clock.monotonic()
    const all = run.images.map(({ progress }) => progress)
    const rows = all
      .filter(({ isRunning }) => isRunning)
      .map((progress) => {
        const amounts = progress.amounts()
        const rate = this.#rates.get(progress) ?? new Rate()
        this.#rates.set(progress, rate)
        return { name: progress.name, phase: progress.phase, ...amounts, bytesPerSecond: rate.note(ms, amounts.fetchedBytes) }
      })
    const over = all.filter(({ result }) => result !== undefined).length
    const failed = all.filter(({ result }) => result?.is === 'failed').length
    const amounts = run.amounts()
    return { rows, images: { all: all.length, over, failed }, ...amounts, bytesPerSecond: this.#rate.note(ms, amounts.fetchedBytes) }
  }
}
