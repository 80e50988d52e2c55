/** Room as a test says. */
import type { Reservation, Space, StorageTrouble } from '../../src/store/space.ts'

/** Room without end until a test takes it away. */
export class TestSpace implements Space {
  trouble: StorageTrouble | undefined
  /** What nobody has taken or reserved. */
  freeBytes = Number.POSITIVE_INFINITY
  readonly failures: unknown[] = []
  /** Reserved, and not written yet. */
  reservedBytes = 0

  async reserve(bytes: number): Promise<Reservation | undefined> {
    if (!this.#take(bytes)) return undefined
    let reserved = bytes
    const less = (by: number) => {
      const real = Math.min(by, reserved)
      reserved -= real
      this.reservedBytes -= real
      return real
    }
    return {
      written: (written) => void less(written),
      grow: async (more) => {
        if (!this.#take(more)) return false
        reserved += more
        return true
      },
      release: () => {
        this.freeBytes += less(reserved)
      },
    }
  }

  shortage(bytes: number): string | undefined {
    return bytes > this.freeBytes ? `there is no room for ${bytes} bytes` : undefined
  }

  failed(error: unknown): void {
    this.failures.push(error)
  }

  #take(bytes: number): boolean {
    if (this.trouble !== undefined || bytes > this.freeBytes) return false
    this.freeBytes -= bytes
    this.reservedBytes += bytes
    return true
  }
}
