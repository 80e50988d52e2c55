/** Waiting for what files, sockets and promises bring about; time does not. */

/** Far longer than anything takes: who waits so long waits for what will not come. */
const LIMIT_MS = 20_000

/**
 * Resolves when `holds` does, looking again at every turn of the event loop.
 * @throws Error after 20 s. @param what it was, for the message
 */
export async function until(holds: () => boolean | Promise<boolean>, what = String(holds)): Promise<void> {
  const deadlineMs = performance.now() + LIMIT_MS
  while (!(await holds())) {
    if (performance.now() > deadlineMs) throw new Error(`did not come true within ${LIMIT_MS / 1000} seconds: ${what}`)
    await new Promise((resolve) => setImmediate(resolve))
  }
}
