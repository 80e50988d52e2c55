/** Writes references, records and blobs to the store whose path it is given, until somebody kills it; says so once it has begun. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { digestOf } from '../../../src/oci/digest.ts'
import { DirectoryStore } from '../../../src/store/directory-store.ts'
import { MemoryLog } from '../../support/log.ts'
import { content, recordOf, refOf } from '../contract.ts'

const [path = ''] = process.argv.slice(2)
const store = await DirectoryStore.open(path, new MemoryLog())

async function write(round: number): Promise<void> {
  const bytes = content(2000, round)
  const spool = join(path, 'pulls', `spool-${round}`)
  await writeFile(spool, bytes)
  await Promise.all([
    store.commitBlob(digestOf(bytes), spool),
    store.putRecord(recordOf(`quay.io/team/app:${round}`)),
    store.putRef({ ...refOf('quay.io/team/app:moving'), digest: digestOf(bytes) }),
    store.putRef(refOf(`quay.io/team/app:${round}`)),
  ])
}

for (let round = 0; ; round++) {
  await write(round)
  if (round === 3) process.stdout.write('begun\n')
}
