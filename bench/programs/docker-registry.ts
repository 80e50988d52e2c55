/** Debian's docker-registry as a pull-through cache, with the in-memory descriptor cache of Debian's own configuration. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { commandPath } from '../../test/e2e/support/requirements.ts'
import type { Program } from './program.ts'

export const dockerRegistry: Program = {
  name: 'docker-registry',
  role: 'proxy mode',
  async configure({ directory, upstreamUrl, port }) {
    const configFile = join(directory, 'registry.yml')
    await writeFile(
      configFile,
      `version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: ${JSON.stringify(join(directory, 'storage'))}}
  cache: {blobdescriptor: inmemory}
http: {addr: "127.0.0.1:${port}"}
proxy: {remoteurl: "${upstreamUrl}"}
`,
    )
    return { command: commandPath('docker-registry'), args: ['serve', configFile] }
  },
}
