/** Room on the disk: asked for before a fill writes, so that no fill finds the disk full and nobody uses what is kept in reserve. */

/** Why nothing can be stored at present. */
export type StorageTrouble = {
  /** `held`: another process holds the store. `failing`: writes fail for another reason than room or permission. */
  readonly kind: 'full' | 'readOnly' | 'held' | 'failing'
  /** For people: what happened, to what, and what to do. */
  readonly why: string
}

/** Room that others may not use. */
export type Reservation = {
  /** So many of the bytes are on the disk now: they are no longer reserved, but taken. */
  written(bytes: number): void
  /** Asks for more; false if there is none. */
  grow(bytes: number): Promise<boolean>
  /** Gives back what was not written. */
  release(): void
}

export interface Space {
  /** Undefined: there is no room for that, or nothing may be written now. Never rejects. */
  reserve(bytes: number): Promise<Reservation | undefined>
  /** A write failed with a system error. */
  failed(error: unknown): void
  readonly trouble: StorageTrouble | undefined
  /** Why there is no room for so much, as far as that is known, and what to do: for people. Undefined where there is room. */
  shortage(bytes: number): string | undefined
}

/** A disk that is full, a file that cannot be read or written, too many open files: trouble of this machine, and no mistake of ours. */
export function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error && 'errno' in error
}
