/** Opens the store whose path it is given, and prints what comes of it. */
import { DirectoryStore } from '../../../src/store/directory-store.ts'
import { MemoryLog } from '../../support/log.ts'

const [path = ''] = process.argv.slice(2)
try {
  await DirectoryStore.open(path, new MemoryLog())
  process.stdout.write('ok')
} catch (error) {
  process.stdout.write(error instanceof Error ? error.message : String(error))
}
