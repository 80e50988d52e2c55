/** Works through many items, so many at once. */

/** After the first failure nothing new is begun. @throws the first failure, when all that was begun is over */
export async function atOnce<T>(limit: number, items: Iterable<T>, work: (item: T) => Promise<void>): Promise<void> {
  const rest = items[Symbol.iterator]()
  const failures: unknown[] = []
  const workThrough = async () => {
    for (let next = rest.next(); next.done !== true; next = rest.next()) {
      await work(next.value).catch((error: unknown) => failures.push(error))
      if (failures.length > 0) return
    }
  }
  await Promise.all(Array.from({ length: limit }, workThrough))
  if (failures.length > 0) throw failures[0]
}
