import { MemoryStore } from '../support/memory-store.ts'
import { storeContract } from './contract.ts'

storeContract('memory', async () => {
  const store = new MemoryStore()
  return {
    store,
    plantBlob: async (digest, bytes) => store.plantBlob(digest, bytes),
    quarantined: async () => store.quarantine.map(({ bytes }) => bytes),
  }
})
