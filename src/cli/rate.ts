/** How fast bytes come, of late. Pure: whoever asks brings the time. */

type Sample = { readonly ms: number; readonly bytes: number }

const SPAN_MS = 5000

export class Rate {
  #samples: readonly Sample[] = []

  /** @param bytes that have come by now. @returns how many come in a second; undefined while that cannot be told */
  note(ms: number, bytes: number): number | undefined {
    const last = this.#samples.at(-1)
    const isFresh = last === undefined || bytes >= last.bytes // less than before: it began again
    this.#samples = [...(isFresh ? this.#samples.filter((sample) => ms - sample.ms <= SPAN_MS) : []), { ms, bytes }]
    const [first] = this.#samples
    return first === undefined || ms === first.ms ? undefined : ((bytes - first.bytes) * 1000) / (ms - first.ms)
  }
}
