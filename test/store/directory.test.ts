import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { digestFileName } from '../../src/oci/digest.ts'
import { DirectoryStore } from '../../src/store/directory-store.ts'
import { temporaryDirectory } from '../support/files.ts'
import { MemoryLog } from '../support/log.ts'
import { storeContract } from './contract.ts'

storeContract('directory', async (t) => {
  const path = await temporaryDirectory(t)
  return {
    store: await DirectoryStore.open(path, new MemoryLog()),
    plantBlob: (digest, bytes) => writeFile(join(path, 'blobs', digestFileName(digest)), bytes),
    quarantined: async () => {
      const names = await readdir(join(path, 'quarantine'))
      return Promise.all(names.map((name) => readFile(join(path, 'quarantine', name))))
    },
  }
})
